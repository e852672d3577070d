"""Every experiment loads, builds and says how to run it."""

import importlib
import pathlib

import jax
import pytest

from dias_jax.config import check_config, flatten
from dias_jax.models import build
from dias_jax.state import initialize
from experiments import base

FILES = sorted(
    path
    for path in pathlib.Path(base.__file__).parent.glob("*.py")
    if "def get_config" in path.read_text()
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_experiment_builds(path):
    module = importlib.import_module(f"experiments.{path.stem}")
    config = module.get_config()
    check_config(config)
    assert flatten(config.to_dict()).keys() == flatten(base.get_config().to_dict()).keys()
    assert config.is_locked
    model = build(config.model)
    shapes = jax.eval_shape(
        lambda key: initialize(model, key, config.data.image_size), jax.random.key(0)
    )
    assert shapes["params"]["decoder"]["positions"].shape[0] == config.model.decoder.num_tokens


@pytest.mark.parametrize("path", [p for p in FILES if p.stem != "base"], ids=lambda path: path.stem)
def test_experiment_is_short_and_says_how_to_run_it(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 40
    for word in ("python -m dias_jax.train", f"experiments/{path.name}", "Hardware", "FG-ARI"):
        assert word in text


@pytest.mark.parametrize("name", ["coco", "voc", "clevrtex", "shapes"])
def test_released_variants_only_lack_the_reinitialisation(name):
    paper, released = (
        flatten(importlib.import_module(f"experiments.{n}").get_config().to_dict())
        for n in (name, f"{name}_released")
    )
    keys = {"model.reinit.threshold", "model.reinit.num_iterations"}
    assert all(paper[key] > 0 and released[key] == 0 for key in keys)
    assert {key for key in paper if paper[key] != released[key]} == keys


def test_published_recipes():
    expected = {"coco": (7, 100_000), "voc": (6, 50_000), "clevrtex": (11, 50_000)}
    for name, (slots, steps) in expected.items():
        config = importlib.import_module(f"experiments.{name}").get_config()
        assert (config.model.num_slots, config.steps) == (slots, steps)
        assert config.steps // config.evaluation.every == 40
        assert (config.batch_size, config.optimizer.learning_rate) == (32, 2e-4)


def test_stored_configs_get_the_keys_they_lack():
    stored = base.get_config().to_dict()
    stored["data"]["crop_scale"] = [0.5, 1.0]  # JSON knows no tuples
    del stored["model"]["token_stride"]
    config = base.complete(stored)
    assert config.is_locked and config.model.token_stride == 1
    assert tuple(config.data.crop_scale) == (0.5, 1.0)
    assert flatten(config.to_dict()).keys() == flatten(base.get_config().to_dict()).keys()
