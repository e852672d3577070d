"""Average precision against pycocotools, and where the numbers can be worked out by hand."""

import contextlib
import io

import numpy as np
import pytest

from dias_jax.downstream.average_precision import average_precision, class_precision

SIDE, NUM_CLASSES = 12, 4


def random_split(seed, num_samples=6, num_slots=5, num_things=5):
    """Masks of slots that are things shaken a little, few distinct scores, so that many tie."""
    random = np.random.default_rng(seed)
    things = np.zeros((num_samples, num_things, SIDE, SIDE), bool)
    pred = np.zeros((num_samples, num_slots, SIDE, SIDE), bool)
    models = random.integers(0, num_things, (num_samples, num_slots))
    for sample in range(num_samples):
        for thing in things[sample]:
            (left, top), (width, height) = random.integers(0, 8, 2), random.integers(2, 7, 2)
            thing[top : top + height, left : left + width] = True
        for slot in range(num_slots):
            shift = random.integers(-1, 2, 2) * (random.random() < 0.6)
            shaken = np.roll(things[sample, models[sample, slot]], shift, (0, 1))
            pred[sample, slot] = shaken & (random.random((SIDE, SIDE)) < random.choice([0.8, 1.0]))
    classes = random.integers(-1, NUM_CLASSES, (num_samples, num_things))
    classes[random.random(num_samples) < 0.2] = -1  # images without things
    is_crowd = (random.random(classes.shape) < 0.25) & (classes >= 0)
    is_used = (random.random((num_samples, num_slots)) < 0.9) & pred.any((2, 3))
    scores = random.integers(0, 6, (num_samples, num_slots)) / 7
    own = np.take_along_axis(classes, models, axis=1)  # the right class now and then
    guess = random.integers(0, NUM_CLASSES, (num_samples, num_slots))
    predicted = np.where((random.random(guess.shape) < 0.7) & (own >= 0), own, guess)
    return pred, scores, predicted, is_used, things, classes, is_crowd


def overlaps(pred, things, is_crowd):
    """(B, S, H, W), (B, G, H, W), (B, G) -> (B, S, G), as COCO has it."""
    shared = np.einsum("bshw,bghw->bsg", pred.astype(int), things.astype(int))
    sizes, true_sizes = pred.sum((2, 3))[..., None], things.sum((2, 3))[:, None]
    union = np.where(is_crowd[:, None], sizes, sizes + true_sizes - shared)
    return shared / np.maximum(union, 1)


def of_masks(pred, scores, predicted, is_used, things, classes, is_crowd):
    """The arguments of `average_precision` of a split."""
    return scores, predicted, is_used, overlaps(pred, things, is_crowd), classes, is_crowd


def coco_precision(pred, scores, predicted, is_used, things, classes, is_crowd):
    """pycocotools' numbers: -> {class: (10,) percent} of classes that have things."""
    tools = pytest.importorskip("pycocotools.mask")
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def encode(mask):
        return tools.encode(np.asfortranarray(mask.astype(np.uint8)))

    def entry(sample, category, mask):
        image, category = int(sample) + 1, int(category) + 1
        return {"image_id": image, "category_id": category, "segmentation": encode(mask)}

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": 1 + i, "height": SIDE, "width": SIDE} for i in range(len(classes))],
        "categories": [{"id": 1 + i, "name": str(i)} for i in range(NUM_CLASSES)],
        "annotations": [
            entry(*place[:1], classes[place], things[place])
            | {"id": 1 + number, "iscrowd": int(is_crowd[place]), "area": int(things[place].sum())}
            for number, place in enumerate(zip(*np.nonzero(classes >= 0)))
        ],
    }
    found = [
        entry(*place[:1], predicted[place], pred[place]) | {"score": float(scores[place])}
        for place in zip(*np.nonzero(is_used))
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # any area, 100 predictions
    values = {i: 100 * precision[:, :, i].mean(1) for i in range(NUM_CLASSES)}
    return {i: value for i, value in values.items() if value[0] >= 0}, evaluation.stats[:2]


@pytest.mark.parametrize("seed", range(25))
def test_the_numbers_are_those_of_pycocotools(seed):
    split = random_split(seed)
    expected, (mean, at_half) = coco_precision(*split)
    found = class_precision(*of_masks(*split))
    assert found.keys() == expected.keys() and len(found) > 1
    for number, values in found.items():
        np.testing.assert_allclose(values, expected[number], rtol=0, atol=1e-9)
    means = average_precision(*of_masks(*split))
    assert means == pytest.approx({"ap_50": 100 * at_half, "ap": 100 * mean}, abs=1e-9)
    assert 0 < means["ap"] <= means["ap_50"] < 100


def test_of_equal_overlaps_the_last_thing_is_taken():
    """So the second prediction, which wants nothing else, finds nothing."""
    pred, things = np.zeros((2, 1, 2, SIDE, SIDE), bool)
    things[0, 0, 0, :6], things[0, 1, 0, 2:8] = True, True
    pred[0, 0, 0, :8], pred[0, 1, 0, 3:8] = True, True
    no, yes = np.zeros((1, 2), bool), np.ones((1, 2), bool)
    split = pred, np.array([[0.9, 0.8]]), no.astype(int), yes, things, no.astype(int), no
    found = class_precision(*of_masks(*split))
    np.testing.assert_allclose(found[0][0], 100 * 51 / 101)
    np.testing.assert_allclose(found[0], coco_precision(*split)[0][0], rtol=0, atol=1e-9)


def test_the_101st_prediction_of_a_class_is_not_asked():
    overlap = np.zeros((101, 1))
    overlap[-1] = 1
    scores = np.linspace(1, 0, 101)
    assert precision_at_half(scores, overlap, [0], [False]) == 0
    is_used = np.arange(101) != 50
    assert precision_at_half(scores, overlap, [0], [False], None, is_used) == pytest.approx(1)
    other_class = np.where(is_used, 0, 1)
    assert precision_at_half(scores, overlap, [0], [False], other_class) == pytest.approx(1)


def precision_at_half(scores, overlap, classes, is_crowd, predicted=None, is_used=None):
    """Of one image, lists in the place of arrays."""
    scores = np.array([scores], float)
    predicted = np.zeros_like(scores, int) if predicted is None else np.array([predicted])
    is_used = np.ones_like(scores, bool) if is_used is None else np.array([is_used])
    overlap = np.array([overlap], float).reshape(1, scores.size, len(classes))
    things = np.array([classes], int), np.array([is_crowd], bool)
    arguments = scores, predicted, is_used, overlap, *things
    return average_precision(*arguments, thresholds=[0.5])["ap_50"]


def test_by_hand():
    half = 100 * 51 / 101  # a recall of one half is reached at 51 of 101 places
    assert precision_at_half([0.9], [[0.5]], [0], [False]) == 100
    assert precision_at_half([0.9], [[0.49]], [0], [False]) == 0
    assert precision_at_half([0.9], [[0.9, 0]], [0, 0], [False, False]) == pytest.approx(half)
    # The second to find a thing is wrong, and so is the first if it stands before the right one.
    assert precision_at_half([0.9, 0.8], [[0.9], [0.9]], [0], [False]) == 100
    assert precision_at_half([0.9, 0.8], [[0], [0.9]], [0], [False]) == pytest.approx(50)
    # Without a class of its own, unused, or in a crowd it counts nowhere; a crowd holds many.
    assert precision_at_half([0.9, 0.8], [[0.9], [0.9]], [0], [False], [1, 0]) == 100
    assert precision_at_half([0.9, 0.8], [[0], [0.9]], [0], [False], None, [False, True]) == 100
    crowded = [[0, 1], [0, 1], [0.9, 1]]
    assert precision_at_half([0.9, 0.8, 0.7], crowded, [0, 0], [False, True]) == 100
    other_crowd = precision_at_half([0.9, 0.8, 0.7], crowded, [0, 1], [False, True])
    assert other_crowd == pytest.approx(100 / 3)


def test_where_there_is_nothing():
    assert precision_at_half([0.9], [[1]], [0], [True]) == 0  # nothing but a crowd
    assert precision_at_half([0.9], [[1]], [-1], [False]) == 0
    assert precision_at_half([0.9], [[]], [], []) == 0
    assert precision_at_half([], [], [0], [False]) == 0
