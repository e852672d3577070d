"""Outlines of the drawn objects, as signed distances.

Every form is a function `(x, y, style) -> distance`: x, y float32 arrays in the object's own frame,
in units of its radius; `style` in [0, 1) varies the proportions; the distance is negative inside
and close to Euclidean near the outline, which is all that masks and anti-aliased edges need.
"""

import math

import numpy as np


def ellipse(x, y, style):
    """A disc (style 0) to a long ellipse; first-order distance."""
    inverse = 1 / (1 - 0.5 * style)
    scaled_y = y * inverse
    norm = np.sqrt(x * x + scaled_y * scaled_y) + 1e-6
    slope = np.sqrt(x * x + (scaled_y * inverse) ** 2) + 1e-6
    return norm * (norm - 1) / slope


def rectangle(x, y, style):
    """A square (style 0) to a bar, with rounded corners."""
    return _box(x, y, 0.7, 0.7 - 0.4 * style) - 0.06


def cross(x, y, style):
    """Two bars at right angles."""
    width = 0.24 + 0.14 * style
    return np.minimum(_box(x, y, 0.9, width), _box(x, y, width, 0.9)) - 0.04


def polygon(x, y, style):
    """A triangle, a pentagon or a hexagon."""
    sides = (3, 5, 6)[int(style * 3)]
    return _star(x, y, sides, math.cos(math.pi / sides))


def star(x, y, style):
    """A star with four to six points."""
    points = 4 + int(style * 3)
    return _star(x, y, points, 0.5)


def ring(x, y, style):
    """A ring; what is seen through the hole belongs to what lies behind."""
    width = 0.18 + 0.1 * style
    return np.abs(np.sqrt(x * x + y * y) - (1 - width)) - width


def flower(x, y, style):
    """A disc whose radius swings around it; first-order distance."""
    petals = 3 + int(style * 4)
    radius = np.sqrt(x * x + y * y) + 1e-6
    angle = petals * np.arctan2(y, x)
    slope = 0.22 * petals * np.sin(angle) / np.maximum(radius, 0.3)
    return (radius - 0.78 - 0.22 * np.cos(angle)) / np.sqrt(1 + slope * slope)


ALL_FORMS = (ellipse, rectangle, cross, polygon, star, ring, flower)
NAMES = tuple(form.__name__ for form in ALL_FORMS)


def _box(x, y, half_width, half_height):
    """Exact signed distance to a box around the origin."""
    outside_x = np.abs(x) - half_width
    outside_y = np.abs(y) - half_height
    outside = np.sqrt(np.maximum(outside_x, 0) ** 2 + np.maximum(outside_y, 0) ** 2)
    return outside + np.minimum(np.maximum(outside_x, outside_y), 0)


def _star(x, y, points, inner_radius):
    """Distance to the line through a tip (radius 1) and a notch (radius inner_radius)."""
    sector = math.pi / points
    angle = np.arctan2(y, x)
    # Fold the plane on half a point: the tip at angle 0, the notch at angle `sector`.
    folded = np.abs((angle + sector) % (2 * sector) - sector)
    radius = np.sqrt(x * x + y * y)
    edge_x, edge_y = inner_radius * math.cos(sector) - 1, inner_radius * math.sin(sector)
    length = math.hypot(edge_x, edge_y)
    across = (radius * np.cos(folded) - 1) * edge_y - radius * np.sin(folded) * edge_x
    return across / length
