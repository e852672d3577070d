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
from data_pipelines.drawn.painting import Painting, place
from data_pipelines.drawn.source import Drawn
from data_pipelines.properties import Properties

MIN_OBJECTS = 3
MAX_OBJECTS = 6
NUM_MASKS = 1 + MAX_OBJECTS  # the ground is mask 0
SPLIT_SIZES = {"train": 50_000, "validation": 1_000, "test": 1_000}

# Never change: they keep the splits disjoint and the scenes what they are.
SPLIT_NUMBERS = {"train": 0, "validation": 1, "test": 2}

_MIN_VISIBLE_AREA = 0.008  # of the image; 131 of 128 x 128 pixels
_MIN_VISIBLE_SHARE = 0.35  # of the object's own area
_PLACEMENT_ATTEMPTS = 12


class Scene(NamedTuple):
    """A picture and what is in it: K objects, from front to back, which are 2, 3, .. in the mask.

    What is told of an object is so of the whole of it, whatever others hide.
    """

    image: np.ndarray  # (size, size, 3) uint8
    mask: np.ndarray  # (size, size) uint8, 1 is the ground
    forms: np.ndarray  # (K,) int32, numbers in forms.ALL_FORMS
    hues: np.ndarray  # (K,) float32 in [0, 1), around the circle of colours
    centres: np.ndarray  # (K, 2) float32, x and y
    radii: np.ndarray  # (K,) float32
    patterns: np.ndarray  # (K,) int32, numbers in textures.PATTERNS


class Shapes(Drawn):
    """Random access to the scenes of one split.

    `source[i]` is a dict: image (size, size, 3) uint8, mask (size, size) uint8, index int, and of
    the objects classes (their forms), hues, centres, radii and patterns as in a `Scene`, and all of
    these as `properties`: kinds (K, 2) int32 and numbers (K, 5) float32; the hue is a point on the
    circle of colours there. Raises UserError when `split` is none of SPLIT_SIZES.
    """

    name, split_sizes = "shapes", SPLIT_SIZES
    num_masks = NUM_MASKS
    class_names = forms.NAMES
    max_frames = 0  # images
    properties = Properties(
        kinds={"form": len(forms.ALL_FORMS), "pattern": len(textures.PATTERNS)},
        numbers={"hue": 2, "centre": 2, "radius": 1},
    )

    def __len__(self):
        return SPLIT_SIZES[self.split]

    def __getitem__(self, index):
        scene = render(index, self.split, self.size, self.seed)
        sample = {"index": int(index)} | scene._asdict() | told_properties(scene)
        return sample | {"classes": sample.pop("forms")}

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        return f"whole scene drawn at {size}, background counted"


def told_properties(scene):
    """What a Scene tells of its objects, as `Shapes.properties` has it: {"kinds", "numbers"}."""
    turn = 2 * math.pi * scene.hues
    numbers = np.column_stack([np.cos(turn), np.sin(turn), scene.centres, scene.radii])
    return {"kinds": np.column_stack([scene.forms, scene.patterns]), "numbers": numbers}


def render(index, split, size=128, seed=0):
    """Draw one scene: -> Scene.

    index: the scene's number in its split, "train", "validation" or "test"; seed: another seed,
    another set of scenes.
    """
    random = np.random.default_rng((seed, SPLIT_NUMBERS[split], index))
    # What is drawn at random comes first and does not depend on the size, but for the pixel noise.
    num_objects = int(random.integers(MIN_OBJECTS, MAX_OBJECTS + 1))
    hues = (random.random() + spread(random, num_objects + 1)) % 1.0
    light_angle = random.uniform(0, 2 * math.pi)

    painting = Painting(size)
    mask = np.ones((size, size), np.uint8)
    placed, found = [], []
    for hue in hues[1:]:
        form, item = _place(random, mask, placed)
        if item is not None:
            placed.append(item)
            kind = textures.draw_kind(random)
            found.append((form, hue, item.centre, item.radius, kind))
            mask[item.window][item.visible] = 1 + len(placed)
            painting.add(item, textures.object_surface(random, item, kind, hue, light_angle))
    ground = textures.ground_surface(random, hues[0], light_angle, size)
    image = painting.finish(ground, random)
    numbers, *measures, kinds = zip(*found)
    measures = (np.array(values, np.float32) for values in measures)
    return Scene(image, mask, np.array(numbers, np.int32), *measures, np.array(kinds, np.int32))


def spread(random, count):
    """`count` numbers in [0, 1), evenly spread with jitter, in random order."""
    jitter = random.uniform(-0.2, 0.2, count)
    return random.permutation((np.arange(count) + jitter) / count)


def _place(random, mask, placed):
    """Form and PlacedObject of one that is seen well enough behind those in `mask`, or None."""
    size = mask.shape[0]
    for _ in range(_PLACEMENT_ATTEMPTS):
        form = int(random.integers(len(forms.ALL_FORMS)))
        style, radius = random.random(), random.uniform(0.14, 0.28)
        angle = random.uniform(0, 2 * math.pi)
        centre = _draw_centre(random, radius, placed)
        item = place(forms.ALL_FORMS[form], style, centre, radius, angle, mask)
        area = np.count_nonzero(item.distance <= 0)
        enough = max(_MIN_VISIBLE_AREA * size * size, _MIN_VISIBLE_SHARE * area)
        if np.count_nonzero(item.visible) >= enough:
            return form, item
    return None, None


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
