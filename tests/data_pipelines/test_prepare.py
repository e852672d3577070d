"""The command: a summary and 0, or one line and another code."""

import pathlib
import subprocess
import sys

import pytest

REPOSITORY = pathlib.Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "data_pipelines.prepare", *arguments],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_prepare_coco(coco, tmp_path):
    result = run("coco", f"--source={coco.source}", f"--data_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    last = result.stdout.splitlines()[-1]
    assert last.startswith("coco: 11 train, 7 validation images, at most 6 masks each, in ")


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
        (["voc"], "no builder"),
        (["coco", "--data_dir=x"], "--source is missing"),
        (["coco", "--source=/does/not/exist", "--data_dir=x"], "is not a directory"),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert message in line
