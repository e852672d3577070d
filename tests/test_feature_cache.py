"""Features in files: what is in them, what is trained on them, and what is refused."""

import json
import shutil
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.drawn import moving_shapes, shapes
from dias_jax import feature_cache
from dias_jax.errors import UserError
from dias_jax.evaluation.features import extract_features
from dias_jax.evaluation.split import evaluate_model
from dias_jax.feature_cache import FeatureCache
from dias_jax.models.build import build
from dias_jax.models.inputs import normalize
from dias_jax.runs.state import start_variables
from dias_jax.runs.trained_model import open_run
from dias_jax.sample_files import HEADER
from dias_jax.steps.training import train_step
from dias_jax.tasks.of_config import task_of
from dias_jax.training import loop
from dias_jax.training.optimizer import build_optimizer
from dias_jax.training.train_model import train_model
from tests.faults.kill import differences
from tests.faults.processes import final_state
from tests.test_loop import metrics_of
from tests.tiny import make_tiny_config, make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

NUM_IMAGES = 40
VIT = {"name": "vision_transformer", "depth": 1, "position_grid": 4, "weights": "random"}


def turned(self, sample, rng, data_config):
    """A random view of training, which drawn scenes have not."""
    return np.roll(sample["image"], rng.integers(1, 32), axis=1), sample["mask"]


def extract(config, folder, *splits):
    for split in splits or ("train", config.evaluation.split):
        extract_features(config, split, folder)
    return str(folder)


def losses_of(lines):
    return [line["values"]["loss"] for line in lines if line["split"] == "train"]


@pytest.fixture
def config(tiny_config, monkeypatch):
    """A tiny model, two files of training images, each of which has one view."""
    monkeypatch.setitem(shapes.SPLIT_SIZES, "train", NUM_IMAGES)
    monkeypatch.setattr(feature_cache, "BYTES_PER_FILE", 1)
    tiny_config.data.views = 1
    return tiny_config


def test_what_is_extracted(config, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes.Shapes, "training_view", turned)
    config.data.views = 2
    model = build(config.model)
    variables = start_variables(config, model)[0]
    config.data.features = extract(config, tmp_path)
    for split, views, size in (("train", 2, 80), ("validation", 0, 12)):
        cache = feature_cache.open_features(config, split)
        assert len(cache) == size and cache.views == max(views, 1)
        assert len(list(cache.folder.glob("*.array_record"))) == -(-size // 32)
        (batch,) = pipeline.view_batches(config.data, split, size, views, limit=size)
        images = normalize(batch["image"])
        expected = jax.jit(lambda x: model.apply(variables, x, method="extract_features"))(images)
        found = [cache[i] for i in range(size)]
        features = np.stack([sample["features"] for sample in found])
        assert features.dtype == jnp.bfloat16
        np.testing.assert_allclose(features.astype(np.float32), expected, rtol=2**-8, atol=1e-5)
        for name in ("index", "replaced"):
            np.testing.assert_array_equal([sample[name] for sample in found], batch[name])
    first, second = (feature_cache.open_features(config, "train")[i]["features"] for i in (0, 1))
    assert (first != second).any()


@pytest.mark.slow
def test_training_is_that_from_images_but_for_rounding(config, tmp_path):
    images = train_model(config, tmp_path / "images")
    config.data.features = extract(config, tmp_path / "features")
    features = train_model(config, tmp_path / "on_features")
    # Rounding to eight bits, amplified by six steps of Adam, which move parameters by up to 0.003.
    chex.assert_trees_all_close(
        features.variables["params"], images.variables["params"], rtol=0, atol=1e-3
    )
    expected, found = (metrics_of(tmp_path / name) for name in ("images", "on_features"))
    assert losses_of(found) == pytest.approx(losses_of(expected), rel=5e-3)
    assert losses_of(found) != losses_of(expected)
    assert found[-1]["protocol"] == expected[-1]["protocol"] + "; features in bfloat16, from files"
    assert list((tmp_path / "on_features/images").iterdir())

    shutil.rmtree(tmp_path / "features")  # what was trained is a model of images
    model = open_run(tmp_path / "on_features", config, "latest")
    metrics, _ = evaluate_model(model, "validation")
    assert metrics["reconstruction"] == pytest.approx(
        found[-1]["values"]["reconstruction"], rel=5e-3
    )


@pytest.mark.slow
def test_features_that_are_bfloat16_anyway_train_the_same_bits(config, tmp_path):
    config.model.dtype = "bfloat16"
    config.model.backbone.update(VIT)
    from_images = task_of(config)
    config.data.features = extract(config, tmp_path)
    from_files, optimizer = task_of(config), build_optimizer(config)
    state, _ = loop.create_state(config, from_images.model, optimizer)
    states = []
    for task in (from_images, from_files):
        # Not compiled, so that nothing is fused over the place where features are written.
        with jax.disable_jit():
            batch = next(task.train_batches(0))
            arguments = {"loss_fn": task.loss_fn, "optimizer": optimizer}
            states.append(train_step(state, batch, jax.random.key(0), **arguments)[0])
    chex.assert_trees_all_equal(*states)


@pytest.mark.slow
def test_a_run_is_continued_bit_for_bit(config, tmp_path, monkeypatch):
    config.data.features = extract(config, tmp_path / "features")
    config.steps = 8  # more than an epoch
    train_model(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt(patch, 5)
        assert loop.fit(task_of(config), config, tmp_path / "stopped").status == loop.STOPPED
    assert loop.fit(task_of(config), config, tmp_path / "stopped").step == 8
    assert not differences(*(final_state(tmp_path / name) for name in ("whole", "stopped")))


def interrupt(monkeypatch, number):
    """As a signal with the `number`-th batch does."""
    original = pipeline.feature_batches

    def batches(*arguments):
        for count, batch in enumerate(original(*arguments), 1):
            if count == number:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    monkeypatch.setattr(pipeline, "feature_batches", batches)


def test_an_extraction_goes_on_where_it_was_stopped(config, tmp_path, monkeypatch):
    extract(config, tmp_path / "whole", "train")
    complete = FeatureCache.write

    def stopped(path, header, samples):
        if path.stem == "00001":
            raise KeyboardInterrupt
        complete(path, header, samples)

    with monkeypatch.context() as patch:
        patch.setattr(FeatureCache, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            extract(config, tmp_path / "stopped", "train")
    with pytest.raises(UserError, match="lacks 1 of 2 files, the first is 00001.array_record: run"):
        FeatureCache(tmp_path / "stopped", "train")
    extract(config, tmp_path / "stopped", "train")
    whole, parts = (FeatureCache(tmp_path / name, "train") for name in ("whole", "stopped"))
    for i in range(NUM_IMAGES):
        chex.assert_trees_all_equal(parts[i], whole[i])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"data.views": 2},
            "another data.views, 1 and not 2: set --config.data.views=1, name",
        ),
        ({"data.crop_scale": (0.5, 1.0)}, r"another data.crop_scale, \[0.75, 1.0\] and not"),
        ({"data.flip": False}, "another data.flip, True and not False"),
        ({"data.seed": 1}, "another data.seed, 0 and not 1"),
        ({"data.image_size": 64}, "another data.image_size, 32 and not 64"),
        ({"model.dtype": "bfloat16"}, "another model.dtype, float32 and not bfloat16"),
        ({"model.backbone.patch_size": 4}, "another model.backbone.patch_size, 8 and not 4"),
        ({"evaluation.limit": 13}, "validation holds features of 12 samples, 13 are wanted"),
        ({"evaluation.split": "test"}, "test/cache.json does not exist: python -m dias_jax.extr"),
        ({"evaluation.split": "train"}, "name another config.evaluation.split"),
        ({"data.features": "nowhere"}, "nowhere/train/cache.json does not exist"),
    ],
)
def test_features_of_something_else_are_refused(config, features_of, changes, message):
    config.data.features = features_of
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message) as error:
        task_of(config)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def features_of(tmp_path_factory):
    """The folder of the tiny config's features, only to read."""
    config = make_tiny_config()
    config.data.views = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shapes.SPLIT_SIZES, "train", NUM_IMAGES)
        patch.setattr(feature_cache, "BYTES_PER_FILE", 1)
        return extract(config, tmp_path_factory.mktemp("features"))


def test_what_changes_nothing_is_taken(config, features_of):
    config.data.features, config.evaluation.limit = features_of, 5
    config.update_from_flattened_dict({"seed": 1, "model.num_slots": 3, "data.threads": 2})
    task_of(config)


def test_features_of_another_number_of_images_are_refused(config, features_of, monkeypatch):
    config.data.features = features_of
    monkeypatch.setitem(shapes.SPLIT_SIZES, "train", NUM_IMAGES - 1)
    with pytest.raises(UserError, match="train holds features of another num_samples, 40 and not"):
        task_of(config)


def test_features_of_other_weights_are_refused(config, tmp_path):
    config.model.backbone.update(VIT)
    config.data.features = extract(config, tmp_path / "features")
    loop.create_state(config, build(config.model), build_optimizer(config))
    config.seed += 1
    message = "train holds features of another weights, random, seed 42 and not random, seed 43: "
    with pytest.raises(UserError, match=message):
        loop.fit(task_of(config), config, tmp_path / "run")
    with pytest.raises(UserError, match=message):
        extract(config, tmp_path / "features")
    assert not (tmp_path / "run/config.json").exists()


def test_damaged_files_are_one_line(config, features_of, tmp_path):
    config.data.features = str(shutil.copytree(features_of, tmp_path / "features"))
    folder = tmp_path / "features/train"
    path = next(folder.glob("*.array_record"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="train is damaged"):
        task_of(config)
    path.unlink()
    with pytest.raises(UserError, match="lacks 1 of 2 files"):
        task_of(config)
    header = json.loads((folder / HEADER).read_text())
    for text in ("{", json.dumps(header | {"shape": 3}), json.dumps({"shape": [1]})):
        (folder / HEADER).write_text(text)
        with pytest.raises(UserError, match="cache.json is damaged"):
            task_of(config)


@pytest.mark.slow
def test_a_run_may_change_to_features_only_where_that_is_allowed(config, features_of, tmp_path):
    train_model(config, tmp_path)
    config.data.features, config.steps = features_of, 8
    with pytest.raises(UserError, match="config.data.features=, not .*: .* add --allow_change"):
        loop.fit(task_of(config), config, tmp_path)
    loop.fit(task_of(config), config, tmp_path, allow_change=True)
    change = next(line for line in metrics_of(tmp_path) if line["split"] == "config")
    assert change["values"] == {"data.features": features_of, "steps": 8}


@pytest.mark.slow
def test_clips_have_features_too(tmp_path, monkeypatch):
    monkeypatch.setitem(moving_shapes.SPLIT_SIZES, "train", 4)
    config = make_tiny_video_config()
    config.data.views = 1
    train_model(config, tmp_path / "videos")
    config.data.features = extract(config, tmp_path / "features")
    assert FeatureCache(tmp_path / "features", "train")[0]["features"].shape == (3, 4, 4, 16)
    assert FeatureCache(tmp_path / "features", "validation")[0]["features"].shape[0] == 16
    train_model(config, tmp_path / "on_features")
    expected, found = (metrics_of(tmp_path / name) for name in ("videos", "on_features"))
    assert losses_of(found) == pytest.approx(losses_of(expected), rel=5e-3)
    config.model.video.boxes, config.model.num_slots = True, 9
    with pytest.raises(UserError, match="holds no boxes of its views: set config.model.video.box"):
        task_of(config)
    config.data.clip_frames, config.model.video.boxes = 4, False
    with pytest.raises(UserError, match="another num_samples|another frames, 3 and not 4|protocol"):
        task_of(config)


@pytest.mark.slow
def test_the_commands(tiny_flags, run_module, tmp_path):
    """Photographs in two views each, written and trained on by two devices."""
    for split, size in (("train", 12), ("validation", 8)):
        (tmp_path / "photographs" / split).mkdir(parents=True)
        for index in range(size):
            path = tmp_path / "photographs" / split / f"{index}.png"
            Image.fromarray(shapes.render(index, split, 64).image).save(path)
    data = f"--data_dir={tmp_path / 'data'}", "--name=mine"
    run_module("data_pipelines.prepare", "folder", f"--source={tmp_path / 'photographs'}", *data)
    flags = [*tiny_flags, f"--config.data.data_dir={tmp_path / 'data'}", "--config.data.name=mine"]
    flags += ["--config.data.views=2", "--config.evaluation.limit=0"]
    out = tmp_path / "features"
    result = run_module("dias_jax.extract", "--features", f"--out={out}", *flags, devices=2)
    assert result.stdout.splitlines() == [f"features in {out / s}" for s in ("train", "validation")]
    assert [len(FeatureCache(out, split)) for split in ("train", "validation")] == [24, 8]
    train = f"--workdir={tmp_path / 'run'}", f"--config.data.features={out}"
    run_module("dias_jax.train", *flags, *train, devices=2)
    assert len(metrics_of(tmp_path / "run")) == 6
    run_module("dias_jax.evaluate", f"--workdir={tmp_path / 'run'}")

    def refuses(message, *arguments):
        result = run_module("dias_jax.extract", *arguments, f"--out={out}", check=False)
        assert result.returncode == 2 and message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1

    three = "--config.data.views=3"
    refuses("holds features of another data.views, 2 and not 3", "--features", *flags, three)
    refuses("--views is of slots", "--features", "--views=3", *flags)
    refuses("--config=NAME is of --features", *flags)
    refuses("--config is missing", "--features")
    refuses("no split 'nosuch'", "--features", *flags, "--config.evaluation.split=nosuch")
