"""The demonstration from start to end, with a tiny model in place of the shipped one."""

import json
import os
import subprocess
import sys

import jax
import pytest

from dias_jax.models import build, shipped
from dias_jax.models.inputs import initialize

# Its own process, because its flags are its own.
SCRIPT = """
import pathlib, sys
from ml_collections import ConfigDict
from dias_jax.cli import run
from dias_jax.models import shipped
from dias_jax import demo
shipped.FOLDER = pathlib.Path(sys.argv.pop())
short = demo.fresh_config
def tiny_config():
    config, tiny = short(), shipped.shipped_config("shapes").unlock()
    tiny.steps, tiny.evaluation.every = config.steps, config.evaluation.every
    return tiny.lock()
demo.fresh_config = tiny_config
run(demo.main)
"""


@pytest.mark.slow
def test_demo_ends_with_rows_and_files(tiny_config, tmp_path, monkeypatch):
    package, out = tmp_path / "package", tmp_path / "out"
    monkeypatch.setattr(shipped, "FOLDER", package)
    variables = initialize(build(tiny_config.model), jax.random.key(0), 32)
    shipped.save("shapes", variables, {"config": tiny_config.to_dict(), "step": 1_234})
    command = [sys.executable, "-c", SCRIPT, f"--out={out}", "--steps=4", "--scenes=4", package]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = result.stdout.splitlines()
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| ")]
    names = [
        f"{model}, {masks} masks"
        for model in ("shipped", "fresh")
        for masks in ("decoder", "aggregator")
    ]
    assert rows[-4:] == names
    assert "1,234 steps" in lines[-4] and "aggregator masks" in lines[-3]
    assert lines[-1] == f"open {out / 'gallery.html'}" and (out / "gallery.html").is_file()
    assert json.loads((out / "fresh" / "config.json").read_text())["evaluation"]["every"] == 1
