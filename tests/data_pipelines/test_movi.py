"""MOVi from the publisher's shards, without TensorFlow; damage is one line."""

import io
import struct
import sys

import numpy as np
import pytest
from configs import data_config
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.drawn import moving_shapes
from data_pipelines.records import PREPARED
from data_pipelines.sets.movi import CATEGORIES, MoviC, MoviE, find_shards
from data_pipelines.video_records import PreparedVideos
from dias_jax.errors import UserError

crc32c = pytest.importorskip("google_crc32c").value
SHARDS = {"train": [2, 1], "validation": [1]}  # videos in each shard


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "png")
    return stream.getvalue()


def varint(number):
    digits = []
    while number >= 128:
        digits.append(number & 127 | 128)
        number >>= 7
    return bytes([*digits, number])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def example(features):
    """A tf.train.Example, of lists of bytes and of integers, as the wire has it."""
    entries = b""
    for name, values in features.items():
        if isinstance(values[0], bytes):
            kind = field(1, b"".join(field(1, value) for value in values))
        else:
            kind = field(3, field(1, b"".join(map(varint, values))))
        entries += field(1, field(1, name.encode()) + field(2, kind))
    return field(1, entries)


def frame_record(message):
    def with_checksum(content):
        turned = crc32c(content)
        turned = (turned >> 15) | ((turned << 17) & 0xFFFFFFFF)
        return content + struct.pack("<I", (turned + 0xA282EAD8) % 2**32)

    return with_checksum(struct.pack("<Q", len(message))) + with_checksum(message)


def video_features(index):
    """Frames of a drawn video; the published numbers of its objects are 1, 2, ... and 12."""
    video = moving_shapes.render(index, "test", 24, times=range(6 + index % 2))
    published = np.where(video.mask == 1, 0, video.mask - 1)
    published[published == 2] = 12  # 3.. to 11 and what no frame shows are left out
    return video, {
        "video": [png(frame) for frame in video.image],
        "segmentations": [png(mask.astype(np.uint8)) for mask in published],
        "instances/category": [*range(11), 16],
        "forward_flow": [0, 65535, 300],
        "metadata/video_name": [b"%d" % index],
    }


def write_shards(directory, name="movi_e"):
    directory.mkdir(exist_ok=True)
    videos, index = {}, 0
    for split, counts in SHARDS.items():
        for number, count in enumerate(counts):
            path = directory / f"{name}-{split}.tfrecord-{number:05d}-of-{len(counts):05d}"
            records = []
            for _ in range(count):
                video, features = video_features(index)
                videos.setdefault(split, []).append(video)
                records.append(frame_record(example(features)))
                index += 1
            path.write_bytes(b"".join(records))
    return videos


@pytest.fixture(scope="module")
def movi(tmp_path_factory):
    """Folder of shards, folder of the prepared data, the videos of each split, the summary."""
    source, data_dir = tmp_path_factory.mktemp("movi"), tmp_path_factory.mktemp("prepared")
    videos = write_shards(source)
    return source, data_dir, videos, build(MoviE(source=source, data_dir=data_dir))


def test_videos_are_the_published_ones(movi):
    _, data_dir, videos, summary = movi
    assert summary.startswith("movi_e: 3 train, 1 validation videos, at most ")
    for split, expected in videos.items():
        source = PreparedVideos(data_dir / PREPARED["movi_e"], split)
        assert source.num_frames.tolist() == [len(video.image) for video in expected]
        assert source.max_frames == 7
        for index, video in enumerate(expected):
            sample = source.read(index, 2, 5)
            np.testing.assert_array_equal(sample["image"], video.image[2:5])
            shown = sorted(set(np.unique(video.mask)) - {1, 3})
            shown += [3] if (video.mask == 3).any() else []  # published as 12, so the last
            meaning = np.zeros(9, np.uint8)
            meaning[[1, *shown]] = np.arange(1, 2 + len(shown))
            np.testing.assert_array_equal(sample["mask"], meaning[video.mask[2:5]])
            names = [CATEGORIES[number] for number in sample["classes"]]
            assert names == ["Toys" if i == 3 else CATEGORIES[i - 1] for i in shown]
            np.testing.assert_array_equal(source[index]["image"], video.image)
    assert "every record is intact" in verify(data_dir / PREPARED["movi_e"])
    assert "tensorflow" not in sys.modules


def test_only_the_frames_of_the_clip_are_decoded(movi, monkeypatch):
    seen = []
    decode = sys.modules["data_pipelines.video_records"].decode

    def spy(encoded, name, *rest, **options):
        seen.append(name)
        return decode(encoded, name, *rest, **options)

    monkeypatch.setattr("data_pipelines.video_records.decode", spy)
    PreparedVideos(movi[1] / PREPARED["movi_e"], "train", with_masks=False).read(0, 1, 4)
    assert [name.split(" of ")[0] for name in seen] == ["frame 1", "frame 2", "frame 3"]


def test_batches(movi):
    config = data_config("movi_e", movi[1], 16)
    batch = next(pipeline.train_batches(config, 2, seed=0, num_threads=1))
    assert batch["image"].shape == (2, 5, 16, 16, 3)
    (batch,) = pipeline.evaluation_batches(config, "validation", 2, num_threads=1)
    assert batch["image"].shape == (2, 7, 16, 16, 3) and batch["mask"].shape == (2, 7, 16, 16)
    assert batch["frame_valid"].sum(axis=1).tolist() == [7, 7]
    assert batch["classes"].max() > 0 and batch["boxes"].shape[:2] == (2, 7)


def flip(content):
    content[len(content) // 2] ^= 1


def cut(content):
    del content[-5:]


def lengthen(content):
    content[6] = 9


@pytest.mark.parametrize(
    "edit, message",
    [(flip, "wrong checksum"), (cut, "cut short"), (lengthen, "wrong checksum")],
)
def test_damaged_shards_are_one_line(tmp_path, edit, message):
    write_shards(tmp_path / "movi", "movi_c")
    path = tmp_path / "movi" / "movi_c-train.tfrecord-00001-of-00002"
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"record 0 of .*{path.name} .*{message}") as caught:
        build(MoviC(source=tmp_path / "movi", data_dir=tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_missing_shards(tmp_path):
    write_shards(tmp_path)
    with pytest.raises(UserError, match="has no movi_e-test.tfrecord"):
        find_shards(tmp_path, "movi_e", "test", needed=True)
    assert find_shards(tmp_path, "movi_e", "test", needed=False) == []
    (tmp_path / "movi_e-train.tfrecord-00000-of-00002").unlink()
    with pytest.raises(UserError, match="lacks shard 0 of movi_e-train"):
        find_shards(tmp_path, "movi_e", "train", needed=True)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"video": [b"no image"]}, "1 frames but 6 segmentations"),
        ({"instances/category": [1]}, "other masks than its instances"),
        ({"segmentations": [b"no image"] * 6}, "a mask of video 0 .* is a damaged image"),
        ({"video": [b"no image"] * 6}, "frame 0 of video 0 .* is a damaged image"),
    ],
)
def test_records_that_contradict_themselves(tmp_path, change, message):
    for split in SHARDS:
        record = frame_record(example(video_features(0)[1] | change))
        (tmp_path / f"movi_c-{split}.tfrecord-00000-of-00001").write_bytes(record)
    with pytest.raises(UserError, match=message):
        build(MoviC(source=tmp_path, data_dir=tmp_path / "data"))
