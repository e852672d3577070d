"""Physion in the publisher's layout: which frames, whose label, and what is refused."""

import numpy as np
import pytest
from configs import data_config

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import PREPARED
from data_pipelines.sets import physion
from data_pipelines.sources import open_split
from data_pipelines.video_records import PreparedVideos
from dias_jax.errors import UserError
from tests.tiny_physion import LABELS, READOUT_LABELS, add_video, write_physion

pytest.importorskip("av")


@pytest.fixture
def short(monkeypatch):
    """Videos of 6 frames, two of which are taken."""
    monkeypatch.setattr(physion, "LENGTH", 6)


@pytest.fixture
def source(short, tmp_path):
    """A folder in the publisher's layout, to be damaged."""
    return write_physion(tmp_path / "source", length=6)


def prepare(source):
    return build(physion.Physion(source=source, data_dir=source.parent / "data"))


def names_of(split):
    return [split._read(i)["file_name"].decode() for i in range(len(split))]


def test_videos_and_their_labels(tmp_path, monkeypatch):
    monkeypatch.setattr(physion, "LENGTH", 24)
    source = write_physion(tmp_path / "source", length=26)
    summary = prepare(source)
    counts = "8 train, 16 of 8005 published readout, 16 of 1174 published test videos, no masks"
    assert summary.startswith(f"physion: {counts} (glitchy test videos left out: 1)")
    directory = tmp_path / "data" / PREPARED["physion"]
    assert "every record is intact" in verify(directory)
    for name in ("train", "readout", "test"):
        split = PreparedVideos(directory, name)
        names = names_of(split)
        assert len(set(names)) == len(split) and set(split.num_frames) == {8}
        scenarios = [path.split("/")[-2 if name != "test" else 1].split("_")[0] for path in names]
        assert set(scenarios) == set(physion.SCENARIOS) and scenarios != sorted(scenarios)
        assert not any("test10" in path or "/mp4s/" in path for path in names)
        assert split.scenarios == physion.SCENARIOS
        told = [split.scenarios[split[i]["scenario"]] for i in range(len(split))]
        assert told == scenarios
        for video in (split[i] for i in range(len(split))):
            red, _, blue = video["image"].mean(axis=(1, 2)).T
            np.testing.assert_allclose(red + blue, 50 + 4 * np.arange(0, 24, 3), atol=5)
            if name == "train":
                assert "answer" not in video
            else:  # yes is red, so that no label is another video's
                assert video["answer"].dtype == bool and video["answer"] == (red[0] > blue[0])
    answers = [split[i]["answer"] for i in range(len(split))]
    assert sum(answers) == 8  # of 16


def test_batches_tell_the_answer(source):
    prepare(source)
    config = data_config("physion", source.parent / "data", 16)
    (batch,) = pipeline.evaluation_batches(config, "readout", 16, num_threads=1)
    assert batch["image"].shape == (16, 2, 16, 16, 3) and batch["frame_valid"].all()
    assert batch["answer"].shape == (16,) and batch["answer"].dtype == bool
    assert batch["answer"].sum() == 8
    np.testing.assert_array_equal(np.bincount(batch["scenario"]), [2] * 8)
    assert not {"mask", "classes", "boxes", "crowd"} & batch.keys()
    (batch,) = pipeline.evaluation_batches(config, "train", 8, num_threads=1)
    assert "answer" not in batch
    config.clip_frames = 2
    batch = next(pipeline.train_batches(config, 4, 0, num_threads=1))
    assert batch["image"].shape == (4, 2, 16, 16, 3)
    protocol = open_split(config, "test").protocol(16)
    assert "every third of the first 150 frames" in protocol and "no masks" in protocol


def test_archives_may_lie_in_folders_of_their_own(short, tmp_path):
    source = write_physion(tmp_path / "source", 6, "Physion", "PhysionTrainMP4s")
    assert "16 of 1174 published test" in prepare(source)


def test_all_glitchy_names_are_test_names():
    names = physion.GLITCHES.read_text().split()
    assert len(set(names)) == 26 and all(physion.key_of(name) == name for name in names)
    assert physion.key_of("pilot-containment-box-redyellow_0004_img.mp4") in names


def wrong_word(source):
    path = source / LABELS
    path.write_text(path.read_text().replace("False", "false", 1))


def twice(source):
    with (source / READOUT_LABELS).open("a") as file:
        file.write("collide_0000,True\n")


def no_label(source):
    add_video(source / "Collide_readout_MP4s" / "other_0003_img.mp4", True, 6)


def no_video(source):
    (source / "Collide_readout_MP4s" / "collide_0001_img.mp4").unlink()


def same_name(source):
    path = source / "Collide_readout_MP4s" / "collide_0001_img.mp4"
    (source / "Roll_readout_MP4s" / path.name).write_bytes(path.read_bytes())


def damaged(source):
    path = source / "Drop_training_MP4s" / "drop_0000_img.mp4"
    path.write_bytes(path.read_bytes()[:300])


def too_short(source):
    add_video(source / "Drop_training_MP4s" / "drop_0000_img.mp4", True, 3)


def no_scenario(source):
    (source / "Link_training_MP4s").rename(source / "elsewhere")


def no_table(source):
    (source / LABELS).unlink()


@pytest.mark.parametrize(
    "damage, message",
    [
        (wrong_word, "line [0-9]+ of .*/labels.csv is no name with True or False"),
        (twice, "line 18 of .*/readout_labels.csv labels collide_0000 once more"),
        (no_label, "other_0003_img.mp4 has no label in .*/readout_labels.csv"),
        (no_video, "readout_labels.csv has 1 labels without a video, the first is collide_0001"),
        (same_name, "collide_0001_img.mp4 and .*collide_0001_img.mp4 share a label of"),
        (damaged, "Drop_training_MP4s/drop_0000_img.mp4 is a damaged video"),
        (too_short, "Drop_training_MP4s/drop_0000_img.mp4 is shorter than"),
        (no_scenario, "Link_training_MP4s holds no .mp4: unpack Physion.zip"),
        (no_table, "PhysionTest-Core/labels.csv is missing: unpack Physion.zip"),
    ],
)
def test_what_is_not_as_published_is_one_line(source, damage, message):
    damage(source)
    with pytest.raises(UserError, match=message) as caught:
        prepare(source)
    assert "\n" not in str(caught.value) and not (source.parent / "data").exists()
