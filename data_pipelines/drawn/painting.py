"""How objects come into a picture, from front to back: where they are seen, colours and shadows.

Lengths are in units of the image's side. A picture is float32 (3, size, size) while it is painted.
"""

import math
from typing import NamedTuple

import numpy as np

SHADOW_REACH = 0.035
_NOISE = 2.5  # standard deviation of the pixel noise, in grey levels


class PlacedObject(NamedTuple):
    """An object in its window, the slices of the image (h, w) that surround it."""

    centre: tuple  # x, y
    radius: float
    angle: float
    window: tuple
    x: np.ndarray  # (h, w), pixel centres in the object's frame, in units of its radius
    y: np.ndarray
    distance: np.ndarray  # (h, w), to the outline, in image sides, negative inside
    visible: np.ndarray  # (h, w) bool


def place(form, style, centre, radius, angle, mask):
    """A PlacedObject, seen where `mask` (size, size) uint8 shows the ground, which is 1."""
    window, x, y = _frame(centre, radius, angle, mask.shape[0])
    distance = form(x, y, style) * np.float32(radius)
    visible = (distance <= 0) & (mask[window] == 1)
    return PlacedObject(centre, radius, angle, window, x, y, distance, visible)


class Painting:
    """A picture in the making: what is painted first lies in front."""

    def __init__(self, size):
        self.image = np.zeros((3, size, size), np.float32)
        self.uncovered = np.ones((size, size), np.float32)
        self.light = np.ones((size, size), np.float32)

    def add(self, item, colour):
        """Paint an object, colours (3, h, w), and its contact shadow on what will follow."""
        window, size = item.window, self.uncovered.shape[0]
        coverage = np.clip(0.5 - item.distance * size, 0, 1)
        share = self.uncovered[window] * coverage
        self.image[:, *window] += colour * (share * self.light[window])
        self.uncovered[window] -= share
        shadow = np.clip(1 - item.distance * np.float32(1 / SHADOW_REACH), 0, 1)
        self.light[window] *= 1 - 0.4 * shadow * shadow

    def finish(self, ground, random):
        """Paint the ground (3, size, size) and noise: -> image (size, size, 3) uint8."""
        image = self.image
        image += ground * (self.uncovered * self.light)
        image *= 255
        noise = random.standard_normal(image.shape[1:], np.float32)
        image += noise * np.float32(_NOISE) + np.float32(0.5)
        np.clip(image, 0, 255, out=image)
        return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0))


def _frame(centre, radius, angle, size):
    """The window around an object and its pixel centres in the object's frame.

    An object outside the image has an empty window, or one in which nothing of it is seen.
    """
    reach = radius * 1.05 + SHADOW_REACH
    spans = []
    for middle in centre:
        start = min(max(int((middle - reach) * size), 0), size)
        stop = max(min(int((middle + reach) * size) + 2, size), start)
        spans.append((start, stop))
    (left, right), (top, bottom) = spans
    across = (np.arange(left, right, dtype=np.float32) + 0.5) / size - np.float32(centre[0])
    down = (np.arange(top, bottom, dtype=np.float32) + 0.5) / size - np.float32(centre[1])
    cosine, sine = np.float32(math.cos(angle) / radius), np.float32(math.sin(angle) / radius)
    x = across * cosine + (down * sine)[:, None]
    y = (down * cosine)[:, None] - across * sine
    return (slice(top, bottom), slice(left, right)), x, y
