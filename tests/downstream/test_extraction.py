"""Slots in files: what is in them, stopped and continued, and what is refused."""

import json
import os
import time

import jax
import numpy as np
import pytest

from data_pipelines import pipeline
from data_pipelines.drawn.shapes import Shapes
from dias_jax.config.defaults import get_config
from dias_jax.downstream import slot_cache
from dias_jax.downstream.matching import match_maps
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.evaluation import extraction
from dias_jax.evaluation.extraction import extract_split
from dias_jax.models.build import build
from dias_jax.models.prediction import predict
from dias_jax.runs.state import start_variables
from dias_jax.runs.trained_model import TrainedModel
from dias_jax.sample_files import HEADER
from dias_jax.segmentation import slot_map
from dias_jax.steps.extraction import extract_step
from dias_jax.tasks.probing import open_samples
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def untrained(tiny_config, monkeypatch):
    """A tiny model with 12 samples of a split, which makes three files."""
    monkeypatch.setattr(slot_cache, "SAMPLES_PER_FILE", 5)
    model = build(tiny_config.model)
    return TrainedModel(model, start_variables(tiny_config, model)[0], tiny_config, 0)


def read(folder, split="test"):
    cache = SlotCache(folder, split)
    samples = [cache[i] for i in range(len(cache))]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}


@pytest.mark.slow
def test_what_is_extracted(untrained, tmp_path):
    assert extract_split(untrained, "test", tmp_path, "aggregator") == tmp_path / "test"
    found, config = read(tmp_path), untrained.config
    (batch,) = pipeline.evaluation_batches(config.data, "test", 12, limit=12)
    key = jax.random.key(config.seed)
    output = predict(untrained.model, untrained.variables, batch["image"], key, batch["index"])
    segments = slot_map(output.final_attention, (32, 32))
    slot, iou, overlap = match_maps(segments, batch["mask"], 4, batch["crowd"])
    for name in ("index", "classes", "boxes", "crowd", "kinds", "numbers"):
        np.testing.assert_array_equal(found[name], batch[name])
    np.testing.assert_array_equal(found["slot_mask"], output.slot_mask)
    # Another batch size, another order of sums; a pixel between two slots may change sides.
    np.testing.assert_allclose(found["slots"], output.slots, atol=1e-4)
    np.testing.assert_allclose(found["iou"], iou, atol=0.01)
    np.testing.assert_allclose(found["overlap"], overlap, atol=0.01)
    assert found["segments"].shape == (12, 4, 4) and found["segments"].max() < 4
    assert (found["slot"] == slot).mean() > 0.9
    assert ((found["slot"] >= 0) <= (found["classes"] >= 0)).all()
    assert (found["iou"] > 0.1).any()


def test_goes_on_where_it_was_stopped(untrained, tmp_path, monkeypatch):
    extract_split(untrained, "test", tmp_path / "whole", "aggregator")
    complete = SlotCache.write

    def stopped(path, header, samples):
        complete(path, header, samples if path.stem != "00001" else interrupt(samples))

    def interrupt(samples):
        yield next(samples)
        raise KeyboardInterrupt

    monkeypatch.setattr(SlotCache, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        extract_split(untrained, "test", tmp_path / "stopped", "aggregator")
    files = sorted(path.name for path in (tmp_path / "stopped/test").iterdir())
    assert files == ["00000.array_record", HEADER]
    with pytest.raises(UserError, match="lacks 2 of 3 files, the first is 00001.array_record"):
        SlotCache(tmp_path / "stopped", "test")

    written = []
    monkeypatch.setattr(
        SlotCache,
        "write",
        lambda path, *rest: (written.append(path.name), complete(path, *rest)),
    )
    extract_split(untrained, "test", tmp_path / "stopped", "aggregator")
    assert written == ["00001.array_record", "00002.array_record"]
    expected = read(tmp_path / "whole")
    for name, values in read(tmp_path / "stopped").items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)
    extract_split(untrained, "test", tmp_path / "stopped", "aggregator")
    assert len(written) == 2


def test_slots_of_something_else_are_refused(untrained, tmp_path):
    extract_split(untrained, "test", tmp_path, "aggregator")

    def refuses(name, trained=untrained, masks="aggregator"):
        with pytest.raises(UserError, match=f"test holds slots of another {name}, .* and not "):
            extract_split(trained, "test", tmp_path, masks)

    refuses("masks", masks="decoder")
    others = jax.tree.map(lambda x: x + 1, untrained.variables)
    refuses("parameters", untrained._replace(variables=others))
    untrained.config.data.threads = 2  # changes nothing
    extract_split(untrained, "test", tmp_path, "aggregator")
    untrained.config.model.reinit.threshold = 0.3
    refuses("config")
    untrained.config.evaluation.limit = 13
    refuses("num_samples")


def test_what_cannot_be_matched_is_refused(untrained, tmp_path):
    untrained.config.evaluation.batch_size = 0
    with pytest.raises(UserError, match="evaluation.batch_size"):
        extract_split(untrained, "test", tmp_path, "aggregator")
    assert not list(tmp_path.iterdir())
    without_masks = Shapes("test")
    without_masks.num_masks = 0
    with pytest.raises(UserError, match="shapes has no things to match slots with"):
        extraction.check_can_match(untrained.config, without_masks)
    without_masks.max_frames = 5  # videos have a future, whatever is known of things
    extraction.check_can_match(untrained.config, without_masks)
    with pytest.raises(UserError, match="--representation=true_masks: shapes has no masks"):
        extraction.check_can_match(untrained.config, without_masks, "true_masks")
    header = {"data": "coco", "class_names": ["", "person"]}
    with pytest.raises(UserError, match="coco has classes without names, up to 2"):
        extraction.check_classes(np.array([[1, 2, -1]]), header)


@pytest.mark.slow
def test_frames_of_clips_are_images(tmp_path, monkeypatch):
    """Windows of 5 of 16 frames, the last of a video shifted back; files of whole clips."""
    monkeypatch.setattr(slot_cache, "SAMPLES_PER_FILE", 8)
    config = make_tiny_video_config()
    config.evaluation.update(clip_frames=5, limit=3, batch_size=2)
    model = build(config.model)
    trained = TrainedModel(model, start_variables(config, model)[0], config, 0)
    extract_split(trained, "test", tmp_path, "decoder")
    found, header = read(tmp_path), SlotCache(tmp_path, "test").header
    assert (header["num_samples"], header["clip_frames"]) == (15, 5)
    assert len(list((tmp_path / "test").glob("*.array_record"))) == 3
    np.testing.assert_array_equal(found["index"], np.repeat(np.arange(3), 5))
    np.testing.assert_array_equal(found["frame"], np.tile(np.arange(5), 3))
    assert not found["video"].any()  # 4 windows a video
    batch = next(pipeline.evaluation_batches(config.data, "test", 3, limit=3, clip_frames=5))
    key = jax.random.key(config.seed)
    inputs = batch["image"], key, batch["index"]
    output = predict(model, trained.variables, *inputs, frame_valid=batch["frame_valid"])
    np.testing.assert_allclose(found["slots"].reshape(output.slots.shape), output.slots, atol=1e-4)
    np.testing.assert_array_equal(found["boxes"], batch["boxes"].reshape(15, -1, 4))
    is_seen = batch["boxes"].any(-1)
    expected = np.where(is_seen, batch["classes"][:, None], -1).reshape(15, -1)
    np.testing.assert_array_equal(found["classes"], expected)
    assert (found["iou"] > 0.1).any() and ((found["slot"] >= 0) <= (expected >= 0)).all()


def test_frames_that_only_fill_have_no_slots_and_no_things():
    config = make_tiny_video_config()
    batch = next(pipeline.evaluation_batches(config.data, "test", 1, limit=1))
    batch["frame_valid"][:, 9:] = False
    for name in ("mask", "boxes"):
        batch[name][:, 9:] = 0
    model = build(config.model)
    variables = start_variables(config, model)[0]
    arguments = {"model": model, "masks": "decoder"}
    found = extract_step(variables, batch, jax.random.key(0), **arguments)[1]
    assert not found["slot_mask"][9:].any() and found["slot_mask"][:9].any(1).all()
    labels = extraction.labels_of_frames(batch, 16)
    assert (labels["classes"][9:] == -1).all() and (labels["classes"][:9] >= 0).any(1).all()


HEADER_OF_THREE = {
    **{"num_samples": 3, "num_slots": 2, "slot_width": 4, "num_things": 1, "split": "test"},
    **{"kinds": {}, "numbers": {}, "grid": [2, 2], "clip_frames": 1, "questions": []},
    **{"data": "made_up", "window": 0, "views": 0, "parameters": "abc", "config": "abc"},
    **{"representation": "slots", "masks": "decoder", "class_names": ["one"], "protocol": ""},
    **{"reduce_at": "", "min_frames": 1, "seed": 0, "data_seed": 0, "image_size": 8, "model": "x"},
}


@pytest.fixture
def small_cache(tmp_path):
    """A folder with three samples of nothing."""
    folder = tmp_path / "test"
    (path,) = SlotCache.missing_files(folder, HEADER_OF_THREE)
    zeros = np.zeros(3, SlotCache.record_type(HEADER_OF_THREE))
    SlotCache.write(path, HEADER_OF_THREE, zeros)
    return folder


def test_damaged_files_are_one_line(small_cache):
    folder, (path,) = small_cache.parent, small_cache.glob("*.array_record")
    assert SlotCache(folder, "test")[2]["slots"].shape == (2, 4)
    with pytest.raises(UserError, match="extract --split=train"):
        SlotCache(folder, "train")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="test is damaged"):
        SlotCache(folder, "test")
    path.write_bytes(content)
    (small_cache / HEADER).write_text(json.dumps(HEADER_OF_THREE | {"num_samples": 4}))
    with pytest.raises(UserError, match="3 samples instead of 4"):
        SlotCache(folder, "test")
    (small_cache / HEADER).write_text(json.dumps(HEADER_OF_THREE | {"slot_width": 5}))
    with pytest.raises(UserError, match="test is damaged"):
        SlotCache(folder, "test")[0]
    for name in ("views", "protocol", "grid"):
        few = {key: value for key, value in HEADER_OF_THREE.items() if key != name}
        (small_cache / HEADER).write_text(json.dumps(few))
        with pytest.raises(UserError, match=f"cache.json is damaged.*{name}"):
            SlotCache(folder, "test")
    (small_cache / HEADER).write_text(json.dumps(HEADER_OF_THREE | {"class_names": []}))
    with pytest.raises(UserError, match="classes or kinds that the header does not know"):
        SlotCache(folder, "test")[0]
    (small_cache / HEADER).write_text(json.dumps(HEADER_OF_THREE | {"num_samples": 4 * 10**12}))
    with pytest.raises(UserError, match="cache.json is damaged .4000000000000 samples"):
        SlotCache(folder, "test")
    for text in ("{", "[]", '{"num_samples": "3"}'):
        (small_cache / HEADER).write_text(text)
        with pytest.raises(UserError, match="cache.json is damaged"):
            SlotCache(folder, "test")


def test_what_a_killed_extraction_leaves_is_removed_later(small_cache):
    left, growing = (small_cache / f"incomplete.{n}.array_record" for n in range(2))
    for path in (left, growing):
        path.touch()
    an_hour_ago = time.time() - 3_700
    os.utime(left, (an_hour_ago, an_hour_ago))
    assert SlotCache.missing_files(small_cache, HEADER_OF_THREE) == {}
    assert growing.exists() and not left.exists()
    assert SlotCache(small_cache.parent, "test")[2]["slots"].shape == (2, 4)


def test_another_limit_is_told_which_one_continues(small_cache):
    header = HEADER_OF_THREE | {"num_samples": 5}
    with pytest.raises(UserError, match="another num_samples, 3 and not 5: set .*limit=3 to cont"):
        SlotCache.missing_files(small_cache, header)


def test_windows_of_one_video_are_held_out_together(tmp_path):
    header = HEADER_OF_THREE | {"num_samples": 12, "clip_frames": 2, "window": 2, "split": "train"}
    (path,) = SlotCache.missing_files(tmp_path / "train", header)
    samples = np.zeros(12, SlotCache.record_type(header))
    samples["video"] = np.repeat([0, 0, 3, 3, 3, 4], 2)  # of every window
    SlotCache.write(path, header, samples)
    config = get_config()
    config.probe.slots = str(tmp_path)
    for share, size in ((0.1, 10), (0.3, 4), (0.7, 4)):
        config.probe.held_out = share
        parts = [open_samples(config, split) for split in ("train", "held_out")]
        assert [len(part) for part in parts] == [size, 12 - size]
        videos = [{int(part[i]["video"]) for i in range(len(part))} for part in parts]
        assert not videos[0] & videos[1]
    config.probe.held_out = 0.8
    with pytest.raises(UserError, match="train: nothing is left to learn from"):
        open_samples(config, "train")


@pytest.mark.slow
def test_the_command(run_module, tmp_path):
    flags = "--split=test", f"--out={tmp_path}", "--config.evaluation.limit=8"
    flags += ("--config.evaluation.batch_size=4",)
    result = run_module("dias_jax.extract", *flags, devices=2)
    assert result.stdout.strip() == f"slots in {tmp_path / 'test'}"
    assert len(SlotCache(tmp_path, "test")) == 8
    other = run_module("dias_jax.extract", *flags, "--masks=decoder", check=False)
    assert other.returncode == 2 and len(other.stderr.strip().splitlines()) == 1
    missing = run_module("dias_jax.extract", "--split=test", check=False)
    assert missing.returncode == 2 and "--out is missing" in missing.stderr
