"""Colours, textures and shading of the drawn scenes.

A surface is a float32 array (3, h, w), 0 = black and 1 = white: two shades of one hue, blended by a
pattern in [0, 1] and lit by a gradient. (Colour comes first because numpy is fastest so.)
"""

import colorsys
import math

import numpy as np
from PIL import Image


def object_surface(random, item, hue, light_angle):
    """The colours (3, h, w) of one PlacedObject in its window."""
    x, y = item.x, item.y
    pattern = _pattern(random, x, y, item.radius)
    saturation, value = random.uniform(0.55, 0.95), random.uniform(0.65, 1.0)
    contrast = random.uniform(0.15, 0.4)
    bright = _rgb(hue, saturation, value)
    dark = _rgb(hue + random.uniform(-0.06, 0.06), saturation, value * (1 - contrast))
    # The light comes from one side of the scene; x and y are in the object's own, turned frame.
    turned = light_angle - item.angle
    slope = x * np.float32(math.cos(turned)) + y * np.float32(math.sin(turned))
    # Towards the outline the surface bends away from the viewer.
    depth = np.clip(item.distance * np.float32(-1 / (0.3 * item.radius)), 0, 1)
    shade = (0.92 + 0.18 * slope) * (0.8 + 0.2 * depth)
    return _blend(pattern, bright, dark) * shade


def ground_surface(random, hue, light_angle, size):
    """The colours (3, size, size) of the ground."""
    steps = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    angle = random.uniform(0, 2 * math.pi)
    cosine, sine = np.float32(4 * math.cos(angle)), np.float32(4 * math.sin(angle))
    x = steps * cosine + (steps * sine)[:, None]
    y = (steps * cosine)[:, None] - steps * sine
    # Twice the weight on the smooth clouds: the ground is uneven whatever its pattern.
    pattern = (_pattern(random, x, y, 0.25) + 2 * _clouds(random, x.shape, 6)) / 3
    saturation, value = random.uniform(0.1, 0.4), random.uniform(0.5, 0.95)
    bright = _rgb(hue, saturation, value)
    dark = _rgb(hue + random.uniform(-0.1, 0.1), saturation, value * 0.6)
    slope_x, slope_y = np.float32(math.cos(light_angle)), np.float32(math.sin(light_angle))
    slope = steps * slope_x + (steps * slope_y)[:, None]
    return _blend(pattern, bright, dark) * (0.95 + 0.3 * slope)


def _pattern(random, x, y, unit):
    """A random pattern in [0, 1] over x, y, which are in units of `unit` image sides."""
    kind = int(random.integers(5))
    # A period of 0.06 to 0.12 image sides: coarse enough to survive a resize to 64 pixels.
    frequency = np.float32(2 * math.pi * unit / random.uniform(0.06, 0.12))
    if kind == 0:
        return np.full(x.shape, 0.0, np.float32)
    if kind == 1:
        return _steepen(np.sin(x * frequency), 2)
    if kind == 2:
        return _steepen(np.sin(x * frequency) * np.sin(y * frequency), 4)
    if kind == 3:
        return _steepen(np.cos(x * frequency) + np.cos(y * frequency) - 0.9, 2)
    return _clouds(random, x.shape, 4)


def _steepen(wave, steepness):
    """Turn a wave around 0 into a pattern of two levels with soft edges."""
    return np.clip(wave * np.float32(steepness) * 0.5 + 0.5, 0, 1)


def _clouds(random, shape, cells):
    """Smooth noise (h, w) in [0, 1] with `cells` knots along each side."""
    knots = Image.fromarray(random.random((cells, cells), np.float32))
    return np.clip(np.asarray(knots.resize(shape[::-1], Image.Resampling.BICUBIC)), 0, 1)


def _rgb(hue, saturation, value):
    colour = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return np.array(colour, np.float32).reshape(3, 1, 1)


def _blend(pattern, first, second):
    return first + pattern * (second - first)
