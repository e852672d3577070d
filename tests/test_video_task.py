"""The task of videos: what a run of clips trains, evaluates and continues."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines import pipeline
from dias_jax.config.checks import check_config
from dias_jax.errors import UserError
from dias_jax.evaluation.split import evaluate_model, protocol_line
from dias_jax.models.inputs import first_boxes
from dias_jax.models.prediction import predict
from dias_jax.steps.video_evaluation import score_videos, segment_videos
from dias_jax.tasks.of_config import task_of
from dias_jax.tasks.video import VideoDiscovery
from dias_jax.training.loop import fit
from dias_jax.training.train_model import train_model
from experiments.studies import video
from tests.faults.kill import differences
from tests.faults.processes import final_state
from tests.test_loop import interrupt_at
from tests.tiny import make_tiny_video_config

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def config():
    return make_tiny_video_config()


@pytest.mark.slow
def test_a_run_is_continued_bit_for_bit_and_can_be_evaluated(config, tmp_path, monkeypatch):
    whole = train_model(config, tmp_path / "whole")
    logged = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").open()]
    assert {"contrast", "reconstruction", "active_slots"} <= logged[0]["values"].keys()
    assert len(list((tmp_path / "whole/images").iterdir())) == 2

    with monkeypatch.context() as patch:
        interrupt_at(patch, 3)
        assert fit(task_of(config), config, tmp_path / "stopped").status == "stopped"
    assert fit(task_of(config), config, tmp_path / "stopped").step == 4
    assert not differences(*(final_state(tmp_path / name) for name in ("whole", "stopped")))

    metrics, count = evaluate_model(whole, "validation")
    assert count == 3 and "decoder/switches/no_twins" in metrics
    for name in ("decoder/mbo", "aggregator/frame_mbo", "aggregator/consistency"):
        assert metrics[name] == pytest.approx(logged[-1]["values"][name])


@pytest.mark.slow
def test_evaluation_does_not_depend_on_the_batch(config, tmp_path):
    trained = train_model(config, tmp_path)
    expected, _ = evaluate_model(trained, "validation")
    trained.config.evaluation.batch_size = 1
    found, _ = evaluate_model(trained, "validation")
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-3, err_msg=name)


def test_windows_are_named_in_the_protocol(config):
    assert protocol_line(config, "test").startswith("moving_shapes test: whole videos, 16 frames")
    config.evaluation.clip_frames = 5
    assert "windows of 5 frames" in protocol_line(config, "test")
    batches = pipeline.evaluation_batches(config.data, "test", 2, limit=4, clip_frames=5)
    assert [batch["image"].shape[1] for batch in batches] == [5, 5]


@pytest.mark.slow
def test_a_perfect_segmentation_scores_everything(config):
    (batch,) = pipeline.evaluation_batches(config.data, "test", 2, limit=2)
    maps = np.maximum(batch["mask"].astype(int) - 1, 0).astype(np.uint8)
    predictions = dict.fromkeys(("decoder", "aggregator"), maps)
    predictions["slot_mask"] = np.ones((*maps.shape[:2], 7), bool)
    scores, shared = score_videos(predictions, batch, 7)
    for name in ("ari", "mbo", "miou", "frame_mbo", "objects_mbo", "consistency", "coverage"):
        np.testing.assert_allclose(scores[f"decoder/{name}"][0], 1, atol=1e-6, err_msg=name)
    assert not scores["decoder/switches"][0].any()
    assert shared["decoder_shared"].sum() == maps.size
    with_event, without = (scores[f"decoder/mbo/{x}twins"][1] for x in ("", "no_"))
    np.testing.assert_array_equal(with_event, batch["events"][:, 1])
    np.testing.assert_array_equal(with_event, ~without)


def test_slots_start_from_the_boxes_that_a_clip_shows_first(config):
    config.model.video.boxes, config.model.num_slots = True, 7
    task = task_of(config)
    batch = next(task.train_batches(0))
    assert batch["boxes"].shape == (4, 6, 4) and batch["boxes"].any((1, 2)).all()
    boxes = first_boxes(batch["boxes"], 7, 32)
    assert boxes.shape == (4, 7, 4) and not boxes[:, 6].any()
    there = batch["boxes"].any(-1)
    np.testing.assert_allclose(
        boxes[:, :6][there], batch["boxes"][there] - np.array([0, 0, 1, 1]) / 32
    )
    assert not boxes[:, :6][~there].any()
    config.model.num_slots = 5
    with pytest.raises(UserError, match="up to 6 boxes.*num_slots=5"):
        task_of(config)


def test_what_does_not_go_together_is_one_line(config, tiny_config):
    config.loss.similarity_weight = 0.1
    with pytest.raises(UserError, match="predicts_similarity=True"):
        task_of(config)
    tiny_config.data.name = "moving_shapes"
    with pytest.raises(UserError, match='model.kind="video"'):
        task_of(tiny_config)
    tiny_config.data.name, tiny_config.model.kind = "shapes", "video"
    with pytest.raises(UserError, match="images, and this model is one of videos"):
        task_of(tiny_config)


def test_arms_of_the_study_are_valid():
    for name in video.CHANGES:
        check_config(video.arm_config(name, 7))


def test_linked_slots_follow_their_direction():
    random = np.random.default_rng(0)
    slots = np.linalg.qr(random.normal(size=(5, 5)))[0]
    orders = [random.permutation(5) for _ in range(4)]
    moved = np.stack([slots[order] for order in orders])
    in_use = np.ones((4, 5), bool)
    in_use[2, orders[2] == 3] = False  # one is away for a frame
    names = video.link(moved, in_use)
    first = names[0][np.argsort(orders[0])]
    for order, name, used in zip(orders, names, in_use):
        assert sorted(name) == list(range(5))
        np.testing.assert_array_equal(name[used], first[order][used])


@pytest.mark.slow
def test_frames_alone_are_images(config):
    task = VideoDiscovery(config)
    batch = jax.tree.map(jnp.asarray, next(task.train_batches(0)))
    variables = task.model.init(
        {"params": jax.random.key(0), "slots": jax.random.key(1)}, jnp.zeros((1, 1, 32, 32, 3))
    )
    key = jax.random.key(2)
    found, slots = video.segment_frames(variables, batch, key, task.model)
    frames = batch["image"].shape[1]
    second = batch["index"] * frames + 1
    alone = predict(task.model, variables, batch["image"][:, 1:2], key, second)
    np.testing.assert_allclose(slots[:, 1], alone.slots[:, 0], rtol=1e-4, atol=1e-5)
    maps = segment_videos(alone, (32, 32))["decoder"]
    np.testing.assert_array_equal(found["decoder"][:, 1], maps[:, 0])
