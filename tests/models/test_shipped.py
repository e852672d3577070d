"""The checkpoints that ship: small, complete, and as good as their record says."""

import json
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from data_pipelines.drawn import shapes
from dias_jax.config.checks import check_config
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError
from dias_jax.evaluation.split import evaluate_model, open_evaluation, protocol_line
from dias_jax.metrics import METRICS
from dias_jax.models import load, shipped
from dias_jax.runs.trained_model import TrainedModel


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name != "shapes" else ())
        for name in shipped.shipped_names()
    ],
)
def test_a_shipped_checkpoint_reaches_its_recorded_metrics(name):
    record, config = shipped.read_record(name), shipped.shipped_config(name)
    model, variables = load(name)
    config.evaluation.limit = record["first"]["num_samples"]
    trained = TrainedModel(model, variables, config, record["step"])
    metrics, _ = evaluate_model(trained, record["split"])
    for masks in ("decoder", "aggregator"):
        for metric in METRICS:
            key = f"{masks}/{metric}"
            # Another processor rounds otherwise: a slot may merge that did not.
            assert metrics[key] == pytest.approx(record["first"]["metrics"][key], abs=0.5)
    assert protocol_line(config, record["split"]) == record["protocol"]


@pytest.mark.parametrize("name", shipped.shipped_names())
def test_a_shipped_checkpoint_is_small_and_documented(name):
    paths = [shipped.FOLDER / f"{name}{suffix}" for suffix in (".safetensors", ".json")]
    assert all(path.stat().st_size <= 3_000_000 for path in paths)
    record = shipped.read_record(name)
    size = len(open_evaluation(shipped.shipped_config(name), record["split"]))
    assert record["num_samples"] == size and len(record["commit"]) == 40
    config = shipped.shipped_config(name)
    check_config(config)
    assert config.is_locked
    expected = load_experiment(name.replace("_released", ":released"))
    expected.accumulation = config.accumulation  # as the device likes it
    expected.steps_per_call = config.steps_per_call  # changes no number, nor do threads
    expected.data.threads = config.data.threads
    expected.data.views = config.data.views  # counts for features in files only
    assert json.loads(config.to_json()) == json.loads(expected.to_json())


@pytest.mark.slow
def test_the_embedded_default_ships():
    model, variables = load("shapes")
    size = shipped.shipped_config("shapes").data.image_size
    images = np.zeros((1, size, size, 3), np.float32)
    output = model.apply(variables, images, rngs={"slots": jax.random.key(0)})
    assert np.isfinite(output.slots).all()


@pytest.mark.slow
def test_commands_use_it_when_no_run_is_named(run_module, tmp_path):
    image = shapes.render(0, "test", 60).image
    Image.fromarray(image).save(tmp_path / "scene.png")
    run_module("dias_jax.segment", f"--out={tmp_path / 'out'}", tmp_path / "scene.png")
    saved = np.load(tmp_path / "out" / "scene.png.segments.npz")
    assert saved["aggregator"].shape == (60, 60) and len(np.unique(saved["aggregator"])) > 2
    result = run_module("dias_jax.evaluate", "--model=clouds", check=False)
    assert result.returncode == 2 and result.stderr.startswith('error: "clouds" is neither')
    result = run_module("dias_jax.evaluate", "--save_predictions", check=False)
    assert result.returncode == 2 and "--out is missing" in result.stderr


def test_an_unknown_name_gets_the_list():
    with pytest.raises(UserError, match='"clouds" is neither .* ships: moving_shapes, shapes'):
        load("clouds")


def test_what_is_saved_is_loaded(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", pathlib.Path(tmp_path) / "checkpoints")
    variables = {
        "params": {"projector": {"norm": {"scale": np.arange(3.0, dtype=np.float32)}}},
        "backbone": {"params": {"kernel": np.ones((2, 2), np.float32)}},
    }
    shipped.save("small", variables, {"config": tiny_config.to_dict(), "step": 3})
    assert shipped.shipped_names() == ["small"] and shipped.read_record("small")["step"] == 3
    found = shipped.read_variables("small")
    jax.tree.map(np.testing.assert_array_equal, found, variables)
    stored, given = shipped.shipped_config("small"), tiny_config
    assert json.loads(stored.to_json()) == json.loads(given.to_json())
