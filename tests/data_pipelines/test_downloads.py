"""Archives: fetched once, checked, unpacked whole or not at all, from a local server."""

import functools
import http.server
import shutil
import threading

import numpy as np
import pytest
import tensorflow_datasets as tfds
from layouts import write_voc

from data_pipelines.building.build import build
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets.coco import Coco
from data_pipelines.sets.voc import Voc
from dias_jax.errors import UserError


@pytest.fixture
def publisher(tmp_path):
    """A folder that is served, and its address."""
    folder = tmp_path / "publisher"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.func.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def publish_voc(folder, tmp_path):
    expected = write_voc(tmp_path / "raw" / "VOCdevkit")
    for year in ("VOC2012", "VOC2007"):
        shutil.make_archive(str(folder / year), "tar", tmp_path / "raw", f"VOCdevkit/{year}")
    return expected


def test_voc_is_fetched_once(publisher, tmp_path, monkeypatch):
    folder, address = publisher
    expected = publish_voc(folder, tmp_path)
    monkeypatch.setattr(Voc, "ARCHIVES", (f"{address}/VOC2012.tar", f"{address}/VOC2007.tar"))
    assert build(Voc(source=None, data_dir=tmp_path)).startswith("voc: 5 of 2913 published train")
    sample = PreparedSplit(tmp_path / PREPARED["voc"], "validation")[2]
    np.testing.assert_array_equal(sample["mask"], expected["2007_000002"][0])

    shutil.rmtree(folder)  # what was fetched is enough
    shutil.rmtree(tmp_path / PREPARED["voc"])
    assert build(Voc(source=None, data_dir=tmp_path)).startswith("voc: 5 of 2913 published train")


def test_archives_in_an_archive_are_unpacked(publisher, coco, tmp_path, monkeypatch):
    folder, address = publisher
    raw = shutil.copytree(coco.source, tmp_path / "raw")
    for name in ("panoptic_train2017", "panoptic_val2017"):
        shutil.make_archive(str(raw / "annotations" / name), "zip", raw / "annotations", name)
        shutil.rmtree(raw / "annotations" / name)
    for name in ("train2017", "val2017", "annotations"):
        shutil.make_archive(str(folder / name), "zip", raw, name)
    names = ("train2017", "val2017", "annotations")
    monkeypatch.setattr(Coco, "ARCHIVES", tuple(f"{address}/{name}.zip" for name in names))
    assert build(Coco(source=None, data_dir=tmp_path)).startswith("coco: 11 of 118287 published")


def no_archive(folder):
    (folder / "VOC2007.tar").unlink()


def no_tar(folder):
    (folder / "VOC2007.tar").write_bytes(b"an error page" * 1000)


@pytest.mark.parametrize(
    ("damage", "reason"), [(no_archive, "HTTP code: 404"), (no_tar, "could not be opened")]
)
def test_what_cannot_be_fetched_is_named(publisher, tmp_path, monkeypatch, damage, reason):
    folder, address = publisher
    publish_voc(folder, tmp_path)
    damage(folder)
    monkeypatch.setattr(Voc, "ARCHIVES", (f"{address}/VOC2012.tar", f"{address}/VOC2007.tar"))
    with pytest.raises(UserError, match=rf"cannot fetch voc \(.*{reason}.*/VOC2007.tar") as caught:
        build(Voc(source=None, data_dir=tmp_path))
    assert "\n" not in str(caught.value) and "--source" in str(caught.value)
    assert not (tmp_path / "downloads" / "voc" / "unpacked").exists()


def test_another_file_than_the_published_one_is_refused(publisher, tmp_path, monkeypatch):
    folder, address = publisher
    publish_voc(folder, tmp_path)
    urls = (f"{address}/VOC2012.tar", f"{address}/VOC2007.tar")
    published = tfds.download.checksums.UrlInfo(size=10, checksum=64 * "0", filename="VOC2007.tar")
    monkeypatch.setattr(Voc, "ARCHIVES", urls)
    monkeypatch.setattr(Voc, "url_infos", {urls[1]: published})
    with pytest.raises(UserError, match="cannot fetch voc .*VOC2007.tar"):
        build(Voc(source=None, data_dir=tmp_path))


def test_every_archive_has_its_checksum():
    for data_set in (Coco, Voc):
        assert set(data_set.ARCHIVES) <= set(data_set.url_infos)
