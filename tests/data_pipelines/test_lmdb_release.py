"""The reference's releases: the same records as from the publisher's files; nothing is executed."""

import builtins
import io
import pickle
import sys

import numpy as np
import pytest
from layouts import write_clevrtex, write_voc
from PIL import Image

from data_pipelines.building import lmdb_release
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets.clevrtex import Clevrtex
from data_pipelines.sets.coco import Coco, CocoPanoptic
from data_pipelines.sets.voc import Voc
from dias_jax.errors import UserError

lmdb = pytest.importorskip("lmdb", reason="the extra `lmdb` is not installed")


def write_release(path, samples, protocol=None):
    """Writes samples as the reference's converters do."""
    environment = lmdb.open(str(path), subdir=False, map_size=2**26)
    keys = [f"{number:06d}".encode() for number in range(len(samples))]
    with environment.begin(write=True) as transaction:
        for key, sample in zip(keys, samples, strict=True):
            encoded = sample if isinstance(sample, bytes) else pickle.dumps(sample, protocol)
            transaction.put(key, encoded)
        transaction.put(b"__keys__", pickle.dumps(keys, protocol))
    environment.close()


def png(array):
    encoded = io.BytesIO()
    Image.fromarray(array).save(encoded, format="PNG")
    return np.frombuffer(encoded.getvalue(), np.uint8).copy()


def read(directory, split, **options):
    """All samples of a prepared split."""
    source = PreparedSplit(directory, split, **options)
    return [source[index] for index in range(len(source))]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("data_set", [Coco, CocoPanoptic])
def test_coco(coco, tmp_path, data_set, protocol):
    """The release of a split is made of the panoptic records, which keep every segment."""
    build(CocoPanoptic(source=coco.source, data_dir=tmp_path / "panoptic"))
    for split, name in [("train", "train"), ("validation", "val")]:
        published = read(tmp_path / "panoptic" / PREPARED["coco_panoptic"], split)
        samples = []
        for sample in published:
            mask, classes = sample["mask"], sample["classes"]
            samples.append(
                {
                    "image": png(sample["image"]).tobytes(),
                    "segment": png(np.where(mask, mask - 1, 0).astype(np.uint8)),
                    "clazz": classes.astype(np.uint8),
                    "isthing": classes < 100,
                }
            )
        write_release(tmp_path / f"{name}.lmdb", samples, protocol)
    build(data_set(source=tmp_path / "train.lmdb", data_dir=tmp_path / "data"))
    expected = {"coco": coco.data_dir, "coco_panoptic": tmp_path / "panoptic"}[data_set.name]
    for split in ("train", "validation"):
        found = read(tmp_path / "data" / PREPARED[data_set.name], split)
        for one, other in zip(found, read(expected / PREPARED[data_set.name], split), strict=True):
            assert one.keys() == other.keys() - {"crowd"}  # a release does not tell
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])


def test_voc(tmp_path):
    build(Voc(source=_voc_source(tmp_path), data_dir=tmp_path / "published"))
    for split, name in [("train", "train"), ("validation", "val")]:
        published = read(tmp_path / "published" / PREPARED["voc"], split)
        samples = [
            {"image": png(sample["image"]).tobytes(), "segment": png(sample["mask"])}
            for sample in published
        ]
        write_release(tmp_path / f"{name}.lmdb", samples)
    build(Voc(source=tmp_path / "train.lmdb", data_dir=tmp_path))
    for split in ("train", "validation"):
        published = read(tmp_path / "published" / PREPARED["voc"], split)
        found = read(tmp_path / PREPARED["voc"], split)
        for one, other in zip(found, published, strict=True):
            for key in ("image", "mask", "boxes"):
                np.testing.assert_array_equal(one[key], other[key])
            assert one["classes"].tolist() == [0] * len(other["classes"])


def _voc_source(tmp_path):
    write_voc(tmp_path / "VOCdevkit")
    return tmp_path / "VOCdevkit"


def test_clevrtex(tmp_path):
    write_clevrtex(tmp_path / "raw", [("full", 3), ("outd", 2)])
    build(Clevrtex(source=tmp_path / "raw", data_dir=tmp_path / "published"))
    directory = tmp_path / "published" / PREPARED["clevrtex"]
    for split, name in [("train", "train"), ("validation", "val")]:
        samples = [
            {
                "image": png(sample["image"]).tobytes(),
                "segment": png(sample["mask"] - 1),
                "depth": png(sample["depth"]),
            }
            for sample in read(directory, split, with_depth=True)
        ]
        write_release(tmp_path / f"{name}.lmdb", samples)
    build(Clevrtex(source=tmp_path / "train.lmdb", data_dir=tmp_path))
    assert "every record is intact" in verify(tmp_path / PREPARED["clevrtex"])
    for split in ("train", "validation"):
        found = read(tmp_path / PREPARED["clevrtex"], split, with_depth=True)
        for one, other in zip(found, read(directory, split, with_depth=True), strict=True):
            for key in ("image", "mask", "boxes", "depth"):
                np.testing.assert_array_equal(one[key], other[key])


class Attack:
    """A pickle that writes a file as soon as it is read carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.open, (str(self.path), "w")


def test_a_malicious_pickle_is_refused(tmp_path):
    mark = tmp_path / "mark"
    pickle.loads(pickle.dumps(Attack(mark))).close()
    assert mark.exists()  # so it would have worked
    mark.unlink()
    write_release(tmp_path / "train.lmdb", [{"image": Attack(mark), "segment": b""}])
    write_release(tmp_path / "val.lmdb", [])
    with pytest.raises(UserError, match="000000 is refused.*it asks for .*open") as caught:
        build(Voc(source=tmp_path / "train.lmdb", data_dir=tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert not mark.exists()
    assert not (tmp_path / "data" / PREPARED["voc"]).exists()


@pytest.mark.parametrize(
    "value",
    [
        np.array([{"a": 1}], dtype=object),
        np.arange(4, dtype=np.int64),
        np.zeros(3),
        np.float32(1),
        range(3),
    ],
    ids=lambda value: type(value).__name__,
)
def test_anything_but_plain_data_is_refused(value):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(UserError, match="x is refused"):
            lmdb_release.unpickle(pickle.dumps({"image": value}, protocol), "x")


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"garbage",
        pickle.dumps({"a": b"b" * 100})[:-20],
        b"cnumpy\nndarray\n(lp0\nb.",  # sets the state of a class
        b"cnumpy\ndtype\n)R.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"c__builtin__\ngetattr\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x13ndarray.__subclasses__\x93.",
    ],
)
def test_damaged_and_crafted_pickles_are_refused(encoded):
    with pytest.raises(UserError, match="x is refused"):
        lmdb_release.unpickle(encoded, "x")


def test_what_is_no_release_is_named(tmp_path, monkeypatch):
    write_release(tmp_path / "train.lmdb", [{"image": b""}])
    with pytest.raises(UserError, match="cannot read .*val.lmdb"):
        build(Voc(source=tmp_path / "train.lmdb", data_dir=tmp_path / "data"))
    write_release(tmp_path / "val.lmdb", [{"image": b""}])
    with pytest.raises(UserError, match="train.lmdb:000000 lacks 'segment'"):
        build(Voc(source=tmp_path / "train.lmdb", data_dir=tmp_path / "data"))
    (tmp_path / "other.lmdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match="cannot read .*other.lmdb"):
        lmdb_release.open_release(tmp_path / "other.lmdb")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(UserError, match=r'pip install "dias_jax\[lmdb\]"'):
        lmdb_release.open_release(tmp_path / "train.lmdb")
