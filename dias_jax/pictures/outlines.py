"""Lines around what is meant in a picture: of masks, and of boxes. Each has a dark hem."""

import numpy as np
from scipy import ndimage

WIDTH = 2  # pixels of a line
DASH, GAP = 10, 6  # pixels, of a dash and to the next


def mask_line(mask):
    """The inner border of a mask: (H, W) bool -> (H, W) bool. The picture's edge is none."""
    return mask & ~ndimage.binary_erosion(mask, iterations=WIDTH, border_value=1)


def box_line(shape, box, is_dashed=False):
    """The inner border of a box: -> (H, W) bool, of `shape`.

    box (4,): left, top, right and bottom edge in sides of the picture; what is outside is drawn on
    its edge, and nothing of a box without an area.
    """
    height, width = shape
    sides = np.clip(box, 0, 1) * [width, height, width, height]
    left, top, right, bottom = np.round(sides).astype(int)
    line = np.zeros(shape, bool)
    line[top:bottom, left:right] = True
    line[top + WIDTH : bottom - WIDTH, left + WIDTH : right - WIDTH] = False
    if is_dashed:
        rows, columns = np.indices(shape)
        line &= (rows + columns) % (DASH + GAP) < DASH
    return line


def draw_line(image, line, colour):
    """A picture with a line on it: (H, W, 3) uint8, (H, W) bool, (3,) -> (H, W, 3) uint8."""
    hem = ndimage.binary_dilation(line) & ~line
    image = np.where(hem[..., None], image // 4, image)
    return np.where(line[..., None], np.uint8(colour), image)
