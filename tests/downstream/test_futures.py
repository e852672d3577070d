"""Futures decoded from slots alone: nothing of the true future reaches a prediction."""

import functools

import jax
import numpy as np
import pytest
from PIL import Image

from data_pipelines import pipeline
from dias_jax.config.defaults import get_config
from dias_jax.downstream.slotformer import SlotFormer
from dias_jax.errors import UserError
from dias_jax.evaluation import futures
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.split import read_evaluation
from dias_jax.gallery.futures import write_futures
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.pictures.horizon import plot_horizon
from dias_jax.tasks import prediction
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from dias_jax.training.train_model import train_model
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

OBSERVED = 3
PREDICTIONS = {"roll_out", "copy_last", "linear", "transition"}


@pytest.fixture(scope="module")
def config():
    config = make_tiny_video_config()
    config.data.name = "bouncing"
    config.evaluation.update(clip_frames=6, limit=2)
    config.rollout.observed = OBSERVED
    return config


@pytest.fixture(scope="module")
def models(config):
    """A video model and a roll-out, and the variables of both, untrained."""
    video = build(config.model)
    rollout = SlotFormer(config.model.slot_width, OBSERVED, 8, 1, 2, 8)
    variables = (
        jax.jit(functools.partial(initialize, video, image_size=32))(jax.random.key(0)),
        initialize(rollout, jax.random.key(1), 32),
    )
    return video, rollout, variables


@pytest.fixture(scope="module")
def batch(config):
    return next(read_evaluation(config, "test", 0, 2))


def tell(models, batch):
    return futures.tell_futures(*models, batch, OBSERVED, 1, jax.random.key(2))


@pytest.mark.slow
def test_the_future_does_not_reach_its_prediction(models, batch):
    told = tell(models, batch)
    changed = batch | {"image": batch["image"].copy()}
    changed["image"][:, OBSERVED:] = 255 - changed["image"][:, OBSERVED:]
    told_again = tell(models, changed)
    for name, slots in told.items():
        is_same = np.array_equal(slots, told_again[name])
        assert is_same == (name not in ("oracle", "features")), name
    assert told.keys() == PREDICTIONS | {"oracle", "slot_mask", "features"}
    video, _, (variables, _) = models
    for name in PREDICTIONS:
        assert told[name].shape == (2, 4, 4, 16)
        np.testing.assert_array_equal(told[name][:, 0], told["oracle"][:, 0])
    maps, features = futures.decode_alone(
        video, variables, told["copy_last"], told["slot_mask"], (32, 32)
    )
    assert maps.shape == (2, 4, 32, 32) and features.shape == (2, 4, 16, 16)
    for decoded in (maps, features):
        np.testing.assert_array_equal(decoded, np.repeat(decoded[:, :1], 4, axis=1))


@pytest.mark.slow
def test_scores_over_the_horizon(config, models, batch, tmp_path):
    """Means over videos, of every frame; halves give what the whole gives."""
    video, rollout, variables = models
    score = functools.partial(
        futures.score_futures, video, rollout, variables, config=config, num_masks=6, observed=3
    )
    whole = score([batch])
    halves = [jax.tree.map(lambda x, i=i: x[i : i + 1], batch) for i in (0, 1)]
    for name, values in score(halves).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-3, atol=0.05, err_msg=name)
        assert values.shape == (3,)
    assert len(whole) == 5 * 6 and whole["oracle/ari"].max() <= 100
    lives = futures.half_lives(whole)
    assert lives.keys() == {f"{name}/half_life" for name in (*PREDICTIONS, "oracle")}
    plot_horizon(whole, futures.PANELS, futures.TITLES, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


def test_errors_of_features_are_of_the_true_frame():
    true = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 2, 2)
    decoded = true.reshape(1, 2, 6, 2).copy()
    decoded[0, 1, 4] += (1, 3)
    np.testing.assert_allclose(futures.feature_errors(decoded, true), [[0, 10 / 12]])


def test_a_model_that_goes_on_alone(config):
    config = config.copy_and_resolve_references()
    config.model.video.transition = "identity"
    video = build(config.model)
    slots = jax.random.normal(jax.random.key(0), (1, 4, 16))
    mask = np.array([[True, True, False, True]])
    found = video.apply({}, slots, mask, 3, method="continue_alone")
    assert found.shape == (1, 3, 4, 16) and not found[:, :, 2].any()
    np.testing.assert_array_equal(found[:, 2, :2], slots[:, :2])
    config.model.video.transition = "random_past"
    with pytest.raises(UserError, match="cannot go on alone"):
        build(config.model).apply({}, slots, mask, 3, method="continue_alone")


def test_whole_videos_are_read(config):
    (batch,) = read_evaluation(config, "test", 1, 3)
    assert batch["image"].shape[1] == 6 and batch["valid"].tolist() == [True, True]
    expected = next(pipeline.evaluation_batches(config.data, "test", 3, clip_frames=6))
    np.testing.assert_array_equal(batch["mask"], expected["mask"][1:])


@pytest.mark.slow
def test_from_a_video_model_to_pictures_of_futures(tmp_path):
    """Slots of a run are predicted; the run decodes them, wherever its folder is named."""
    config = make_tiny_video_config()
    config.data.name, config.steps = "bouncing", 2
    config.evaluation.update(every=2, limit=1, batch_size=1, pictures=0, clip_frames=8)
    trained = train_model(config, tmp_path / "video")
    for split, count in (("train", 5), ("test", 2)):  # windows, 4 a video
        trained.config.evaluation.update(limit=count, batch_size=2)
        extract_split(trained, split, tmp_path / "slots", "decoder", name=str(tmp_path / "video"))
    config = get_config()
    config.task, config.steps, config.batch_size, config.data.threads = "prediction", 2, 2, 1
    config.probe.slots = str(tmp_path / "slots")
    config.rollout.update(observed=4, predicted=2, width=8, layers=1, heads=2, mlp_width=8)
    config.evaluation.update(split="held_out", every=2, batch_size=2)
    workdir = tmp_path / "rollout"
    fit(task_of(config), config, workdir)
    report = prediction.report(config, workdir, "test", "best")
    curves = report["curves"]
    assert len(curves["roll_out/fg_miou"]) == 4 == len(curves["oracle/centre"])
    paths = write_futures(config, workdir, "test", tmp_path / "pictures", 2)
    assert [path.name for path in paths] == ["futures.png", "futures.webp"]
    with Image.open(paths[1]) as moving:
        assert moving.n_frames == 5 and moving.size == (3 * 164, 2 * 164)
    (tmp_path / "video").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="video"):
        prediction.report(config, workdir, "test", "best")
    config.rollout.model = str(tmp_path / "moved")
    assert prediction.open_decoder(config, "test")[0].step == 2
    config.rollout.model = "moving_shapes"
    with pytest.raises(UserError, match="moving_shapes is not the model that the slots are of"):
        prediction.report(config, workdir, "test", "best")
