"""Work directories at gs://..., on stand-ins: a folder that is called so, and a server."""

import json
import pathlib
import subprocess
import sys
import time

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

from dias_jax.errors import UserError
from dias_jax.files import absolute
from dias_jax.runs import tensorboard, writers
from dias_jax.runs.config_file import check_continuation, holds_config, load_config, save_config
from dias_jax.runs.lock import only_run_in
from dias_jax.runs.trained_model import open_by_name
from tests.faults import kill
from tests.object_store import ObjectStore
from tests.quickly import quick_environment

RUN = "gs://bucket/run"
REPOSITORY = pathlib.Path(__file__).parents[1]


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
    monkeypatch.setattr(tensorboard, "EventsWriter", Silent)
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


def command(store, name, *flags, workdir=RUN):
    """A command of the package in a process that finds its objects in `store`."""
    environment = quick_environment() | store.environment
    environment["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"  # asks at another address
    return subprocess.Popen(
        [sys.executable, "-m", f"dias_jax.{name}", *flags, f"--workdir={workdir}"],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def copy_of(store, folder):
    """The objects of a store as files in `folder`."""
    for name, (_, content) in store.objects.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.mark.slow
def test_a_run_that_is_killed_in_a_store_ends_as_one_on_a_disk(tmp_path):
    pytest.importorskip("gcsfs", reason="needs the extra gcs")
    pytest.importorskip("google.cloud.storage", reason="needs the extra gcs")
    flags = kill.flags_of(15)
    with ObjectStore() as store:
        local = command(store, "train", *flags, workdir=tmp_path / "run")
        assert local.wait() == 0, local.stderr.read()
        first = command(store, "train", *flags)
        while "run/checkpoints/10/commit_success.txt" not in store.objects:
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.05)
        first.kill()
        first.wait()
        second = command(store, "train", *flags)
        printed, said = second.communicate()
        assert second.returncode == 0, said
        assert "step 15 validation" in printed and "step 6 " not in printed
        kill.compare(copy_of(store, tmp_path / "copy") / "run", tmp_path / "run")
        assert not [name for name in store.objects if "incomplete" in name]
        metrics = [
            command(store, "evaluate", workdir=workdir).communicate()[0]
            for workdir in (RUN, tmp_path / "run")
        ]
        assert json.loads(metrics[0])["metrics"] == json.loads(metrics[1])["metrics"]


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_one_line():
    pytest.importorskip("gcsfs", reason="needs the extra gcs")
    with ObjectStore() as store:
        pass  # it is closed now
    gone = command(store, "evaluate")
    said = gone.communicate()[1].strip().splitlines()
    assert gone.returncode == 2
    assert len(said) == 1 and "gs://bucket/run cannot be reached" in said[0]
