"""Colours, textures and shading of the drawn scenes.

A surface is a float32 array (3, h, w), 0 = black and 1 = white: two shades of one hue, blended by a
pattern in [0, 1] and lit by a gradient. (Colour comes first because numpy is fastest so.)
"""

import colorsys
import math

import numpy as np
from PIL import Image

PATTERNS = ("uniform", "stripes", "squares", "dots", "clouds")


def object_surface(random, item, kind, hue, light_angle):
    """The colours (3, h, w) of one PlacedObject in its window; kind: of its pattern."""
    drawn = pattern(random, kind, item.x, item.y, item.radius)
    return lit_object(item, drawn, object_shades(random, hue), light_angle)


def object_shades(random, hue):
    """Draw two shades of a hue, for an object: each (3, 1, 1)."""
    saturation, value = random.uniform(0.55, 0.95), random.uniform(0.65, 1.0)
    contrast = random.uniform(0.15, 0.4)
    bright = _rgb(hue, saturation, value)
    dark = _rgb(hue + random.uniform(-0.06, 0.06), saturation, value * (1 - contrast))
    return bright, dark


def lit_object(item, drawn, shades, light_angle):
    """The colours (3, h, w) of a PlacedObject with a pattern (h, w) of two shades."""
    # The light comes from one side of the scene; x and y are in the object's own, turned frame.
    turned = light_angle - item.angle
    slope = item.x * np.float32(math.cos(turned)) + item.y * np.float32(math.sin(turned))
    # Towards the outline the surface bends away from the viewer.
    depth = np.clip(item.distance * np.float32(-1 / (0.3 * item.radius)), 0, 1)
    shade = (0.92 + 0.18 * slope) * (0.8 + 0.2 * depth)
    return _blend(drawn, *shades) * shade


def ground_surface(random, hue, light_angle, size):
    """The colours (3, size, size) of the ground."""
    drawn = ground_pattern(random, size)
    return lit_ground(drawn, ground_shades(random, hue), light_angle)


def ground_pattern(random, size, extent=1):
    """Draw a pattern (size, size) for a square of ground, `extent` image sides long."""
    steps = _steps(size) * np.float32(extent)
    angle = random.uniform(0, 2 * math.pi)
    cosine, sine = np.float32(4 * math.cos(angle)), np.float32(4 * math.sin(angle))
    x = steps * cosine + (steps * sine)[:, None]
    y = (steps * cosine)[:, None] - steps * sine
    # Twice the weight on the smooth clouds: the ground is uneven whatever its pattern.
    return (
        pattern(random, draw_kind(random), x, y, 0.25)
        + 2 * _clouds(random, x.shape, round(6 * extent))
    ) / 3


def ground_shades(random, hue):
    """Draw two shades of a hue, for the ground: each (3, 1, 1)."""
    saturation, value = random.uniform(0.1, 0.4), random.uniform(0.5, 0.95)
    bright = _rgb(hue, saturation, value)
    return bright, _rgb(hue + random.uniform(-0.1, 0.1), saturation, value * 0.6)


def lit_ground(drawn, shades, light_angle):
    """The colours (3, size, size) of a ground with a pattern (size, size) of two shades."""
    steps = _steps(len(drawn))
    slope_x, slope_y = np.float32(math.cos(light_angle)), np.float32(math.sin(light_angle))
    slope = steps * slope_x + (steps * slope_y)[:, None]
    return _blend(drawn, *shades) * (0.95 + 0.3 * slope)


def draw_kind(random):
    """Draw a kind of pattern, a number in PATTERNS."""
    return int(random.integers(len(PATTERNS)))


def pattern(random, kind, x, y, unit):
    """Draw a pattern (h, w) in [0, 1] over x, y, which are in units of `unit` image sides."""
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


def _steps(size):
    """Pixel centres along one side of an image, from its middle."""
    return (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5


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
