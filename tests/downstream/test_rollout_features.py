"""The roll-out's loss on features: decoded from predicted slots alone, by a frozen decoder."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.config.defaults import get_config
from dias_jax.downstream.rollout_losses import rollout_objective
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.downstream.slotformer import SlotFormer
from dias_jax.errors import UserError
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.split import read_evaluation
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.models.prediction import predict
from dias_jax.runs.state import start_variables
from dias_jax.sample_files import HEADER
from dias_jax.tasks import prediction
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from dias_jax.training.train_model import train_model
from tests.conftest import compiling_quickly
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

OBSERVED, PREDICTED, WEIGHT, DECAY = 4, 2, 3.0, 0.5


@pytest.fixture(scope="module")
def slots(tmp_path_factory):
    """Slots and features of some windows of bouncing discs, and the run that they are of."""
    folder, config = tmp_path_factory.mktemp("features"), make_tiny_video_config()
    config.data.name, config.steps, config.model.video.predicts_similarity = "bouncing", 2, True
    config.evaluation.update(every=2, limit=1, batch_size=1, pictures=0, clip_frames=8)
    with compiling_quickly():
        trained = train_model(config, folder / "video")
        trained.config.evaluation.update(limit=7, batch_size=2)
        options = {"name": str(folder / "video"), "with_features": True}
        extract_split(trained, "train", folder / "slots", "decoder", **options)
    return folder


@pytest.fixture
def config(slots):
    config = get_config()
    config.task, config.steps, config.batch_size, config.data.threads = "prediction", 2, 2, 1
    config.probe.update(slots=str(slots / "slots"), held_out=0.2)
    config.rollout.update(observed=OBSERVED, predicted=PREDICTED, width=8, layers=1, heads=2)
    config.rollout.update(mlp_width=8, features_weight=WEIGHT, decay=DECAY)
    config.evaluation.update(split="held_out", every=2, batch_size=2)
    return config


@pytest.mark.slow
def test_the_loss_is_that_of_the_decoded_frames(config, slots):
    """Against a computation frame by frame with the video model as it is."""
    task = task_of(config)
    batch = next(task.train_batches(0))
    assert batch["slots"].shape[1] == OBSERVED + PREDICTED
    assert batch["features"].shape == (2, PREDICTED, 4, 4, 16)
    variables = start_variables(config, task.model)[0]
    options = task.loss_fn.keywords | {"model": task.model.copy(dropout=0.0)}
    loss_fn = functools.partial(rollout_objective, **options)
    loss, values = loss_fn(variables, batch, jax.random.key(0), 0)
    slot_mask = batch["slot_mask"]
    past = batch["slots"][:, :OBSERVED], PREDICTED, slot_mask[:, :OBSERVED]
    predicted = task.model.apply(variables, *past)
    video = prediction.open_video(config, SlotCache(slots / "slots", "train").header)
    expected = 0
    for time, weight in enumerate((4 / 3, 2 / 3)):  # 1 and one half, in the mean 1
        now = predicted[:, time], slot_mask[:, OBSERVED - 1]
        decoded = video.model.apply(video.variables, *now, method="imagine")[0]
        true = batch["features"][:, time].astype(np.float32).reshape(2, 16, 16)
        expected += weight * np.square(decoded - true).mean() / PREDICTED
    assert float(values["features"]) == pytest.approx(float(expected), rel=1e-4)
    assert float(loss) == pytest.approx(float(values["slots"] + WEIGHT * expected), rel=1e-4)
    off = functools.partial(rollout_objective, **options | {"features_weight": 0.0})
    without, alone = off(variables, batch | {"features": None}, jax.random.key(0), 0)
    assert alone.keys() == {"loss"} and float(without) == pytest.approx(float(values["slots"]))


@pytest.mark.slow
def test_features_are_those_of_their_frames(config, slots):
    """The window's last frames, as the backbone of the run has them."""
    windows, frames = task_of(config).open("train"), SlotCache(slots / "slots", "train")
    for number, first in ((0, 0), (4, 8 + 1)):
        for time, features in enumerate(windows[number]["features"]):
            expected = frames[first + OBSERVED + time]["features"]
            np.testing.assert_array_equal(features, expected)
    video, video_config = prediction.open_decoder(config, "train")
    batch = next(read_evaluation(video_config, "train", 0, 1))
    found = predict(video.model, video.variables, batch["image"], jax.random.key(0)).features
    stored = np.stack([frames[i]["features"] for i in range(8)])
    np.testing.assert_array_equal(stored, np.asarray(found[0].astype(jnp.bfloat16)))


def make_parts():
    """An untrained video model and its variables, a roll-out's slots, and features."""
    config = make_tiny_video_config()
    video = build(config.model)
    variables = jax.jit(functools.partial(initialize, video, image_size=32))(jax.random.key(0))
    random = np.random.default_rng(0)
    slots = random.normal(size=(2, PREDICTED, 4, 16)).astype(np.float32)
    features = random.normal(size=(2, PREDICTED, 4, 4, 16)).astype(np.float32)
    return video, variables, slots, features


def test_no_token_reaches_what_is_decoded():
    """Whatever tokens the decoder is given, with none visible it tells the same of all places."""
    video, variables, slots, features = make_parts()
    decoder = variables["params"]["decoder"]
    order = np.tile(np.arange(16), (2, 1))
    mask = np.array([[True] * 4, [True, False, True, True]])

    def decode(tokens, visible):
        inputs = tokens.reshape(2, 16, 16), slots[:, 0], mask, order, np.full(2, visible)
        return video.decoder.apply({"params": decoder}, *inputs)[0]

    unseen = decode(features[:, 0], 0)
    np.testing.assert_array_equal(unseen, decode(100 - features[:, 0], 0))
    imagined = video.apply(variables, slots[:, 0], mask, method="imagine")[0]
    np.testing.assert_array_equal(unseen, imagined)
    assert (decode(features[:, 0], 1) != unseen).any()


@pytest.mark.slow
def test_true_features_reach_the_loss_and_not_the_prediction():
    """Other features of the future: the same predictions, bit for bit, and another gradient."""
    video, variables, slots, features = make_parts()
    rollout, told = SlotFormer(16, 2, 8, 1, 2, 8, dropout=0.0), []

    class Recorder:
        def apply(self, *arguments, **options):
            told.append(rollout.apply(*arguments, **options))
            return told[-1]

    def decode(*inputs):
        return video.apply(variables, *inputs, method="imagine")[0]

    slots = np.concatenate([slots, slots[::-1]], axis=1)
    batch = {"slots": slots, "slot_mask": np.ones(slots.shape[:3], bool), "index": np.arange(2)}
    options = {"num_steps": PREDICTED, "features_weight": WEIGHT, "decode": decode}
    params = initialize(rollout, jax.random.key(1), 32)

    def loss(params, features, model):
        inputs = params, batch | {"features": features}, jax.random.key(0), 0
        return rollout_objective(*inputs, model=model, **options)[0]

    assert loss(params, features, Recorder()) != loss(params, 1 - features, Recorder())
    np.testing.assert_array_equal(*told)
    gradient_of = jax.jit(jax.grad(loss), static_argnums=2)
    gradients = [gradient_of(params, x, rollout)["params"] for x in (features, 1 - features)]
    assert gradients[0].keys() == {"input", "encoder_0", "output"}
    kernels = [gradient["input"]["kernel"] for gradient in gradients]
    assert np.isfinite(kernels).all() and np.abs(kernels[0] - kernels[1]).max() > 1e-6


@pytest.mark.slow
def test_a_run_learns_and_what_it_lacks_is_one_line(config, slots, tmp_path):
    assert fit(task_of(config), config, tmp_path / "rollout").step == 2
    config.rollout.model = "nowhere"
    with pytest.raises(UserError, match="nowhere.* slots are of, --config.rollout.model="):
        task_of(config)
    config.rollout.model, config.probe.slots = "", str(tmp_path / "without")
    header = SlotCache(slots / "slots", "train").header | {"features": None}
    (tmp_path / "without/train").mkdir(parents=True)
    (tmp_path / "without/train" / HEADER).write_text(json.dumps(header))
    for path in (slots / "slots/train").glob("*.array_record"):
        shutil.copy(path, tmp_path / "without/train")
    with pytest.raises(UserError, match="features_weight=3.0: .*extract --with_features"):
        task_of(config)
