"""A profile is written on demand, and every stage of the step has a name in it."""

import functools
import re

import jax
import pytest

from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from experiments.benchmarks import step_shapes
from tests.tiny import make_tiny_config, make_tiny_video_config

STAGES = ("resize", "backbone", "projector", "aggregator", "reduction", "decoder", "losses")
STAGES += ("optimizer",)


@pytest.mark.parametrize("make_config", [make_tiny_config, make_tiny_video_config])
def test_every_stage_has_a_name_in_the_step(make_config):
    config = make_config()
    config.data.image_size, config.model.backbone.input_scale = 64, 0.5
    step, shapes = step_shapes.training_of(config)
    lowered = jax.jit(functools.partial(step, axis_name=None)).lower(*shapes)
    names = " ".join(re.findall(r'loc\("(jit[^"]*)"', lowered.as_text(debug_info=True)))
    assert [stage for stage in STAGES if not re.search(rf"[/(]{stage}[/)]", names)] == []


@pytest.mark.parametrize("steps", [pytest.param(3, marks=pytest.mark.slow), 8])
def test_a_trace_is_written_on_demand(tiny_config, tmp_path, quick_compilation, steps):
    tiny_config.update(steps=steps, log_every=8)
    tiny_config.evaluation.every = 8
    result = loop.fit(Discovery(tiny_config), tiny_config, tmp_path, trace=True)
    assert result.status == loop.FINISHED
    profiles = list((tmp_path / "trace").rglob("*.xplane.pb"))
    assert len(profiles) == 1
    assert b"train" in profiles[0].read_bytes()


@pytest.mark.slow
def test_a_run_too_short_for_a_trace_says_so(tiny_config, tmp_path, quick_compilation, caplog):
    tiny_config.update(steps=1, log_every=1)
    tiny_config.evaluation.every = 1
    assert (
        loop.fit(Discovery(tiny_config), tiny_config, tmp_path, trace=True).status == loop.FINISHED
    )
    assert "no profile" in caplog.text
    assert not (tmp_path / "trace").exists()
