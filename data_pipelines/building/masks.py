"""Index maps: 0 = not annotated, 1 = background, 2.. = objects."""

import numpy as np
import scipy.ndimage

from dias_jax.errors import UserError

MAX_OBJECTS = 254  # index maps are uint8; 0 and 1 are taken


def number_objects(segments, objects):
    """Merge the segments that are no objects and number the others: -> index map (H, W) uint8.

    segments: (H, W) uint8, 0 not annotated, 1.. segments; objects: (n,) bool, which of these are
    objects.
    """
    meaning = np.zeros(256, np.uint8)
    meaning[1 : len(objects) + 1] = np.where(objects, 1 + np.cumsum(objects), 1)
    return meaning[segments]


def renumber(indices, name, background=(0,), not_annotated=()):
    """Published indices (H, W) uint8 as an index map: -> mask (H, W) uint8, index of each object.

    Objects are numbered by increasing index. name: the picture's file, for messages; background and
    not_annotated: the indices that stand for these. Raises UserError when there are too many
    objects.
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
    """The boxes of masks 2, 3, .. of an index map: (H, W) uint8 -> (num_objects, 4) float32.

    Left, top, right and bottom edge in image widths and heights; zeros for an object that is not
    seen.
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
    """Class and box of every object that a view shows: -> (G,) int32, (G, 4) float32.

    classes: (n,) int of objects 2, 3, ..; mask: (H, W) uint8, the view's index map; capacity: G, at
    least n. Class -1 and a zero box for an object that is not seen and for what only fills. Of a
    clip, mask (F, H, W), boxes are (F, G, 4), and an object has its class if any frame shows it.
    """
    count = len(classes)
    is_seen = np.bincount(mask.ravel(), minlength=256)[2 : 2 + count] > 0
    found = np.full(capacity, -1, np.int32)
    boxes = np.zeros((*mask.shape[:-2], capacity, 4), np.float32)
    found[:count] = np.where(is_seen, classes, -1)
    for frame in np.ndindex(mask.shape[:-2]):  # of an image there is one, ()
        boxes[frame][:count] = boxes_of(mask[frame], count)
    return found, boxes


def crowds_in_view(crowd, classes):
    """Which objects of a view are crowds: -> (G,) bool.

    crowd: (n,) bool of objects 2, 3, .., none where the data set does not say; classes (G,) int, of
    `labels_in_view`.
    """
    found = np.zeros(classes.shape, bool)
    found[: len(crowd)] = crowd
    return found & (classes >= 0)
