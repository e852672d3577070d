"""The commands on videos, as users type them."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.tiny import TINY, TINY_VIDEO


@pytest.mark.slow
def test_train_then_evaluate_then_gallery_then_segment(run_module, tmp_path):
    workdir, out = tmp_path / "run", tmp_path / "out"
    overrides = [f"--config.{key}={value}" for key, value in (TINY | TINY_VIDEO).items()]
    run_module(
        "dias_jax.train", "--config=dias_jax/config/defaults.py", f"--workdir={workdir}", *overrides
    )

    result = run_module("dias_jax.evaluate", f"--workdir={workdir}", "--released_ari")
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["num_samples"] == 3 and "all frames together" in report["protocol"]
    # So few pixels that nothing wraps.
    for name in ("ari", "fg_ari"):
        found = report["metrics"][f"decoder/{name}_released"]
        assert found == pytest.approx(report["metrics"][f"decoder/{name}"], abs=0.1)
    refused = run_module(
        "dias_jax.evaluate", f"--workdir={workdir}", "--thresholds=0,0.1", check=False
    )
    assert refused.returncode == 2 and "models of images" in refused.stderr

    run_module("dias_jax.gallery", f"--workdir={workdir}", f"--out={out}", "--count=2")
    assert {path.name for path in out.iterdir()} == {"gallery.png", "gallery.webp", "gallery.html"}

    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(5):
        Image.new("RGB", (40, 30), (50 * number, 100, 0)).save(frames / f"{number}.png")
    run_module("dias_jax.segment", f"--workdir={workdir}", f"--out={out}", frames)
    assert Image.open(out / "frames.segments.webp").n_frames == 5
    tracks = np.load(out / "frames.segments.npz")
    assert tracks["decoder"].shape == (5, 30, 40) and tracks["slots"].shape == (5, 4, 16)
