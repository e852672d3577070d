"""Drawn scenes with exact masks: the data set that needs no download and no disk.

Three to six textured, shaded objects that overlap, on a textured ground. A scene is a pure function
of (seed, split, index); nothing is stored. Lengths are in units of the image's side, so a scene
looks the same at every size.

Objects are placed from front to back: each one is seen where nothing before it stands, and a place
that would show too little of it is drawn again. So every object of a scene is visible.
"""

import math
from typing import NamedTuple

import numpy as np

from data_pipelines.drawn import forms, textures
from dias_jax.errors import UserError

MIN_OBJECTS = 3
MAX_OBJECTS = 6
NUM_MASKS = 1 + MAX_OBJECTS  # the ground is mask 0
SPLIT_SIZES = {"train": 50_000, "validation": 1_000, "test": 1_000}

# Never change: they keep the splits disjoint and the scenes what they are.
_SPLIT_NUMBERS = {"train": 0, "validation": 1, "test": 2}

_MIN_VISIBLE_AREA = 0.008  # of the image; 131 of 128 x 128 pixels
_MIN_VISIBLE_SHARE = 0.35  # of the object's own area
_PLACEMENT_ATTEMPTS = 12
_SHADOW_REACH = 0.035
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


class Shapes:
    """Random access to the scenes of one split.

    `source[i]` is a dict: image (size, size, 3) uint8, mask (size, size) uint8, index int. Raises
    UserError when `split` is none of SPLIT_SIZES.
    """

    num_masks = NUM_MASKS

    def __init__(self, split, size=128, seed=0):
        if split not in SPLIT_SIZES:
            raise UserError(
                f"shapes has no split {split!r}: choose one of {', '.join(SPLIT_SIZES)}"
            )
        self.split = split
        self.size = size
        self.seed = seed

    def __len__(self):
        return SPLIT_SIZES[self.split]

    def __getitem__(self, index):
        image, mask = render(index, self.split, self.size, self.seed)
        return {"image": image, "mask": mask, "index": int(index)}

    def training_view(self, sample, rng, data_config):
        """The scene as it is: image, mask."""
        return sample["image"], sample["mask"]

    def evaluation_view(self, sample, data_config):
        """The scene as it is: image, mask."""
        return sample["image"], sample["mask"]

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        return f"whole scene drawn at {size}, background counted"


def render(index, split, size=128, seed=0):
    """Draw one scene: -> image (size, size, 3) uint8, mask (size, size) uint8.

    In the mask 1 is the ground, 2.. are objects. index: the scene's number in its split, "train",
    "validation" or "test"; seed: another seed, another set of scenes.
    """
    random = np.random.default_rng((seed, _SPLIT_NUMBERS[split], index))
    # What is drawn at random comes first and does not depend on the size, but for the pixel noise.
    num_objects = int(random.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    hues = (random.random() + _spread(random, num_objects + 1)) % 1.0
    light_angle = random.uniform(0, 2 * math.pi)

    image = np.zeros((3, size, size), np.float32)
    uncovered = np.ones((size, size), np.float32)
    light = np.ones((size, size), np.float32)
    mask = np.ones((size, size), np.uint8)
    placed = []
    for hue in hues[1:]:
        item = _place(random, mask, placed)
        if item is not None:
            placed.append(item)
            mask[item.window][item.visible] = 1 + len(placed)
            colour = textures.object_surface(random, item, hue, light_angle)
            _paint(image, uncovered, light, item, colour)
    ground = textures.ground_surface(random, hues[0], light_angle, size)
    image += ground * (uncovered * light)
    image *= 255
    image += random.standard_normal((size, size), np.float32) * np.float32(_NOISE) + np.float32(0.5)
    np.clip(image, 0, 255, out=image)
    return np.ascontiguousarray(image.astype(np.uint8).transpose(1, 2, 0)), mask


def _spread(random, count):
    """`count` numbers in [0, 1), evenly spread with jitter, in random order."""
    jitter = random.uniform(-0.2, 0.2, count)
    return random.permutation((np.arange(count) + jitter) / count)


def _place(random, mask, placed):
    """A PlacedObject that is seen well enough behind those in `mask`, or None."""
    size = mask.shape[0]
    for _ in range(_PLACEMENT_ATTEMPTS):
        form = forms.ALL_FORMS[int(random.integers(len(forms.ALL_FORMS)))]
        style, radius = random.random(), random.uniform(0.14, 0.28)
        angle = random.uniform(0, 2 * math.pi)
        centre = _draw_centre(random, radius, placed)
        window, x, y = _frame(centre, radius, angle, size)
        distance = form(x, y, style) * np.float32(radius)
        inside = distance <= 0
        visible = inside & (mask[window] == 1)
        enough = max(_MIN_VISIBLE_AREA * size * size, _MIN_VISIBLE_SHARE * np.count_nonzero(inside))
        if np.count_nonzero(visible) >= enough:
            return PlacedObject(centre, radius, angle, window, x, y, distance, visible)
    return None


def _draw_centre(random, radius, placed):
    """Draw a centre; half of them beside an earlier object, so that many objects overlap."""
    if not placed or random.random() < 0.5:
        return tuple(random.uniform(0.08, 0.92, 2))
    neighbour = placed[int(random.integers(len(placed)))]
    direction = random.uniform(0, 2 * math.pi)
    reach = 0.8 * (radius + neighbour.radius)
    x = neighbour.centre[0] + reach * math.cos(direction)
    y = neighbour.centre[1] + reach * math.sin(direction)
    return min(max(x, 0.05), 0.95), min(max(y, 0.05), 0.95)


def _frame(centre, radius, angle, size):
    """The window around an object and its pixel centres in the object's frame."""
    reach = radius * 1.05 + _SHADOW_REACH
    spans = []
    for middle in centre:
        start = max(int((middle - reach) * size), 0)
        stop = min(int((middle + reach) * size) + 2, size)
        spans.append((start, stop))
    (left, right), (top, bottom) = spans
    across = (np.arange(left, right, dtype=np.float32) + 0.5) / size - np.float32(centre[0])
    down = (np.arange(top, bottom, dtype=np.float32) + 0.5) / size - np.float32(centre[1])
    cosine, sine = np.float32(math.cos(angle) / radius), np.float32(math.sin(angle) / radius)
    x = across * cosine + (down * sine)[:, None]
    y = (down * cosine)[:, None] - across * sine
    return (slice(top, bottom), slice(left, right)), x, y


def _paint(image, uncovered, light, item, colour):
    """Add an object behind what is painted already, and its contact shadow on what will follow."""
    window, size = item.window, uncovered.shape[0]
    coverage = np.clip(0.5 - item.distance * size, 0, 1)
    share = uncovered[window] * coverage
    image[:, *window] += colour * (share * light[window])
    uncovered[window] -= share
    shadow = np.clip(1 - item.distance * np.float32(1 / _SHADOW_REACH), 0, 1)
    light[window] *= 1 - 0.4 * shadow * shadow
