"""The command: a summary and 0, or one line and another code."""

import io
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from absl.testing import flagsaver

from data_pipelines import prepare
from data_pipelines.building.build import build
from data_pipelines.records import PREPARED, prepared_directory
from data_pipelines.sets.coco import Coco
from dias_jax import cli
from dias_jax.errors import UserError

REPOSITORY = pathlib.Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data_pipelines.prepare", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_prepare_and_verify(coco, tmp_path):
    result = run("coco", f"--source={coco.source}", f"--data_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.startswith("coco: 11 of 118287 published train, 7 of 5000 published validation")
    assert "images, at most 6 masks each, in " in line
    assert result.stderr == ""  # a bar is for terminals only

    result = run("coco", f"--data_dir={tmp_path}", "--verify")
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    assert line.startswith("coco: every record is intact: 11 of ")

    (damaged,) = tmp_path.rglob("*-validation.array_record*")
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    result = run("coco", f"--data_dir={tmp_path}", "--verify")
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert "of validation in" in line and str(tmp_path / PREPARED["coco"]) in line


KILLED_BUILD = """
import os, signal, sys
from data_pipelines.building import build, builder
from data_pipelines.sets import coco
sizes = []
def boxes_of(*arguments):
    sizes.append(1)
    if len(sizes) == 14:  # in the second split
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
original, builder.boxes_of = builder.boxes_of, boxes_of
build.build(coco.Coco(source=sys.argv[1], data_dir=sys.argv[2]))
"""


def test_a_killed_build_leaves_nothing_that_looks_prepared(coco, tmp_path):
    command = [sys.executable, "-c", KILLED_BUILD, str(coco.source), str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=120)
    assert result.returncode == -signal.SIGKILL
    assert list((tmp_path / "coco").iterdir())  # something had been written
    with pytest.raises(UserError, match="is not prepared"):
        prepared_directory("coco", tmp_path)
    assert build(Coco(source=coco.source, data_dir=tmp_path)).startswith("coco: 11 of 118287")


def test_every_data_set_is_where_it_is_looked_for(tmp_path):
    assert prepare.DATA_SETS.keys() == PREPARED.keys()
    for name, data_set in prepare.DATA_SETS.items():
        built = data_set(source=tmp_path, data_dir=tmp_path)
        assert pathlib.Path(built.data_path) == tmp_path / PREPARED[name]
        assert all((built.FILES or built.ARCHIVES, built.HOMEPAGE, built.LICENSE, built.CITATION))


def test_help():
    result = run("--help")
    assert result.returncode == 0
    assert "--source" in result.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "name one data set"),
        (["imagenet"], "unknown data set 'imagenet'"),
        (["shapes"], "nothing to prepare"),
        (["clevrtex", "--data_dir=x"], "it needs --source: unpack clevrtex_full_part1.tar.gz"),
        (["voc_trainaug", "--data_dir=x"], "it needs --source: unpack voc2012/VOCtrainval_11"),
        (["coco"], "--data_dir is missing"),
        (["coco", "--source=/does/not/exist", "--data_dir=x"], "is neither a directory nor"),
        (["voc", "--source=tests", "--data_dir=/dev/null"], "cannot write /dev/null/voc/2.0.0"),
        (["voc", "--verify", "--data_dir=x"], "'voc' is not prepared in 'x'"),
        (["folder", "--data_dir=x"], "it needs --source: a folder of images"),
        (["folder", "--source=tests/golden.npz", "--data_dir=x"], "golden.npz is no directory"),
        (["folder", "--source=tests", "--masks=nowhere", "--data_dir=x"], "nowhere are no dir"),
        (["coco", "--data_dir=x", "--name=mine"], "--name belong to your own images: prepare fol"),
        (["coco", "junk", "--data_dir=x"], "name one data set, for example: python -m data_pip"),
        (["folder", "--source=", "--data_dir=x"], "--source= is empty: give it a value"),
        (["coco", "--source=tests", "--data_dir="], "--data_dir= is empty"),
        (["folder", "--source=tests", "--data_dir=x", "--name="], "--name= is empty"),
        (["coco", "--data_dir=", "--verify"], "--data_dir= is empty"),
        (["folder", "--source=data_pipelines/building", "--data_dir=x"], "holds no image: name"),
        (["coco", "--source=tests", "--data_dir=README.md"], "cannot write README.md/coco/2.0.0"),
        (["folder", "--source=tests", "--masks=", "--data_dir=x"], "--masks= is empty"),
        (["mine", "--data_dir=x", "--verify"], "unknown data set 'mine': choose one of shapes"),
    ],
)
def test_bad_input_is_one_line(arguments, message, capsys):
    with flagsaver.flagsaver(), pytest.raises(UserError, match=re.escape(message)) as caught:
        prepare.main(cli.parse_flags(["prepare", *arguments], takes_words=True))
    assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_an_error_is_one_line_and_code_two():
    result = run("imagenet")
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: unknown data set 'imagenet': choose one of coco")


@pytest.mark.parametrize("name", ["coco", "voc", "clevrtex"])
def test_a_source_without_what_is_needed_leaves_no_folders(name, tmp_path, capsys):
    (tmp_path / "source").mkdir()
    (tmp_path / "here").mkdir()
    for data_dir in ("here", "not/here"):
        with flagsaver.flagsaver(), pytest.raises(UserError):
            arguments = [f"--source={tmp_path}/source", f"--data_dir={tmp_path / data_dir}"]
            prepare.main(cli.parse_flags(["prepare", name, *arguments], takes_words=True))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["here", "source"]


def test_own_images_by_name(coco, tmp_path):
    photographs = coco.source / "train2017"
    for name in ("first", "second"):
        arguments = [f"--source={photographs}", f"--data_dir={tmp_path}", f"--name={name}"]
        with flagsaver.flagsaver():
            prepare.main(cli.parse_flags(["prepare", "folder", *arguments], takes_words=True))
    assert prepared_directory("second", tmp_path) == tmp_path / "second" / "2.0.0"
    with flagsaver.flagsaver():
        prepare.main(
            cli.parse_flags(
                ["prepare", "first", f"--data_dir={tmp_path}", "--verify"], takes_words=True
            )
        )
    with pytest.raises(UserError, match=r"'third'.*ytvis_hq, first, second \(prepared in "):
        prepared_directory("third", tmp_path)


def test_a_terminal_shows_progress(coco, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    build(Coco(source=coco.source, data_dir=tmp_path))
    assert "coco train:" in sys.stderr.getvalue() and "/11 [" in sys.stderr.getvalue()


def test_a_full_disk_is_one_line(coco, tmp_path, monkeypatch):
    def fail(self):  # what the record writer does on a disk without room
        raise RuntimeError("Failed to finalize: No space left on device; writing FILE; at byte 9")

    monkeypatch.setattr(Coco, "download_and_prepare", fail)
    with pytest.raises(
        UserError, match=r"cannot write .*coco.* \(.*No space left on device\): make"
    ):
        build(Coco(source=coco.source, data_dir=tmp_path))
