"""Boxes and classes of what a view shows."""

import numpy as np

from data_pipelines import pipeline, sources
from data_pipelines.building.masks import boxes_of, crowds_in_view, labels_in_view


def test_labels_follow_the_view():
    mask = np.ones((4, 8), np.uint8)
    mask[1:3, 2:6] = 3  # object 2 was cut off
    mask[3, 7] = 4
    classes, boxes = labels_in_view([5, 6, 7], mask, 5)
    np.testing.assert_array_equal(classes, [-1, 6, 7, -1, -1])
    expected = [[0] * 4, [0.25, 0.25, 0.75, 0.75], [0.875, 0.75, 1, 1], [0] * 4, [0] * 4]
    np.testing.assert_array_equal(boxes, expected)
    classes, boxes = labels_in_view([], mask, 0)
    assert classes.shape == (0,) and boxes.shape == (0, 4)


def test_crowds_follow_the_view():
    classes = np.array([5, -1, 7, -1])
    assert crowds_in_view([True, True, False], classes).tolist() == [True, False, False, False]
    assert crowds_in_view((), classes).tolist() == [False] * 4


def test_evaluation_batches_carry_classes_and_boxes(coco_config):
    source = sources.open_split(coco_config, "validation")
    batch = next(pipeline.evaluation_batches(coco_config, "validation", 7))
    assert batch["classes"].shape == (7, source.num_masks - 1)
    assert batch["boxes"].shape == (7, source.num_masks - 1, 4)
    seen = 0
    for mask, classes, boxes in zip(batch["mask"], batch["classes"], batch["boxes"]):
        objects = np.flatnonzero(classes >= 0)
        seen += len(objects)
        assert set(objects + 2) == set(np.unique(mask[mask > 1]))
        np.testing.assert_array_equal(boxes[objects], boxes_of(mask, len(classes))[objects])
    assert seen > 7
