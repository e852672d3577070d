"""Physion from videos to answers: nothing is known of things, but for the answer."""

import shutil

import pytest

from data_pipelines.building.build import build as prepare
from data_pipelines.sets import physion
from dias_jax.config.defaults import get_config
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.evaluation.extraction import extract_split
from dias_jax.runs.trained_model import restore
from dias_jax.tasks import prediction, reasoning
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from tests.tiny import make_tiny_video_config
from tests.tiny_physion import write_physion

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_from_videos_to_answers(tmp_path, monkeypatch):
    pytest.importorskip("av")
    monkeypatch.setattr(physion, "LENGTH", 24)  # 8 frames
    data, slots = str(tmp_path / "data"), tmp_path / "slots"
    source = write_physion(tmp_path / "source", length=24)
    prepare(physion.Physion(source=source, data_dir=data))

    config = make_tiny_video_config()
    config.data.update(name="physion", data_dir=data)
    config.steps, config.evaluation.split = 2, "readout"
    task = task_of(config)
    result = fit(task, config, tmp_path / "model")
    assert not [name for name in result.metrics if "ari" in name]

    config.evaluation.limit = 0
    trained = restore(tmp_path / "model", config, task.model, "best")
    for split in ("train", "readout", "test"):
        extract_split(trained, split, slots, "aggregator", name=str(tmp_path / "model"))
    readout, train = (SlotCache(slots, split) for split in ("readout", "train"))
    assert (readout.header["questions"], train.header["questions"]) == (["answer"], [])
    assert len(readout) == 16 * 8 and readout.header["num_things"] == 1
    for sample in (readout[i] for i in range(len(readout))):
        assert sample["classes"] == sample["slot"] == -1 and not sample["overlap"].any()
        assert sample["slot_mask"].any() and not sample["boxes"].any() and not sample["crowd"]
    assert sum(bool(readout[i]["answers"]) for i in range(0, len(readout), 8)) == 8
    with pytest.raises(UserError, match="true_masks: physion has no masks"):
        extract_split(trained, "test", tmp_path / "other", "aggregator", "true_masks")

    config = get_config()
    config.task, config.steps, config.batch_size, config.log_every = "prediction", 2, 4, 2
    config.data.update(threads=1, data_dir=data)
    config.probe.update(slots=str(slots), held_out=0.25)
    config.rollout.update(observed=3, predicted=2, width=16, layers=1, heads=2, mlp_width=32)
    config.evaluation.update(split="held_out", every=2, batch_size=4)
    fit(task_of(config), config, tmp_path / "rollout")
    report = prediction.report(config, tmp_path / "rollout", "test", "best")
    assert report["curves"] == {} and len(report["metrics"]["roll_out/errors"]) == 5

    config.task = "reasoning"
    config.readout.update(observed=3, kind="relation", rollout=str(tmp_path / "rollout"))
    for frames in (3, 9):
        config.readout.frames = frames
        with pytest.raises(UserError, match=f"readout.frames={frames}: must be 0, or more than"):
            task_of(config)
    config.readout.update(frames=5, observed=2)
    with pytest.raises(UserError, match="readout.observed=2: .*rollout predicts from 3 frames"):
        task_of(config)
    config.readout.observed = 3
    task = task_of(config)
    assert task.open("train")[0]["slots"].shape == (5, 4, 16)
    fit(task, config, tmp_path / "readout")
    report = reasoning.report(config, tmp_path / "readout", "test", "best")
    metrics = report["metrics"]
    assert report["num_samples"] == 16 and 0 <= metrics["accuracy"] <= 100
    assert "predicted from them, up to frame 5; share" in report["protocol"]
    assert "one half, and in each scenario; predicted by" in report["protocol"]
    of_scenarios = [metrics[f"accuracy/{name.lower()}"] for name in physion.SCENARIOS]
    assert sum(of_scenarios) / 8 == pytest.approx(metrics["accuracy"])
    assert all(metrics[f"questions/{name.lower()}"] == 2 for name in physion.SCENARIOS)
    assert "ghost" not in report["protocol"]
    shutil.copytree(slots / "train", tmp_path / "unasked" / "readout")
    config.probe.slots = str(tmp_path / "unasked")
    with pytest.raises(UserError, match="nothing is asked about the videos of physion train"):
        task_of(config)
