"""Index maps: 0 = not annotated, 1 = background, 2.. = objects."""

import numpy as np
import scipy.ndimage

from dias_jax.errors import UserError

MAX_OBJECTS = 254  # index maps are uint8; 0 and 1 are taken


def number_objects(segments, objects):
    """Merges the segments that are no objects and numbers the others.

    Args:
      segments: (H, W) uint8, 0 not annotated, 1.. segments.
      objects: (n,) bool for segments 1.., whether it is an object.

    Returns:
      (H, W) uint8: 0 not annotated, 1 background, 2.. objects.
    """
    meaning = np.zeros(256, np.uint8)
    meaning[1 : len(objects) + 1] = np.where(objects, 1 + np.cumsum(objects), 1)
    return meaning[segments]


def renumber(indices, name, background=(0,), not_annotated=()):
    """Turns published indices into an index map.

    Args:
      indices: (H, W) uint8.
      name: the picture's file, for messages.
      background: indices that stand for the background.
      not_annotated: indices that stand for nothing.

    Returns:
      mask (H, W) uint8: 0 not annotated, 1 background, 2.. objects by increasing index;
      objects: list of the index of each object.

    Raises:
      UserError: there are too many objects.
    """
    present = np.flatnonzero(np.bincount(indices.ravel(), minlength=256))
    objects = [int(i) for i in present if i not in (*background, *not_annotated)]
    if len(objects) > MAX_OBJECTS:
        raise UserError(f"{name} has {len(objects)} objects; at most {MAX_OBJECTS} are supported")
    meaning = np.zeros(256, np.uint8)
    meaning[list(background)] = 1
    meaning[objects] = np.arange(2, 2 + len(objects))
    return meaning[indices], objects


def boxes_of(mask, num_objects):
    """Returns the boxes of masks 2, 3, .. of an index map.

    Args:
      mask: (H, W) uint8.
      num_objects: G.

    Returns:
      (G, 4) float32: left, top, right, bottom edge of the box, in image widths and heights; zeros
      for an object that is not seen.
    """
    height, width = mask.shape
    boxes = np.zeros((num_objects, 4), np.float32)
    for number, place in enumerate(scipy.ndimage.find_objects(mask, 1 + num_objects)[1:]):
        if place is not None:
            rows, columns = place
            boxes[number] = (
                *(columns.start / width, rows.start / height),
                *(columns.stop / width, rows.stop / height),
            )
    return boxes


def labels_in_view(classes, mask, capacity):
    """Returns class and box of every object that a view shows.

    Args:
      classes: (n,) int of objects 2, 3, ..
      mask: (H, W) uint8, the view's index map.
      capacity: G, at least n.

    Returns:
      (G,) int32 and (G, 4) float32; class -1 and a zero box for an object that is not seen and for
      what only fills.
    """
    count = len(classes)
    is_seen = np.bincount(mask.ravel(), minlength=256)[2 : 2 + count] > 0
    found, boxes = np.full(capacity, -1, np.int32), np.zeros((capacity, 4), np.float32)
    found[:count] = np.where(is_seen, classes, -1)
    boxes[:count] = boxes_of(mask, count)
    return found, boxes
