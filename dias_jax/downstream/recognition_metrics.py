"""How well classes and boxes are read off slots, over a whole split, in numpy.

Two protocols. The released one looks at kept pairs of slot and thing only, so their number is part
of the result; the fair one asks about every thing there is, and counts one that was not found as
not recognised. Arrays have an axis for samples, or pairs, first.
"""

import numpy as np

MASK_IOUS = {"50": 0.5, "10": 0.1}  # from which on a thing counts as found


def is_among_top(logits, classes, count):
    """Whether the true class is one of the `count` likeliest: (..., K), (...) int -> (...) bool."""
    own = np.take_along_axis(logits, classes[..., None], axis=-1)
    return (logits > own).sum(-1) < count


def box_iou(boxes, true_boxes):
    """IoU of boxes: (M, 4) twice -> (M,), valid (M,) bool. Released code.

    A box whose right lies left of its left has a negative area; where that leaves no union there
    is no value.
    """
    corner = np.minimum(boxes[:, 2:], true_boxes[:, 2:])
    shared = np.maximum(corner - np.maximum(boxes[:, :2], true_boxes[:, :2]), 0).prod(-1)
    areas = [(x[:, 2:] - x[:, :2]).prod(-1) for x in (boxes, true_boxes)]
    union = areas[0] + areas[1] - shared
    is_valid = union > 0
    return np.where(is_valid, shared / np.where(is_valid, union, 1), 0), is_valid


def r_squared(predicted, true):
    """Coefficient of determination, mean over coordinates: (M, 4) twice -> scalar.

    As scikit-learn's `r2_score`: a coordinate that does not vary counts 1 if it is met, else 0.
    """
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    error = np.square(true - predicted).sum(0)
    spread = np.square(true - true.mean(0)).sum(0)
    values = 1 - error / np.where(spread > 0, spread, 1)
    return np.where(spread > 0, values, error == 0).mean()


def balanced_accuracy(is_right, classes):
    """Share of right answers of each class, mean over the classes there are: (M,) -> scalar."""
    return np.mean([is_right[classes == number].mean() for number in np.unique(classes)])


def pair_metrics(logits, boxes, classes, true_boxes):
    """The released protocol, of M kept pairs: -> {name: value}, shares in percent.

    logits (M, K), classes (M,) int, boxes and true_boxes (M, 4). Without a pair there is nothing
    but their number, 0.
    """
    if not len(classes):
        return {"pairs": 0}
    is_right = is_among_top(logits, classes, 1)
    iou, is_valid = box_iou(boxes, true_boxes)
    return {
        "top1": 100 * is_right.mean(),
        "top3": 100 * is_among_top(logits, classes, 3).mean(),
        "balanced_top1": 100 * balanced_accuracy(is_right, classes),
        "box_iou": 100 * iou[is_valid].mean() if is_valid.any() else 0.0,
        "box_r2": r_squared(boxes, true_boxes),
        "pairs": len(classes),
    }


def found_metrics(logits, classes, iou, num_slots):
    """The fair protocol, of all things: -> {name: value}, shares in percent.

    logits (B, G, K), of each thing's slot; classes (B, G) int, -1: there is no thing; iou (B, G)
    of its mask and its slot's, 0 without one; num_slots (B,) int, slots in use. Recall is the share
    of things, precision that of slots in use, with an IoU above the threshold; `recognised` the
    share of things with an IoU above 0.5 whose class is right.
    """
    is_thing = classes >= 0
    num_things = max(is_thing.sum(), 1)
    values = {"things": is_thing.sum(), "mask_iou": 100 * iou[is_thing].sum() / num_things}
    for name, threshold in MASK_IOUS.items():
        count = (is_thing & (iou > threshold)).sum()
        values[f"recall_{name}"] = 100 * count / num_things
        values[f"precision_{name}"] = 100 * count / max(num_slots.sum(), 1)
    is_right = is_among_top(logits, np.maximum(classes, 0), 1)
    is_recognised = is_thing & is_right & (iou > 0.5)
    return values | {"recognised": 100 * is_recognised.sum() / num_things}
