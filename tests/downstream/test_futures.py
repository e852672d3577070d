"""Futures decoded from slots alone: nothing of the true future reaches a prediction."""

import functools

import jax
import numpy as np
import pytest

from data_pipelines import pipeline
from dias_jax.downstream.slotformer import SlotFormer
from dias_jax.errors import UserError
from dias_jax.evaluation import futures
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.pictures.horizon import plot_horizon
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
    return next(futures.read_videos(config, "test"))


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
        assert is_same == (name != "oracle"), name
    assert told.keys() == PREDICTIONS | {"oracle", "slot_mask"}
    video, _, (variables, _) = models
    for name in PREDICTIONS:
        assert told[name].shape == (2, 4, 4, 16)
        np.testing.assert_array_equal(told[name][:, 0], told["oracle"][:, 0])
    maps = futures.draw_masks(video, variables, told["copy_last"], told["slot_mask"], (32, 32))
    assert maps.shape == (2, 4, 32, 32)
    np.testing.assert_array_equal(maps, np.repeat(maps[:, :1], 4, axis=1))


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
    assert len(whole) == 5 * 5 and whole["oracle/ari"].max() <= 100
    lives = futures.half_lives(whole)
    assert lives.keys() == {f"{name}/half_life" for name in (*PREDICTIONS, "oracle")}
    plot_horizon(whole, futures.METRICS, futures.TITLES, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000


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
    config.model.video.reduce_at = "clip"
    with pytest.raises(UserError, match='reduce_at="clip": these slots know'):
        futures.check_causal(build(config.model))


def test_whole_videos_are_read(config):
    batches = list(futures.read_videos(config, "test"))
    assert [batch["image"].shape[1] for batch in batches] == [6]
    expected = next(pipeline.evaluation_batches(config.data, "test", 2, clip_frames=6))
    np.testing.assert_array_equal(batches[0]["mask"], expected["mask"])
