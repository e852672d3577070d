"""In how many parts a training batch is taken."""

import types

import jax
import pytest

from dias_jax.errors import UserError
from dias_jax.models import prediction
from dias_jax.models.parts import fitting_parts
from dias_jax.runs.config_file import check_continuation, save_config
from dias_jax.training import loop
from dias_jax.training.accumulation import parts_of
from experiments.benchmarks import step_shapes


@pytest.mark.parametrize(
    ("share", "platform", "parts"),
    [
        (16, "cpu", 4),
        (32, "cpu", 8),
        (10, "cpu", 5),
        (6, "cpu", 2),
        (3, "cpu", 1),
        (7, "cpu", 1),  # one image at once would be worse than seven
        (1, "cpu", 1),
        (128, "tpu", 4),
        (96, "tpu", 3),
        (32, "tpu", 1),
        (256, "gpu", 1),
    ],
)
def test_a_share_is_taken_in_parts_that_suit_the_platform(share, platform, parts):
    assert fitting_parts(share, platform) == parts


def test_the_platform_is_the_one_here(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert fitting_parts(128) == 4


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"accumulation": 0}, 4),
        ({"accumulation": 2}, 2),
        ({"accumulation": 0, "model.kind": "video"}, 1),
        ({"accumulation": 2, "model.kind": "video"}, 2),
        ({"accumulation": 0, "task": "recognition"}, 1),
    ],
)
def test_what_is_asked_for_counts_and_losses_over_a_batch_get_it_whole(tiny_config, changes, parts):
    tiny_config.update_from_flattened_dict(changes)
    assert parts_of(tiny_config, 16, "cpu") == parts


@pytest.mark.parametrize(("parts", "taken"), [(None, 3), (2, 2)])
def test_evaluation_looks_at_images_in_these_parts(tiny_config, monkeypatch, parts, taken):
    calls, map_parts = [], prediction.map_parts

    def record(function, parts, batch):
        calls.append(parts)
        return map_parts(function, parts, batch)

    monkeypatch.setattr(prediction, "map_parts", record)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    tiny_config.batch_size = 12
    step, shapes = step_shapes.evaluation_of(tiny_config, parts)
    jax.eval_shape(step, *shapes)
    assert calls == [taken]


def test_the_loop_takes_batches_in_these_parts(tiny_config, monkeypatch):
    monkeypatch.setattr(loop.devices, "compile_step", lambda step, donate: step)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    tiny_config.update(accumulation=0, batch_size=8 * jax.device_count())
    task = types.SimpleNamespace(loss_fn=None)
    assert loop.compile_training(tiny_config, task, None).keywords["accumulation"] == 2


@pytest.mark.parametrize(
    ("kind", "before", "now", "is_the_same"),
    [("image", 2, 0, True), ("video", 1, 0, True), ("video", 2, 0, False), ("video", 1, 2, False)],
)
def test_parts_may_change_where_they_change_nothing(
    tiny_config, tmp_path, kind, before, now, is_the_same
):
    tiny_config.model.kind, tiny_config.accumulation = kind, before
    save_config(tiny_config, tmp_path)
    tiny_config.accumulation = now
    if is_the_same:
        assert check_continuation(tiny_config, tmp_path) == {}
    else:
        with pytest.raises(UserError, match=f"config.accumulation={before}, not {now}"):
            check_continuation(tiny_config, tmp_path)
