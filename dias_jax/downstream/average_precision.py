"""Average precision of slots as detections of a class, as COCO computes it, in numpy.

Every slot in use is one prediction: a mask, a class and a score. COCO's rules for segmentation,
objects of any area: pycocotools' `COCOeval` gives the same numbers.
"""

import numpy as np

THRESHOLDS = np.linspace(0.5, 0.95, 10)  # of IoU
RECALLS = np.linspace(0, 1, 101)  # where the precision is read off
MAX_PREDICTIONS = 100  # of one class in one image, the best scored


def average_precision(
    scores, predicted, is_used, overlap, classes, is_crowd, thresholds=THRESHOLDS
):
    """Mean over classes in percent: -> {"ap_50": at the first threshold, "ap": mean over all}.

    Arguments as of `class_precision`, the key is named after the threshold. 0 without a thing.
    """
    found = class_precision(scores, predicted, is_used, overlap, classes, is_crowd, thresholds)
    values = np.mean([*found.values()], axis=0) if found else np.zeros(len(thresholds))
    return {f"ap_{100 * thresholds[0]:.0f}": float(values[0]), "ap": float(values.mean())}


def class_precision(scores, predicted, is_used, overlap, classes, is_crowd, thresholds=THRESHOLDS):
    """Average precision of each class that has things: -> {class: (thresholds,) percent}.

    Predictions, in the order of the split: scores (B, S) float, predicted (B, S) int classes,
    is_used (B, S) bool. Things: classes (B, G) int, -1: there is none, is_crowd (B, G) bool. Their
    masks: overlap (B, S, G) float IoU, with a crowd the share of the prediction that lies in it.
    A crowd is no thing to be found; a prediction that finds nothing but a crowd counts nowhere.
    """
    order = np.argsort(-np.where(is_used, scores, -np.inf), axis=1, kind="stable")
    scores, predicted, is_used = (
        np.take_along_axis(x, order, axis=1) for x in (scores, predicted, is_used)
    )
    is_used = is_used & (rank_in_class(predicted, is_used) < MAX_PREDICTIONS)
    overlap = np.take_along_axis(overlap, order[..., None], axis=1)
    overlap = np.where(predicted[..., None] == classes[:, None], overlap, -1)
    overlap = np.where(is_used[..., None] & (classes >= 0)[:, None], overlap, -1)
    matches = [match(overlap, is_crowd, threshold) for threshold in thresholds]

    values = {}
    for number in np.unique(classes[(classes >= 0) & ~is_crowd]).tolist():
        is_own = is_used & (predicted == number)
        best_first = np.argsort(-scores[is_own], kind="stable")
        count = np.sum((classes == number) & ~is_crowd)
        areas = [
            area_under_curve(is_found[is_own][best_first], is_ignored[is_own][best_first], count)
            for is_found, is_ignored in matches
        ]
        values[number] = 100 * np.array(areas)
    return values


def rank_in_class(predicted, is_used):
    """How many predictions of an image and class come before each: (B, S) twice -> (B, S) int."""
    is_same = (predicted[:, :, None] == predicted[:, None]) & is_used[:, None]
    return np.tril(is_same, -1).sum(-1)


def match(overlap, is_crowd, threshold):
    """Give every thing to the first prediction that wants it most: -> (B, S) bool twice.

    overlap (B, S, G), predictions of an image by falling score, below 0 where they may not meet;
    is_crowd (B, G). -> which predictions found a thing, and which found only a crowd, which never
    runs out. Of equal overlaps the last thing is taken.
    """
    samples, num_things = np.arange(len(overlap)), overlap.shape[-1]
    is_found, is_ignored = np.zeros((2, *overlap.shape[:2]), bool)
    if not num_things:
        return is_found, is_ignored
    is_free = ~is_crowd
    for number in range(overlap.shape[1]):
        wanted = overlap[:, number]
        is_enough = wanted >= threshold
        things = np.where(is_enough & is_free, wanted, -1)
        best = num_things - 1 - things[:, ::-1].argmax(-1)
        is_found[:, number] = things[samples, best] >= 0
        is_ignored[:, number] = (is_enough & is_crowd).any(-1) & ~is_found[:, number]
        is_free[samples, best] &= ~is_found[:, number]
    return is_found, is_ignored


def area_under_curve(is_found, is_ignored, count):
    """Area under the curve of precision over recall: (M,) bool twice, best first -> scalar.

    count: how many things there are. The precision at a recall is the best there or beyond, 0 where
    the recall is never reached; the area is the mean over `RECALLS`.
    """
    is_found = is_found[~is_ignored]
    found = np.cumsum(is_found)
    precision = found / np.arange(1, 1 + len(found))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(found / count, RECALLS, side="left")
    return np.append(precision, 0)[place].mean()
