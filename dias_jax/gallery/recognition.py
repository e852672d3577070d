"""What a recognition probe reads off slots: a table of classes, confusions, right and wrong."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from dias_jax.downstream.recognition_metrics import MASK_IOUS, box_iou
from dias_jax.gallery.recognition_page import write_recognition_page
from dias_jax.gallery.writing import write_files
from dias_jax.pictures.confusion import count_confusions, plot_confusions
from dias_jax.pictures.tables import markdown_table


@dataclasses.dataclass(frozen=True)
class Readings:
    """What a probe has read of a split, all numpy.

    Of images and segments few samples are looked at: whatever has sample i at [i] will do.
    """

    images: np.ndarray  # (B, H, W, 3) uint8
    segments: np.ndarray  # (B, h, w) uint8, the slot of each token
    slot: np.ndarray  # (B, G) int, of each thing, -1: none
    iou: np.ndarray  # (B, G), of its mask and the slot's
    classes: np.ndarray  # (B, G) int, -1: there is no thing
    boxes: np.ndarray  # (B, G, 4), edges in sides of the view
    logits: np.ndarray  # (B, G, K)
    predicted_boxes: np.ndarray  # (B, G, 4)
    is_kept: np.ndarray  # (B, G) bool, the pairs of slot and thing that count

    @functools.cached_property
    def predicted(self):
        """The likeliest class of each thing's slot: (B, G) int."""
        return self.logits.argmax(-1)


class ClassScores(NamedTuple):
    """How well the things of a class are found and named."""

    name: str
    things: int
    found: float  # percent of things
    pairs: int  # kept ones
    top1: float | None  # percent of pairs; None: there are none
    precision: float | None  # AP at an IoU of 0.5 in percent; None: it has none


@dataclasses.dataclass(frozen=True)
class Case:
    """One thing, its slot and what was read off that, ready to be drawn."""

    sample: int
    image: np.ndarray  # (H, W, 3) uint8
    mask: np.ndarray  # (h, w) bool, of the slot
    box: np.ndarray  # (4,), edges in sides of the view
    predicted_box: np.ndarray  # (4,)
    name: str  # of the class
    predicted_name: str
    share: float  # the class's probability
    predicted_share: float
    mask_iou: float
    box_iou: float


def write_report(folder, readings, precision, names, title, facts, count=24):
    """Write confusion.png, classes.md and index.html into a folder: -> their paths, the page last.

    precision: {class: AP at an IoU of 0.5 in percent}; names: of all K classes, a list; facts:
    lines of text under the title; count: how many wrong and how many right things the page shows.
    Raises UserError where nothing can be written.
    """
    scores = score_classes(readings, precision, names)
    kept = readings.is_kept
    confusions = count_confusions(readings.classes[kept], readings.predicted[kept], names)
    figure = plot_confusions(*confusions)
    wrong, right = choose_cases(readings, names, count)
    writers = {
        "confusion.png": lambda path: figure.savefig(path, format="png", dpi=130),
        "classes.md": lambda path: path.write_text(class_table(scores) + "\n", encoding="utf-8"),
        "index.html": lambda path: write_recognition_page(
            path, title, facts, scores, figure, wrong, right
        ),
    }
    return write_files(folder, writers)


def score_classes(readings, precision, names):
    """ClassScores of all things together, then of each class that has any, the largest first."""
    classes = readings.classes
    numbers, sizes = np.unique(classes[classes >= 0], return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    mean = np.mean([*precision.values()]) if precision else None
    return [
        score_things(readings, classes >= 0, "all classes", mean),
        *(
            score_things(readings, classes == number, names[number], precision.get(number))
            for number in numbers[order].tolist()
        ),
    ]


def score_things(readings, is_meant, name, precision):
    """The ClassScores of some things: is_meant (B, G) bool."""
    count, is_pair = int(is_meant.sum()), is_meant & readings.is_kept
    is_right = (readings.predicted == readings.classes)[is_pair]
    return ClassScores(
        name=name,
        things=count,
        found=100 * (is_meant & (readings.iou > MASK_IOUS["50"])).sum() / max(count, 1),
        pairs=len(is_right),
        top1=100 * is_right.mean() if len(is_right) else None,
        precision=precision,
    )


def class_table(scores):
    """Markdown of a list of ClassScores."""
    header = ["class", "things", "found", "pairs", "top-1 of pairs", "AP 50"]
    rows = [
        [
            *(score.name, f"{score.things:,}", percent(score.found), f"{score.pairs:,}"),
            *(percent(score.top1), percent(score.precision)),
        ]
        for score in scores
    ]
    return markdown_table(header, rows)


def percent(value):
    """A share as text, a dash for None."""
    return "–" if value is None else f"{value:.1f}"


def choose_cases(readings, names, count):
    """Kept pairs to look at: -> (wrong, right), lists of at most `count` Cases.

    Of the wrong ones those of which the probe was surest; the right ones are spread evenly over all
    that it was sure of, from the surest on.
    """
    kept = readings.is_kept
    shares, places = softmax(readings.logits[kept], axis=-1), np.argwhere(kept)
    order = np.argsort(-shares.max(-1), kind="stable")
    is_right = (readings.predicted == readings.classes)[kept][order]
    wrong, right = order[~is_right][:count], order[is_right]
    spread = np.linspace(0, len(right) - 1, min(count, len(right))).round().astype(int)
    return tuple(
        [describe_case(readings, names, tuple(places[i]), shares[i]) for i in chosen]
        for chosen in (wrong, right[spread])
    )


def describe_case(readings, names, place, shares):
    """The Case of one thing; place: (sample, thing), shares (K,): probabilities of classes."""
    true, predicted = readings.classes[place], readings.predicted[place]
    box, predicted_box = readings.boxes[place], readings.predicted_boxes[place]
    sample = int(place[0])
    return Case(
        sample=sample,
        image=readings.images[sample],
        mask=readings.segments[sample] == readings.slot[place],
        box=box,
        predicted_box=predicted_box,
        name=names[true],
        predicted_name=names[predicted],
        share=shares[true],
        predicted_share=shares[predicted],
        mask_iou=readings.iou[place],
        box_iou=box_iou(predicted_box[None], box[None])[0][0],
    )
