"""The task of a probe of properties: it learns from slots in files, and says what they tell."""

import numpy as np
import pytest

from dias_jax.config.defaults import get_config
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.runs.trained_model import open_by_name
from dias_jax.tasks import properties
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from tests.downstream.test_properties import DEVIATION, KINDS, MEAN, NUMBERS, D, G, S, make_samples
from tests.test_loop import metrics_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

SIZES = {"train": 120, "test": 40}


def write_cache(folder, split, **changes):
    header = {
        **{"data": "made_up", "split": split, "num_samples": SIZES[split], "masks": "aggregator"},
        **{"num_slots": S, "slot_width": D, "num_things": G, "class_names": list("abcd")},
        **{"window": 0, "parameters": "abc", "config": "abc"},
        **{"reduce_at": "", "min_frames": 1, "seed": 0, "data_seed": 0, "image_size": 8},
        **{"model": "nowhere"},
        **{"representation": "slots", "grid": [1, 1], "clip_frames": 1, "views": 0},
        **{"questions": []},
        **{"kinds": dict(KINDS), "numbers": dict(NUMBERS), "protocol": "nothing is seen"},
    } | changes
    (path,) = SlotCache.missing_files(folder / split, header)
    samples = make_samples(SIZES[split], seed=len(split))
    others = {"iou": np.ones(G), "boxes": np.zeros((G, 4)), "crowd": np.zeros(G, bool)}
    others |= {"overlap": np.zeros((S, G)), "segments": np.zeros((1, 1))}
    others |= {"frame": 0, "answers": np.zeros(0)}
    if not header["kinds"]:
        others |= {"kinds": np.zeros((G, 0)), "numbers": np.zeros((G, 0))}
    SlotCache.write(path, header, (sample | others for sample in samples))


@pytest.fixture
def config(tmp_path):
    """A linear probe that learns within seconds."""
    for split in SIZES:
        write_cache(tmp_path / "slots", split)
    config = get_config()
    config.task, config.steps, config.batch_size, config.log_every = "properties", 150, 32, 50
    config.data.threads = 1
    config.probe.update(slots=str(tmp_path / "slots"), head="linear", held_out=0.2)
    config.optimizer.update(learning_rate=0.1, clip_norm=1e6)
    config.evaluation.update(split="held_out", every=50, batch_size=16)
    return config


@pytest.mark.parametrize("matching", ["mask", "loss"])
def test_a_probe_learns_and_is_evaluated(config, tmp_path, matching):
    config.probe.matching = matching
    task = task_of(config)
    result = fit(task, config, tmp_path / "run")
    logged = [line for line in metrics_of(tmp_path / "run") if line["split"] == "held_out"]
    assert [line["step"] for line in logged] == [50, 100, 150]
    assert f"trained with {matching} matching" in logged[0]["protocol"]
    assert result.metrics["mask/form"] > 95 and result.metrics["mask/hue_r2"] > 0.95
    lines = task.summary(result.metrics)
    assert lines[0].startswith("mask/form ") and lines[1].startswith("loss/form ")
    assert task.quality(result.metrics) == -result.metrics[f"{matching}/loss"]
    assert task.quality({"things": 0}) == -np.inf

    report = properties.report(config, tmp_path / "run", "test", "best")
    metrics = report["metrics"]
    assert report["num_samples"] == 40
    assert metrics["mask/pattern"] > 95 and metrics["loss/radius_r2"] > 0.9
    assert metrics["things"] == sum((x["classes"] >= 0).sum() for x in make_samples(40, seed=4))
    assert "made_up test: nothing is seen" in report["protocol"]
    with pytest.raises(UserError, match="holds what was trained on slots"):
        open_by_name(tmp_path / "run")


def test_numbers_are_standardised_as_the_train_slice_is_spread(config):
    probe = task_of(config).model
    np.testing.assert_allclose(probe.mean, MEAN, atol=0.3)
    np.testing.assert_allclose(probe.deviation, DEVIATION, rtol=0.2)
    samples = properties.open_samples(config, "train")
    samples = [samples[i] for i in range(96)]
    numbers = np.concatenate([sample["numbers"][sample["classes"] >= 0] for sample in samples])
    np.testing.assert_allclose(probe.mean, numbers.mean(0), rtol=1e-4)
    np.testing.assert_allclose(probe.deviation, numbers.std(0), rtol=1e-4)
    still = [{"numbers": np.ones((2, 1)), "classes": np.array([3, -1])}]
    assert properties.spread(still) == ((1.0,), (1.0,))
    with pytest.raises(UserError, match="no image of the train split has a thing"):
        properties.spread([{"numbers": np.ones((1, 1)), "classes": np.array([-1])}])


def test_heads(config):
    config.probe.update(head="mlp", hidden_layers=3)
    probe = task_of(config).model
    assert (probe.num_hidden, probe.kinds, probe.numbers) == (3, KINDS, NUMBERS)


def test_slots_without_properties_are_refused(config, tmp_path):
    write_cache(tmp_path / "others", "train", data="voc", kinds={}, numbers={})
    config.probe.slots = str(tmp_path / "others")
    with pytest.raises(UserError, match="probe.slots=.*: voc tells no properties") as caught:
        task_of(config)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_run_is_refused(config):
    config.probe.matching = "boxes"
    with pytest.raises(UserError, match='config.probe.matching="boxes" is unknown'):
        task_of(config)
