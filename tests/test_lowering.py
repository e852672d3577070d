"""The compiled step is lowered for accelerators that this machine does not have."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax import export

from dias_jax.config.defaults import get_config
from dias_jax.errors import UserError
from dias_jax.models import attention
from experiments.benchmarks import ahead, step_shapes
from experiments.benchmarks.compiled_text import summarize
from tests.tiny import make_tiny_config, make_tiny_video_config


def lower(config, *platforms):
    """The step of `config` as exported for these platforms."""
    step, shapes = step_shapes.training_of(config)
    compiled = jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    return export.export(compiled, platforms=platforms)(*shapes)


@pytest.mark.parametrize("make_config", [make_tiny_config, make_tiny_video_config])
def test_the_tiny_step_is_lowered(make_config):
    exported = lower(make_config(), "tpu", "cuda")
    assert exported.platforms == ("tpu", "cuda")
    assert "stablehlo." in exported.mlir_module()


def test_attention_is_lowered_for_the_platform_that_is_asked_for():
    tokens = jnp.zeros((2, 5, 8))
    attend = jax.jit(functools.partial(attention.attend, heads=4))
    for platform, num_products in [("cpu", 8), ("tpu", 8), ("cuda", 2)]:
        text = attend.trace(tokens, tokens, tokens).lower(lowering_platforms=(platform,))
        assert text.compiler_ir("hlo").as_hlo_text().count(" dot(") == num_products


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_the_published_step_of_coco_is_lowered(platform, dtype):
    config = get_config()
    config.model.dtype = dtype
    assert lower(config, platform).platforms == (platform,)


@pytest.mark.slow
@pytest.mark.parametrize("step_of", [step_shapes.training_of, step_shapes.evaluation_of])
def test_the_tiny_steps_are_compiled_for_tpus(tiny_config, step_of):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is absent: pip install libtpu compiles for a TPU without one")
    chips, chip = ahead.describe_topology("v5e:2x4")
    is_training = step_of is step_shapes.training_of
    compiled = ahead.compile_ahead(*step_of(tiny_config), chips, split_results=not is_training)
    program = summarize(compiled.as_text())
    assert program.cycles > 100_000 and program.collectives["all-reduce"] >= 1
    assert any("backbone" in module for _, _, module, _ in program.costs)
    assert any("backward" in module for _, _, module, _ in program.costs) == is_training
    text = ahead.report(compiled, chip, images=1)
    assert "bound by: cycles, estimated" in text and "DOES NOT FIT" not in text


def test_a_topology_that_is_not_known_is_named():
    with pytest.raises(UserError, match="--topology=v2:2x2: known are v5e, v5p"):
        ahead.describe_topology("v2:2x2")
