"""The task of a probe: it learns from slots in files, continues, and is evaluated fairly."""

import functools
import json

import jax
import numpy as np
import pytest
import sklearn.metrics

from dias_jax.config.defaults import get_config
from dias_jax.downstream.probe import Probe
from dias_jax.downstream.recognition_losses import recognition_objective
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.runs.trained_model import open_by_name, restore
from dias_jax.sample_files import HEADER
from dias_jax.steps.schedules import learning_rate
from dias_jax.tasks import probing, recognition
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from tests.faults.kill import differences
from tests.faults.processes import final_state
from tests.interruption import interrupt_at
from tests.test_loop import metrics_of

pytestmark = pytest.mark.usefixtures("quick_compilation")

S, D, G, K = 5, 12, 3, 4
SIZES = {"train": 60, "test": 20}


def make_header(split, **changes):
    return {
        **{"data": "made_up", "split": split, "num_samples": SIZES[split], "masks": "aggregator"},
        **{"parameters": "abc", "num_slots": S, "slot_width": D, "num_things": G},
        **{"class_names": ["one", "two", "three", "four"], "kinds": {}, "numbers": {}},
        **{"representation": "slots", "grid": [2, 2], "clip_frames": 1, "views": 0},
        **{"questions": []},
        **{"protocol": "nothing is seen", "window": 0, "config": "abc"},
        **{"reduce_at": "", "min_frames": 1, "seed": 0, "data_seed": 0, "image_size": 8},
        **{"model": "nowhere"},
    } | changes


def make_samples(split):
    """Slots that tell class and box of their thing, but for some noise; unmatched ones, nothing."""
    random = np.random.default_rng(len(split))
    mixing = np.random.default_rng(0).normal(size=(K + 4, D))
    for index in range(SIZES[split]):
        is_thing = np.arange(G) < random.integers(1, G + 1)
        classes = np.where(is_thing, random.integers(0, K, G), -1)
        boxes = np.where(is_thing[:, None], random.random((G, 4)), 0)
        slot = np.where(is_thing, random.permutation(S)[:G], -1)
        iou = np.where(is_thing, random.choice([0.05, 0.3, 0.8], G, p=[0.1, 0.2, 0.7]), 0)
        slots = random.normal(0, 0.05, (S, D))
        told = np.concatenate([np.eye(K)[classes], boxes], axis=1) @ mixing
        slots[slot[is_thing]] += told[is_thing]
        overlap = np.where(slot == np.arange(S)[:, None], iou, 0)
        labels = {"index": index, "slot": slot, "iou": iou, "classes": classes, "boxes": boxes}
        labels |= {"frame": 0, "overlap": overlap, "segments": np.zeros((2, 2))}
        labels |= {
            "crowd": np.zeros(G, bool),
            "kinds": np.zeros((G, 0)),
            "numbers": np.zeros((G, 0)),
        }
        labels["answers"] = np.zeros(0)
        yield labels | {"slots": slots, "slot_mask": np.ones(S, bool)}


def write_cache(folder, split, **changes):
    header = make_header(split, **changes)
    (path,) = SlotCache.missing_files(folder / split, header)
    SlotCache.write(path, header, make_samples(split))


@pytest.fixture
def config(tmp_path):
    """A probe that learns within a second."""
    for split in SIZES:
        write_cache(tmp_path / "slots", split)
    config = get_config()
    config.task, config.steps, config.batch_size, config.log_every = "recognition", 90, 16, 30
    config.data.threads = 1
    config.probe.update(slots=str(tmp_path / "slots"), dropout=0.0, held_out=0.2)
    config.optimizer.update(learning_rate=0.03, clip_norm=1e6)
    config.evaluation.update(split="held_out", every=30, batch_size=8)
    return config


def test_a_probe_learns_and_is_evaluated(config, tmp_path):
    result = fit(task_of(config), config, tmp_path / "run")
    assert result.status == "finished"
    logged = [line for line in metrics_of(tmp_path / "run") if line["split"] == "held_out"]
    assert [line["step"] for line in logged] == [30, 60, 90]
    assert (
        "made_up held_out: nothing is seen; slots, masks of the aggregator" in logged[0]["protocol"]
    )
    assert result.metrics["top1"] > 80 and result.metrics["box_r2"] > 0.5

    probe = recognition.Recognition(config).model
    trained = restore(tmp_path / "run", config, probe, "latest")
    report = recognition.report(config, tmp_path / "run", "test", "latest")
    metrics = report["metrics"]
    assert (report["step"], report["num_samples"]) == (90, 20)
    expected = by_hand(probe, trained.variables, config)
    assert {name: metrics[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UserError, match="holds what was trained on slots"):
        open_by_name(tmp_path / "run")


def by_hand(probe, variables, config):
    """Some metrics of the test split, one thing after the other."""
    pairs, is_recognised, num_things = [], 0, 0
    for sample in make_samples("test"):
        for thing in np.flatnonzero(sample["classes"] >= 0):
            slot = sample["slots"][sample["slot"][thing]].astype(np.float32)
            logits, box = probe.apply(variables, slot[None, None])
            number, iou = int(np.argmax(logits[..., :K])), sample["iou"][thing]
            is_right, num_things = number == sample["classes"][thing], num_things + 1
            is_recognised += is_right and iou > 0.5
            if iou > config.probe.threshold:
                pairs.append((is_right, np.asarray(box)[0, 0], sample["boxes"][thing]))
    is_right, boxes, true = map(np.array, zip(*pairs))
    return {
        "top1": 100 * is_right.mean(),
        "box_r2": sklearn.metrics.r2_score(true, boxes.astype(float)),
        "pairs": len(pairs),
        "things": num_things,
        "recognised": 100 * is_recognised / num_things,
    }


def test_a_stopped_run_continues_bit_for_bit(config, tmp_path, monkeypatch):
    config.probe.dropout, config.steps = 0.1, 40
    fit(task_of(config), config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, 17)
        assert fit(task_of(config), config, tmp_path / "stopped").status == "stopped"
    assert fit(task_of(config), config, tmp_path / "stopped").step == 40
    assert not differences(*(final_state(tmp_path / name) for name in ("whole", "stopped")))


def test_train_and_held_out_slices_share_nothing(config):
    parts = [probing.open_samples(config, split) for split in ("train", "held_out")]
    train, held_out = ({int(part[i]["index"]) for i in range(len(part))} for part in parts)
    assert train == set(range(48)) and held_out == set(range(48, 60))
    batches = task_of(config).train_batches(0)
    seen = {int(number) for _ in range(9) for number in next(batches)["index"]}
    assert seen == train


def rewrite_header(config, split, **changes):
    path = SlotCache(config.probe.slots, split).folder / HEADER
    path.write_text(json.dumps(make_header(split, **changes)))


def test_slots_of_another_model_are_refused(config, tmp_path):
    config.steps = 2
    fit(task_of(config), config, tmp_path / "run")
    rewrite_header(config, "test", parameters="xyz")
    with pytest.raises(UserError, match="test holds slots of another parameters, xyz and not abc"):
        probing.open_samples(config, "test")
    rewrite_header(config, "train", parameters="xyz")
    config.steps = 4
    with pytest.raises(UserError, match="trained on other slots, .*--config.probe.slots"):
        fit(task_of(config), config, tmp_path / "run", allow_change=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"evaluation.split": "test"}, 'chosen on a slice of train, "held_out"'),
        ({"accumulation": 2}, "config.accumulation=2: "),
        ({"batch_size": 50}, "a batch of 50 is larger than the training split of 48"),
        ({"probe.slots": "nowhere"}, "nowhere/train/cache.json does not exist"),
        ({"probe.head": "deep"}, 'config.probe.head="deep" is unknown'),
    ],
)
def test_what_cannot_be_run_is_refused(config, changes, message):
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=message):
        task_of(config)


def test_the_loss_does_not_depend_on_the_number_of_devices(config):
    """Pairs are spread unevenly, yet the mean over two devices is that over all pairs."""
    batch = next(task_of(config).train_batches(0))
    probe = Probe(D, K, dropout=0.0)
    params = probe.init(jax.random.key(1), **probe.smallest_inputs(1, 1))
    objective = functools.partial(recognition_objective, probe=probe, threshold=0.1)

    @functools.partial(jax.jit, static_argnames="axis_name")
    def gradients(batch, axis_name=None):
        def loss(params):
            return objective(params, batch, jax.random.key(0), 0, axis_name=axis_name)[0]

        return jax.value_and_grad(loss)(params)

    halves = jax.tree.map(lambda x: x.reshape(2, len(x) // 2, *x.shape[1:]), batch)
    found = jax.vmap(functools.partial(gradients, axis_name="batch"), axis_name="batch")(halves)
    counts = (halves["iou"] > 0.1).sum((1, 2))
    assert counts[0] != counts[1]
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(gradients(batch))):
        np.testing.assert_allclose(one.mean(0), other, rtol=1e-5, atol=1e-6)


def test_the_released_schedule(recognition_golden):
    """COCO's: 500 of 10,000 steps of warm-up, then half a cosine to a thousandth."""
    rate = learning_rate(1e-3, 10_000)
    found = [rate(step) for step in recognition_golden["sched/step"]]
    np.testing.assert_allclose(found, recognition_golden["sched/lr"], rtol=1e-3, atol=1e-8)


@pytest.mark.slow
def test_the_commands(config, run_module, tmp_path):
    flags = f"--workdir={tmp_path / 'run'}", f"--config.probe.slots={config.probe.slots}"
    train = "--config.steps=6", "--config.batch_size=8"
    run_module("dias_jax.train", "--config=recognition_shapes", *flags, *train, devices=2)
    result = run_module("dias_jax.evaluate", *flags, "--split=test")
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["num_samples"] == 20 and report["step"] == 6
    assert report["protocol"].startswith("made_up test: nothing is seen")
    names = {"top1", "box_r2", "pairs", "recall_50", "recognised", "ap_50", "majority_top1"}
    assert names <= report["metrics"].keys()
    wrong = run_module("dias_jax.evaluate", *flags, "--save_predictions", check=False)
    assert wrong.returncode == 2 and "a probe has no masks" in wrong.stderr
    none = run_module("dias_jax.segment", flags[0], "--out=x", "README.md", check=False)
    assert none.returncode == 2 and len(none.stderr.strip().splitlines()) == 1
