"""Every experiment loads, builds and says how to run it; the package holds them all."""

import pathlib
import tomllib

import jax
import pytest

from dias_jax.config.checks import check_config
from dias_jax.config.defaults import complete, flatten, get_config
from dias_jax.config.experiments import (
    experiment_folder,
    experiment_names,
    load_experiment,
    name_files,
)
from dias_jax.errors import UserError
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize

ROOT = pathlib.Path(__file__).parents[1]
NAMES = (
    "bouncing",
    "clevrtex",
    "coco",
    "movi_c",
    "movi_d",
    "movi_e",
    "moving_shapes",
    "physion",
    "shapes",
    "voc",
    "ytvis",
)
OF_RELEASED = "released", {"probe.things", "probe.knows_nothing"}
PROBES = {  # trained on slots: {experiment: (variant, the keys that differ)}
    "prediction_bouncing": ("states", {"probe.slots"}),
    "prediction_physion": (None, set()),
    "prediction_ytvis": (None, set()),
    "properties_shapes": ("loss", {"probe.matching"}),
    "reasoning_bouncing": ("oracle", {"readout.sees"}),
    "reasoning_physion": ("observed", {"readout.sees"}),
    "recognition_coco": OF_RELEASED,
    "recognition_shapes": OF_RELEASED,
    "recognition_ytvis": OF_RELEASED,
}
VARIANTS = (*NAMES, *(f"{name}:released" for name in NAMES), "shapes:side_by_side")


def test_experiments_are_found():
    assert tuple(experiment_names()) == tuple(sorted([*NAMES, *PROBES]))
    files = [f"--config={experiment_folder() / 'shapes.py'}:released", "--config.steps=2"]
    assert name_files(["--config=shapes:released", "--config.steps=2"]) == files


@pytest.mark.parametrize("name", VARIANTS)
def test_experiment_builds(name):
    config = load_experiment(name)
    check_config(config)
    assert flatten(config).keys() == flatten(get_config()).keys()
    assert config.is_locked
    model = build(config.model)
    shapes = jax.eval_shape(
        lambda key: initialize(model, key, config.data.image_size), jax.random.key(0)
    )
    assert shapes["params"]["decoder"]["positions"].shape[0] == config.model.decoder.num_tokens


@pytest.mark.parametrize("name", NAMES)
def test_experiment_is_short_and_says_how_to_run_it(name):
    text = (experiment_folder() / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    command = f"python -m dias_jax.train --config={name} "
    for word in (command, f"`{name}:released`", "Hardware", "FG-ARI"):
        assert word in text


@pytest.mark.parametrize("name", PROBES)
def test_experiments_of_probes(name):
    variant, keys = PROBES[name]
    names = name, f"{name}:{variant}" if variant else name
    ours, other = (flatten(load_experiment(n)) for n in names)
    check_config(load_experiment(name))
    assert ours.keys() == flatten(get_config()).keys() and ours["task"] == name.split("_")[0]
    assert {name for name in ours if ours[name] != other[name]} == keys
    text = (experiment_folder() / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 40
    for command in ("extract --", f"train --config={name} ", "evaluate --workdir="):
        assert f"python -m dias_jax.{command}" in text
    assert "--split=" in text and "Hardware" in text


@pytest.mark.parametrize("name", (*NAMES, *PROBES))
def test_unknown_variants_are_user_errors(name):
    with pytest.raises(UserError, match=PROBES.get(name, ["released"])[0] or "no variant"):
        load_experiment(f"{name}:other")


def test_an_unknown_variant_is_one_line_on_the_command_line(run_module, tmp_path):
    arguments = "dias_jax.train", "--config=coco:other", f"--workdir={tmp_path}"
    result = run_module(*arguments, check=False)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and "coco:released" in result.stderr


@pytest.mark.parametrize("name", NAMES)
def test_released_variants_only_lack_the_reinitialisation(name):
    paper, released = (flatten(load_experiment(n)) for n in (name, f"{name}:released"))
    keys = {"model.reinit.threshold", "model.reinit.num_iterations"}
    assert all(paper[key] > 0 and released[key] == 0 for key in keys)
    if paper["start_from"]:  # of a model that was trained without it, too
        keys.add("start_from")
    assert {key for key in paper if paper[key] != released[key]} == keys


def test_published_recipes():
    expected = {"coco": (7, 100_000), "voc": (6, 50_000), "clevrtex": (11, 50_000)}
    for name, (slots, steps) in expected.items():
        config = load_experiment(name)
        assert (config.model.num_slots, config.steps) == (slots, steps)
        assert config.steps // config.evaluation.every == 40
        assert (config.batch_size, config.optimizer.learning_rate) == (32, 2e-4)


def test_stored_configs_get_the_keys_they_lack():
    stored = get_config().to_dict()
    stored["data"]["crop_scale"] = [0.5, 1.0]  # JSON knows no tuples
    stored["evaluation"]["best"] = "aggregator"  # as it was called before
    del stored["model"]["token_stride"], stored["evaluation"]["masks"]
    config = complete(stored)
    assert config.is_locked and config.model.token_stride == 1
    assert tuple(config.data.crop_scale) == (0.5, 1.0)
    assert config.evaluation.masks == "aggregator"
    assert flatten(config).keys() == flatten(get_config()).keys()


def test_every_folder_of_modules_is_packaged():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {"experiments": "dias_jax.experiments"}  # where it is installed
    found = set()
    for top in ("dias_jax", "data_pipelines", "experiments"):
        for path in (ROOT / top).rglob("*.py"):
            first, *rest = path.parent.relative_to(ROOT).parts
            found.add(".".join([folders.get(first, first), *rest]))
            assert (path.parent / "__init__.py").is_file()
    assert settings["packages"] == sorted(found)
    assert settings["package-dir"] == {"dias_jax.experiments": "experiments"}
    for package, patterns in settings["package-data"].items():
        folder = package.replace("dias_jax.experiments", "experiments").replace(".", "/")
        assert all(list((ROOT / folder).glob(pattern)) for pattern in patterns)
