"""The commands as a user runs them: results, --help, one-line errors, exit codes."""

import json

import numpy as np
import pytest
from PIL import Image

from data_pipelines.drawn import shapes

COMMANDS = (
    "dias_jax.train",
    "dias_jax.evaluate",
    "dias_jax.segment",
    "dias_jax.gallery",
    "dias_jax.compare",
    "dias_jax.convert",
    "dias_jax.weights",
    "data_pipelines.prepare",
    "data_pipelines.preview",
    "experiments.studies.baselines",
    "experiments.studies.ablation",
    "experiments.studies.video",
    "experiments.studies.features",
    "experiments.studies.gradients",
    "experiments.benchmarks.growth",
    "experiments.studies.views",
    "experiments.benchmarks.reduction_cost",
    "experiments.benchmarks.ahead",
    "experiments.benchmarks.gpu",
    "experiments.benchmarks.roofline",
    "experiments.benchmarks.cached_features",
    "experiments.benchmarks.data_speed",
    "dias_jax.demo",
    "experiments.tools.ship",
)


@pytest.mark.slow
def test_train_then_evaluate_then_segment(run_module, tiny_flags, tmp_path):
    workdir = tmp_path / "run"
    run_module("dias_jax.train", *tiny_flags, f"--workdir={workdir}")

    result = run_module("dias_jax.evaluate", f"--workdir={workdir}", "--save_predictions")
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["num_samples"] == 12 and report["step"] in (3, 6)
    assert "shapes validation" in report["protocol"]
    logged = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert report["metrics"] in [line["values"] for line in logged]
    saved = sorted((workdir / "predictions" / "validation").glob("*.npz"))
    assert len(saved) == 12
    assert np.load(saved[0])["decoder"].shape == (32, 32)

    result = run_module(
        "dias_jax.evaluate",
        f"--workdir={workdir}",
        "--split=test",
        "--checkpoint=latest",
        "--config.evaluation.limit=5",
        "--config.model.num_slots=9",
    )
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["num_samples"] == 5 and report["step"] == 6 and "test" in report["protocol"]
    assert len(report["metrics"]["active_slots_histogram"]) == 9

    check_thresholds(run_module, workdir)

    result = run_module("experiments.studies.baselines", f"--workdir={workdir}", "--clusters=2,4")
    assert "k-means, best for each metric (" in result.stdout
    assert "k-means, 4 clusters" in result.stdout and "random initialisation" in result.stdout

    photographs, out = tmp_path / "photographs", tmp_path / "out"
    photographs.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(noise[..., 0]).save(photographs / "grey.png")
    Image.fromarray(noise).convert("CMYK").save(photographs / "a.tif")
    (photographs / "broken.png").write_bytes(b"not a picture")
    result = run_module(
        "dias_jax.segment", f"--workdir={workdir}", f"--out={out}", photographs, check=False
    )
    left_out, error = result.stderr.splitlines()
    assert result.returncode == 2 and left_out.startswith("left out: ") and "broken.png" in left_out
    assert error == "error: 1 of 3 images are left out; they are named above"
    sizes = {path.name: np.load(path)["decoder"].shape for path in out.glob("*.npz")}
    assert sizes == {"a.tif.segments.npz": (40, 60), "grey.png.segments.npz": (40, 60)}


@pytest.mark.slow
def test_own_images_without_masks(run_module, tiny_flags, tmp_path):
    """From a folder of pictures to a gallery; what needs masks says so."""
    for number in range(10):
        image = shapes.render(number, "train", 40).image
        (tmp_path / "own").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "own" / f"{number}.png")
    folders = [f"--source={tmp_path / 'own'}", f"--data_dir={tmp_path / 'data'}"]
    run_module("data_pipelines.prepare", "folder", "--name=own", *folders)
    workdir = tmp_path / "run"
    command = ["dias_jax.train", *tiny_flags, f"--workdir={workdir}", "--config.data.name=own"]
    command += [f"--config.data.data_dir={tmp_path / 'data'}", "--config.steps=2"]
    assert_one_line(run_module(*command, check=False), "a batch of 8", "--config.batch_size=N")
    assert not workdir.exists()  # so that the same command with a smaller batch can begin
    run_module(*command, "--config.batch_size=4")
    assert Image.open(workdir / "images" / "step_0000002.png").height < 5 * 130  # no padding
    report = json.loads(run_module("dias_jax.evaluate", f"--workdir={workdir}").stdout)
    assert "reconstruction" in report["metrics"] and "decoder/ari" not in report["metrics"]
    sweep = ["dias_jax.evaluate", f"--workdir={workdir}", "--thresholds=0,0.1"]
    assert_one_line(run_module(*sweep, check=False), "own was prepared without masks")
    run_module("dias_jax.gallery", f"--workdir={workdir}", f"--out={tmp_path / 'gallery'}")
    assert (tmp_path / "gallery" / "gallery.html").exists()


def check_thresholds(run_module, workdir):
    """Evaluation at several thresholds: table, plot and lists; a bad one gets one line."""
    command = ("dias_jax.evaluate", f"--workdir={workdir}")
    result = run_module(*command, "--thresholds=0.5,0,0.1")
    lines = result.stdout.splitlines()
    rows = [line.split("|")[1:3] for line in lines if line.startswith("| 0")]
    assert [float(threshold) for threshold, _ in rows] == [0, 0.1, 0.5]
    assert float(rows[0][1]) == 4  # nothing merges
    report = json.loads(lines[-1])
    assert report["metrics"]["thresholds"] == [0, 0.1, 0.5]
    assert all(len(values) == 3 for values in report["metrics"].values())
    assert np.asarray(Image.open(workdir / "thresholds_validation.png")).std() > 0
    assert_one_line(run_module(*command, "--thresholds=0,nan", check=False), "0,nan")


def test_help_succeeds(run_module):
    found = json.loads(run_module("tests.helps", *COMMANDS).stdout)
    assert list(found) == list(COMMANDS)
    for command, (code, text) in found.items():
        assert code == 0 and (command in text or "--" in text), (command, text)


def assert_one_line(result, *words):
    """The command failed with one line on stderr that holds the words."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("module", "arguments", "words"),
    [
        ("dias_jax.train", ["--workdir=x"], ["--config"]),
        ("dias_jax.train", ["--config=experiments/shapes.py"], ["--workdir"]),
        ("dias_jax.train", ["--config=experiments/none.py", "--workdir=x"], ["none.py"]),
        ("dias_jax.train", ["--config=experiments/shapes.py", "--config.slots=3"], ["slots"]),
        ("dias_jax.train", ["--config=experiments/coco.py", "--workdir=x"], ["coco", "prepare"]),
        ("dias_jax.evaluate", ["--workdir=nowhere"], ["nowhere"]),
        ("dias_jax.convert", ["nowhere.pth", "x"], ["nowhere.pth", "does not exist"]),
        ("dias_jax.convert", ["nowhere.pth"], ["SRC", "DST"]),
        ("dias_jax.segment", ["--workdir=nowhere", "--out=x", "y.png"], ["nowhere"]),
    ],
)
def test_bad_input_gets_one_line(run_module, module, arguments, words):
    assert_one_line(run_module(module, *arguments, check=False), *words)
