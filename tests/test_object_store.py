"""Work directories at gs://...: what is written beside the checkpoints, on a local stand-in."""

import json

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from dias_jax.errors import UserError
from dias_jax.files import absolute
from dias_jax.runs import writers
from dias_jax.runs.config_file import check_continuation, holds_config, load_config, save_config
from dias_jax.runs.lock import only_run_in
from dias_jax.runs.trained_model import open_by_name

RUN = "gs://bucket/run"


@pytest.fixture
def store(tmp_path):
    """A folder in which gs:// lies; as in an object store, nothing can be appended to."""

    class Store(LocalFileSystem):
        protocol = ("gcs", "gs")

        def __init__(self, **options):
            super().__init__(auto_mkdir=True)

        @classmethod
        def _strip_protocol(cls, path):
            place = str(path).removeprefix("gs://").removeprefix("gcs://")
            is_local = place.startswith(str(tmp_path))
            return super()._strip_protocol(place if is_local else f"{tmp_path}/{place}")

        def open(self, path, mode="rb", **options):
            assert "a" not in mode, "objects cannot grow"
            return super().open(path, mode, **options)

    registry = dict(fsspec.registry)
    fsspec.register_implementation("gcs", Store, clobber=True)
    Store.clear_instance_cache()
    yield tmp_path / "bucket"
    fsspec.register_implementation("gcs", registry.get("gcs", "gcsfs.GCSFileSystem"), clobber=True)


def test_config_log_and_pictures(store, tiny_config, monkeypatch):
    monkeypatch.setattr(writers, "SummaryWriter", Silent)
    assert not holds_config(RUN)
    with only_run_in(RUN):
        save_config(tiny_config, RUN)
        assert load_config(RUN) == tiny_config
        assert check_continuation(tiny_config, RUN) == {}
        writer = writers.Writer(RUN, 0)
        for step in (1, 2, 3):
            writer.scalars(step, "train", {"loss": 1.0})
        writer.picture(3, "validation", Image.fromarray(np.zeros((2, 3, 3), np.uint8)))
    assert Image.open(store / "run" / "images" / "step_0000003.png").size == (3, 2)
    with (store / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "spl')
    writers.Writer(RUN, 2)
    lines = (store / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert (store / "run" / "metrics.damaged").read_text() == '{"step": 4, "spl'
    with pytest.raises(UserError, match="holds no config.json"):
        open_by_name("gs://bucket")


class Silent:
    """In place of TensorBoard's writer, which reaches gs:// by a client of its own."""

    def __init__(self, *arguments, **options):
        pass

    def __getattr__(self, name):
        return lambda *arguments, **options: None


def test_where_a_path_leads(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(absolute("run")) == str(tmp_path.resolve() / "run")
    assert str(absolute(RUN)) == RUN
