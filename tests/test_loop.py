"""The loop end to end on the tiny experiment: files, continuation, signals, bad numbers."""

import json
import shutil

import chex
import jax
import numpy as np
import pytest
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.drawn import shapes
from dias_jax.errors import NonFiniteLoss, UserError
from dias_jax.runs.config_file import load_config
from dias_jax.runs.lock import only_run_in
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from tests.faults.kill import differences
from tests.faults.processes import final_state
from tests.interruption import interrupt_at

pytestmark = pytest.mark.usefixtures("quick_compilation")


def train(config, workdir):
    return loop.fit(Discovery(config), config, workdir)


def metrics_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_what_it_promises(tiny_config, tmp_path):
    metrics = train(tiny_config, tmp_path).metrics
    lines = metrics_of(tmp_path)
    validation = [line for line in lines if line["split"] == "validation"]
    assert [line["step"] for line in validation] == [3, 6]
    assert validation[-1]["values"] == metrics
    assert "background counted" in validation[-1]["protocol"]
    assert {"loss", "learning_rate", "distillation"} <= lines[0]["values"].keys()
    for step in (3, 6):
        picture = np.asarray(Image.open(tmp_path / "images" / f"step_{step:07d}.png"))
        assert picture.std() > 0
    assert list(tmp_path.glob("events.out.tfevents.*"))
    assert json.loads((tmp_path / "config.json").read_text())["model"]["num_slots"] == 4


@pytest.mark.slow
def test_damaged_samples_are_replaced_counted_and_reported(
    tiny_config, tmp_path, monkeypatch, caplog
):
    second = list(zip(range(2), pipeline.train_batches(tiny_config.data, 8, 42)))[1][1]
    damaged = second["index"][3]
    read = shapes.Shapes.__getitem__

    def read_or_fail(self, index):
        if self.split == "train" and index == damaged:
            raise UserError("scene is damaged")
        return read(self, index)

    monkeypatch.setattr(shapes.Shapes, "__getitem__", read_or_fail)
    tiny_config.steps, tiny_config.log_every = 3, 1
    train(tiny_config, tmp_path)
    lines = [line["values"] for line in metrics_of(tmp_path) if line["split"] == "train"]
    assert [line["replaced_samples"] for line in lines] == [0, 1, 0]
    messages = [record.getMessage() for record in caplog.records]
    assert sum("scene is damaged" in message for message in messages) == 1
    assert "1 times a damaged training sample was replaced" in messages

    tiny_config.data.skip_damaged = False
    with pytest.raises(UserError, match="scene is damaged"):
        train(tiny_config, tmp_path / "other")


@pytest.mark.parametrize("step", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_interrupted_and_continued_equals_uninterrupted(tiny_config, tmp_path, monkeypatch, step):
    expected = train(tiny_config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, step)
        assert train(tiny_config, tmp_path / "parts").status == loop.STOPPED
    assert (tmp_path / "parts" / "checkpoints" / str(step)).is_dir()
    assert train(tiny_config, tmp_path / "parts") == expected
    whole, parts = (
        open_run(tmp_path / name, tiny_config, "latest").variables for name in ("whole", "parts")
    )
    chex.assert_trees_all_equal(whole, parts)
    assert metrics_of(tmp_path / "parts")[-1] == metrics_of(tmp_path / "whole")[-1]


@pytest.mark.slow
def test_several_steps_in_a_call_are_the_same_steps(tiny_config, tmp_path, monkeypatch, caplog):
    tiny_config.log_every = 3
    fifth = list(zip(range(5), pipeline.train_batches(tiny_config.data, 8, 42)))[4][1]
    poison(monkeypatch, 5)
    train(tiny_config, tmp_path / "one")
    tiny_config.steps_per_call = 3
    with monkeypatch.context() as patch:
        interrupt_at(patch, 1)
        assert train(tiny_config, tmp_path / "three")[:2] == (loop.STOPPED, 3)
    counted = chex.assert_max_traces(loop.train_steps, n=1)
    monkeypatch.setattr(loop, "train_steps", counted)
    train(tiny_config, tmp_path / "three")
    assert metrics_of(tmp_path / "three") == metrics_of(tmp_path / "one")
    assert not differences(*(final_state(tmp_path / name) for name in ("one", "three")))
    skipped = [message for message in caplog.messages if "step 5 was skipped" in message]
    assert len(skipped) == 2 and all(str(fifth["index"].tolist()) in line for line in skipped)


@pytest.mark.parametrize(
    ("at_most", "log_every", "every", "steps", "start", "length"),
    [(1, 100, 200, 800, 0, 1), (5, 100, 200, 800, 0, 5), (8, 100, 200, 800, 0, 4)]
    + [(5, 100, 200, 50, 0, 5), (5, 100, 200, 51, 0, 1), (4, 100, 200, 800, 402, 2)],
)
def test_calls_end_where_something_is_to_be_done(
    tiny_config, at_most, log_every, every, steps, start, length
):
    tiny_config.update(steps_per_call=at_most, log_every=log_every, steps=steps)
    tiny_config.evaluation.every = every
    assert loop.call_length(tiny_config, start) == length


@pytest.mark.slow
def test_the_best_and_the_latest_two_are_kept(tiny_config, tmp_path, monkeypatch):
    scores = iter([3.0, 9.0, 5.0, 4.0])
    monkeypatch.setattr(Discovery, "quality", lambda self, metrics: next(scores))
    tiny_config.steps = 4
    tiny_config.evaluation.every = 1
    train(tiny_config, tmp_path)
    kept = sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir())
    assert kept == [2, 3, 4]
    assert open_run(tmp_path, tiny_config, "best").step == 2
    assert open_run(tmp_path, tiny_config, "latest").step == 4


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    before = metrics_of(tmp_path)
    assert train(tiny_config, tmp_path) == (loop.FINISHED, 6, None)
    assert metrics_of(tmp_path) == before


def poison(monkeypatch, *bad_steps):
    """Make the reconstruction target of these steps (from 1) infinite."""
    read = pipeline.train_batches

    def batches(*arguments, start_step=0, **options):
        found = read(*arguments, start_step=start_step, **options)
        for step, batch in enumerate(found, start_step + 1):
            yield batch | {
                "image": batch["image"].astype(np.float32) + (np.inf if step in bad_steps else 0)
            }

    monkeypatch.setattr(pipeline, "train_batches", batches)


def test_a_step_without_a_finite_loss_is_skipped_and_named(
    tiny_config, tmp_path, monkeypatch, caplog
):
    fourth = list(zip(range(4), pipeline.train_batches(tiny_config.data, 8, 42)))[3][1]
    poison(monkeypatch, 4)
    train(tiny_config, tmp_path)
    samples = str(fourth["index"].tolist())
    assert any("step 4 was skipped" in m and samples in m for m in caplog.messages)
    trained = open_run(tmp_path, tiny_config, "latest")
    assert trained.step == 6
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(trained.variables["params"]))
    lines = [line["values"] for line in metrics_of(tmp_path) if line["split"] == "train"]
    assert [line["skipped_steps"] for line in lines] == [0, 0, 1, 0]
    assert ["loss" in line for line in lines] == [True, True, False, True]


def test_too_many_skipped_steps_stop_the_run_with_what_is_needed_to_look(
    tiny_config, tmp_path, monkeypatch
):
    tiny_config.optimizer.skip_limit = 1
    fifth = list(zip(range(5), pipeline.train_batches(tiny_config.data, 8, 42)))[4][1]
    poison(monkeypatch, 4, 5)
    with pytest.raises(NonFiniteLoss) as error:
        train(tiny_config, tmp_path)
    assert "2 steps is not finite, the last is step 5" in str(error.value)
    assert str(fifth["index"].tolist()) in str(error.value)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["3"]
    diverged = open_run(tmp_path / "diverged", load_config(tmp_path / "diverged"))
    assert diverged.step == 6


@pytest.mark.slow
def test_another_schedule_needs_to_be_allowed_and_is_recorded(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    tiny_config.steps, tiny_config.optimizer.learning_rate = 7, 1e-4
    with pytest.raises(UserError, match="learning_rate=0.001, not 0.0001: .* add --allow_change"):
        train(tiny_config, tmp_path)
    loop.fit(Discovery(tiny_config), tiny_config, tmp_path, allow_change=True)
    change = next(line for line in metrics_of(tmp_path) if line["split"] == "config")
    assert change["step"] == 6
    assert change["values"] == {"optimizer.learning_rate": 1e-4, "steps": 7}
    assert load_config(tmp_path).steps == 7
    tiny_config.model.num_slots = 5
    with pytest.raises(UserError, match="num_slots=4, not 5: give the same"):
        loop.fit(Discovery(tiny_config), tiny_config, tmp_path, allow_change=True)


def test_one_run_per_work_directory(tiny_config, tmp_path):
    with only_run_in(tmp_path), pytest.raises(UserError, match="another run is at work in"):
        train(tiny_config, tmp_path)
    assert not (tmp_path / "config.json").exists()
    train(tiny_config, tmp_path)


@pytest.mark.slow
def test_a_start_that_fails_leaves_no_run_behind(tiny_config, tmp_path, monkeypatch):
    def failing(*arguments):
        def step(state, batch, rng):
            raise MemoryError("out of memory")

        return step

    with monkeypatch.context() as patch:
        patch.setattr(loop, "compile_training", failing)
        with pytest.raises(MemoryError):
            train(tiny_config, tmp_path)
    tiny_config.batch_size = 4  # would be refused as the continuation of another run
    assert train(tiny_config, tmp_path).status == loop.FINISHED


def test_a_disk_without_room_is_named_at_the_start(tiny_config, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match="has room for 0 MB, two checkpoints take"):
        train(tiny_config, tmp_path)


def test_another_config_is_refused_by_key(tiny_config, tmp_path):
    train(tiny_config, tmp_path)
    tiny_config.log_every, tiny_config.steps_per_call = 1, 2  # change nothing that is computed
    train(tiny_config, tmp_path)
    tiny_config.model.num_slots = 5
    with pytest.raises(UserError, match="config.model.num_slots=4"):
        train(tiny_config, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"accumulation": 3}, "batch_size=8 does not split"),
        ({"steps": 0}, "steps"),
        ({"data.name": "coco"}, "not prepared"),
        ({"data.image_size": 30}, "patch of 8"),
        ({"data.image_size": 64}, "num_tokens=64"),
        ({"model.decoder.heads": 3}, "heads=3"),
        ({"model.initializer": "other"}, '"shared"'),
        ({"model.backbone.name": "other"}, "dinov2_vits14"),
        (
            {
                "model.backbone.name": "dinov2_vits14",
                "data.image_size": 42,
                "model.decoder.num_tokens": 9,
            },
            "does not exist",
        ),
        ({"loss.distillation": "other"}, "released"),
        ({"loss.distillation_teacher": "other"}, "first"),
        ({"model.reinit.threshold": 3.0}, "reinit.threshold=3.0: must be between 0 and 2"),
        ({"data.data_dir": "a\0b"}, "has characters that no path can have"),
        ({"model.backbone.weights": "\ud800"}, "has characters that no path can have"),
        ({"evaluation.masks": "other"}, "aggregator"),
        ({"evaluation.split": "other"}, "other"),
    ],
)
def test_bad_configs_stop_before_anything_is_compiled(
    tiny_config, tmp_path, monkeypatch, changes, message
):
    def no_compilation(*arguments, **options):
        raise AssertionError("compiled before the config was checked")

    monkeypatch.setattr(jax, "jit", no_compilation)
    tiny_config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message) as error:
        train(tiny_config, tmp_path)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "config.json").exists()
