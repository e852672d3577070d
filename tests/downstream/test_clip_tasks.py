"""Prediction and reasoning as tasks: from slots of drawn videos in files to a report."""

import json

import jax
import numpy as np
import pytest

from dias_jax.config.defaults import get_config
from dias_jax.downstream import slot_cache
from dias_jax.downstream.slot_clips import SlotClips
from dias_jax.errors import UserError
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.prediction import roll_out
from dias_jax.evaluation.reasoning import SeenClips
from dias_jax.models.build import build
from dias_jax.runs.state import start_variables
from dias_jax.runs.trained_model import TrainedModel
from dias_jax.tasks import prediction, reasoning
from dias_jax.tasks.of_config import task_of
from dias_jax.tasks.probing import open_samples
from dias_jax.training.loop import fit
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = {"train": 12, "readout": 8, "test": 4}


@pytest.fixture(scope="module")
def slots(tmp_path_factory):
    """True states of some videos of bouncing discs, as an extraction."""
    config = make_tiny_video_config()
    config.data.name = "bouncing"
    model = build(config.model)
    trained = TrainedModel(model, start_variables(config, model)[0], config, 0)
    folder = tmp_path_factory.mktemp("bouncing")
    for split, size in SIZES.items():
        config.evaluation.limit = size
        extract_split(trained, split, folder, "decoder", "true_states", name="nowhere")
    return folder


@pytest.fixture
def config(slots):
    """A roll-out that learns within seconds."""
    config = get_config()
    config.task, config.steps, config.batch_size, config.log_every = "prediction", 60, 16, 20
    config.data.threads, config.probe.slots, config.probe.held_out = 1, str(slots), 0.25
    config.rollout.update(observed=4, predicted=3, width=16, layers=1, heads=2, mlp_width=32)
    config.rollout.dropout = 0.0
    config.optimizer.update(learning_rate=3e-3, clip_norm=1e6)
    config.evaluation.update(split="held_out", every=20, batch_size=4)
    return config


@pytest.mark.slow
def test_true_states_are_extracted(slots):
    cache = slot_cache.SlotCache(slots, "test")
    assert cache.header["questions"] == ["answer", "ghost_answer"]
    assert len(cache) == 4 * 30 and cache.header["slot_width"] == 5
    frames = [cache[i] for i in range(30)]
    in_use = frames[0]["slot_mask"]
    assert 3 <= in_use.sum() <= 5 and all((f["slot_mask"] == in_use).all() for f in frames)
    states = np.stack([frame["slots"] for frame in frames])
    assert (states[..., 3:].sum((1, 2)) == 2).all()  # a red disc and a blue one
    boxes = np.stack([frame["boxes"] for frame in frames])[:, in_use]
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    np.testing.assert_allclose(states[:, in_use, :2], middles, atol=0.04)
    assert all((frame["iou"][in_use] == 1).all() for frame in frames)


@pytest.mark.slow
def test_a_roll_out_learns_and_answers_questions(config, tmp_path):
    task = task_of(config)
    windows = task.open("train")
    assert len(windows) == 9 * 24 and windows[25]["slots"].shape == (7, 5, 5)
    np.testing.assert_array_equal(windows[25]["slots"][0], windows[24]["slots"][1])
    first = task.evaluate(start_variables(config, task.model)[0], None)
    result = fit(task, config, tmp_path / "rollout")
    assert result.metrics["roll_out/error"] < 0.7 * first["roll_out/error"]
    assert result.metrics["linear/error_1"] < 0.2  # of copying; exact until something is hit

    report = prediction.report(config, tmp_path / "rollout", "test", "best")
    assert report["num_samples"] == 4 and len(report["metrics"]["roll_out/errors"]) == 26
    assert "4 frames observed, 26 predicted" in report["protocol"]

    config.task, config.batch_size = "reasoning", 4
    with pytest.raises(UserError, match="needs a roll-out: --config.readout.rollout=WORKDIR"):
        task_of(config)
    config.readout.rollout = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="^config.readout.rollout=.*nowhere.* does not exist"):
        task_of(config)
    config.readout.rollout = str(tmp_path / "rollout")
    fit(task_of(config), config, tmp_path / "readout")
    report = reasoning.report(config, tmp_path / "readout", "test", "best")
    metrics = report["metrics"]
    assert report["num_samples"] == 4 and 0 <= metrics["accuracy"] <= 100
    # Every four videos in a row have all four cells of answer and ghost's answer.
    cells = [metrics[f"questions/{a}_ghost_{b}"] for a in ("yes", "no") for b in ("yes", "no")]
    assert cells == [1, 1, 1, 1] and metrics["questions/ghost_wrong"] == 2
    assert metrics["threshold"] in (0.4, 0.45, 0.5, 0.55, 0.6, 0.65)


@pytest.mark.slow
def test_a_read_out_is_told_who_is_asked_about(config, tmp_path):
    config.task, config.batch_size, config.readout.sees = "reasoning", 4, "observed"
    config.readout.role_weight, config.optimizer.learning_rate = 1.0, 3e-2
    task = task_of(config)
    clip = task.train_clips[0]
    assert clip["roles"].shape == (10, 2) and (clip["roles"] == clip["roles"][0]).all()
    states = clip["slots"][0]  # of true states: the last two numbers say who is asked about
    np.testing.assert_array_equal(clip["roles"][0], states[:, 3:].argmax(0))
    fit(task, config, tmp_path / "readout")
    lines = [json.loads(line) for line in (tmp_path / "readout/metrics.jsonl").open()]
    losses = [line["values"]["roles"] for line in lines if "roles" in line["values"]]
    assert losses[-1] < 0.7 * losses[0]


def test_roles_that_cannot_be_told_are_refused(config):
    config.task, config.readout.sees, config.readout.role_weight = "reasoning", "observed", 1.0
    config.readout.kind, config.batch_size = "relation", 4
    with pytest.raises(UserError, match='only readout.kind="selecting" selects'):
        task_of(config)
    config.readout.kind = "selecting"
    clips = task_of(config).train_clips
    del clips.data["roles"]
    with pytest.raises(UserError, match="does not tell who is asked about: extract it anew"):
        reasoning.check_roles(config, clips)


def make_clips(frames=6):
    """Three videos of two slots of one coordinate."""
    random = np.random.default_rng(0)
    return [
        {
            "slots": random.normal(size=(2, 1)).astype(np.float32),
            "slot_mask": np.array([True, i < frames]),
            "answers": np.array([i >= frames, False]),
        }
        for i in range(3 * frames)
    ]


def test_windows_of_clips():
    samples = make_clips()
    clips = SlotClips(samples, 6)
    assert len(clips) == 3 and clips[1]["slots"].shape == (6, 2, 1)
    assert clips[0]["answers"].tolist() == [False, False] and clips[2]["answers"][0]
    windows = SlotClips(samples, 6, length=2, stride=3, every_start=True)
    assert len(windows) == 3 * 3
    for i, frames in ((2, (2, 5)), (3, (6, 9))):
        expected = np.stack([samples[frame]["slots"] for frame in frames])
        np.testing.assert_array_equal(windows[i]["slots"], expected)


@pytest.mark.parametrize("sees", ["observed", "rolled_out", "oracle"])
def test_what_a_read_out_sees(sees):
    """No slot of a frame after the observed ones, but for the oracle."""
    options = get_config().readout
    options.update(sees=sees, observed=4)
    calls = []

    class Copier:
        window = 4

        def apply(self, variables, slots, num_steps, slot_mask):
            calls.append(slots.shape)
            return 10 + jax.numpy.repeat(slots[:, -1:], num_steps, axis=1)

    samples = make_clips()
    before = SeenClips(SlotClips(samples, 6), options, (Copier(), {}, 1), 2).data
    for i in (4, 5):
        samples[i] = samples[i] | {"slots": samples[i]["slots"] + 1}
    after = SeenClips(SlotClips(samples, 6), options, (Copier(), {}, 1), 2).data
    assert before["slots"].shape[1] == (4 if sees == "observed" else 6)
    assert (before["slots"] != after["slots"]).any() == (sees == "oracle")
    assert before["answer"].tolist() == [False, True, True]
    if sees == "rolled_out":
        assert calls and all(shape[1] == 4 for shape in calls)
        np.testing.assert_array_equal(
            before["slots"][:, 4:], 10 + before["slots"][:, 3:4].repeat(2, 1)
        )


def test_a_read_out_may_look_at_the_first_frames_only():
    options, clips = get_config().readout, SlotClips(make_clips(), 6)
    options.update(sees="oracle", observed=2, frames=3)
    data = SeenClips(clips, options, None, 2).data
    assert data["slot_mask"].shape == (3, 3, 2)
    np.testing.assert_array_equal(data["slots"][1], clips[1]["slots"][:3])


def test_masks_go_through_interleaved_sequences():
    class Model:
        window = 2

        def apply(self, variables, slots, num_steps, slot_mask):
            assert slots.shape[-1] == 3 and slot_mask.shape == slots.shape[:-1]
            total = (slots * slot_mask[..., None]).sum(1, keepdims=True)
            return jax.numpy.repeat(total, num_steps, axis=1)

    slots = np.arange(4 * 2 * 3, dtype=np.float32).reshape(1, 4, 2, 3)
    slot_mask = np.array([[[True, False]] * 4])
    found = np.asarray(roll_out(Model(), {}, slots, slot_mask, 3, offset=2))
    assert found.shape == (1, 3, 2, 3) and not found[:, :, 1].any()
    np.testing.assert_array_equal(found[0, 0, 0], slots[0, 0, 0] + slots[0, 2, 0])
    np.testing.assert_array_equal(found[0, 1, 0], slots[0, 1, 0] + slots[0, 3, 0])


@pytest.mark.slow
def test_units_are_those_of_what_is_trained_on(config):
    """The held-out slice does not count, and a window is no longer than what is seen."""
    config.probe.standardise, config.rollout.window = True, 2
    task = task_of(config)
    frames = SlotClips(open_samples(config, "train"), 30)
    assert len(frames) == 9
    clips = [frames[i] for i in range(9)]
    used = np.concatenate([clip["slots"][clip["slot_mask"]] for clip in clips])
    np.testing.assert_allclose(task.model.units.mean, used.mean(0), rtol=1e-5)
    np.testing.assert_allclose(task.model.units.deviation, used.std(0), rtol=1e-5)
    assert task.model.window == 2 and task.open("train")[0]["slots"].shape == (5, 5, 5)


def test_what_cannot_be_run_is_refused(config):
    config.rollout.predicted = 40
    with pytest.raises(UserError, match="train has clips of 30 frames, 44 are observed"):
        task_of(config)
    config.rollout.update(predicted=3, window=5)
    with pytest.raises(UserError, match="window=5: no more than the 4 observed frames"):
        task_of(config)
    config.rollout.update(window=0, heads=3)
    with pytest.raises(UserError, match="heads=3 does not divide config.rollout.width=16"):
        task_of(config)
    config.rollout.update(heads=2, observed=30)
    with pytest.raises(UserError, match="test has clips of 30 frames, 31 are observed and"):
        prediction.check_frames(config, "test")
    config.task = "reasoning"
    for observed in (4, 30):
        config.readout.observed = observed
        with pytest.raises(UserError, match=f"observed={observed}: .* asked after 10 frames"):
            task_of(config)
