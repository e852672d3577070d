"""Drawn videos of discs that bounce: what comes next can be worked out, and is asked about.

Three to five discs with a form drawn on each move over a textured ground and collide (`discs`); one
is red and one blue, and whether these will touch is the question (`touching`). A video is a pure
function of (seed, split, index), and any of its frames can be drawn alone. Looks and motion have
random numbers of their own. Nothing is ever hidden, and all that decides the future is seen.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from data_pipelines.drawn import forms, painting, textures, touching
from data_pipelines.drawn.discs import MAX_DISCS
from data_pipelines.drawn.painting import Painting
from data_pipelines.drawn.shapes import SPLIT_NUMBERS, spread
from data_pipelines.drawn.source import Drawn
from data_pipelines.drawn.touching import NUM_FRAMES
from data_pipelines.properties import Properties

NUM_MASKS = 1 + MAX_DISCS  # the ground is mask 0
# "readout" is for what learns from the predictions of a model that was trained on "train".
SPLIT_SIZES = {"train": 10_000, "validation": 500, "readout": 4_000, "test": 2_000}

_SPLIT_NUMBERS = SPLIT_NUMBERS | {"readout": 3}  # never change, as those of `shapes`
_LOOKS, _NOISE = 4, 5  # what random numbers are for: other ones than those of `touching`
_RED, _BLUE = 0.0, 0.64
_OTHER_HUES = ((0.12, 0.52), (0.76, 0.88))  # shades differ from their hue by up to 0.06
_FORM_SCALE = 0.72  # of the form on a disc, in its radii
_MAX_SPIN = 0.1  # of the form, a frame


class Video(NamedTuple):
    """Some frames of a video; K discs, which are 2, 3, .. in the masks."""

    image: np.ndarray  # (F, size, size, 3) uint8
    mask: np.ndarray  # (F, size, size) uint8, 1 is the ground
    forms: np.ndarray  # (K,) int32, numbers in ALL_FORMS
    world: touching.World  # of all frames


class Bouncing(Drawn):
    """Random access to the videos of one split.

    `read(i, start, stop)` is a dict of some frames of video i, of G = NUM_MASKS - 1 discs at most,
    zeros where there is none: image (F, size, size, 3) uint8, mask (F, size, size) uint8, classes
    (K,) int32 (numbers in ALL_FORMS), centres and velocities (F, G, 2) float32 (x and y, in image
    sides, a frame), radii (G,) float32; of the whole video contacts (G, G) int32 (the frame by
    which two first touch, -1: they do not), queried (2,) int32 (the red disc and the blue one),
    answer and ghost_answer bool, index int. Raises UserError when `split` is none of SPLIT_SIZES.
    """

    name, split_sizes = "bouncing", SPLIT_SIZES
    num_masks = NUM_MASKS
    class_names = forms.NAMES
    properties = Properties()
    max_frames = NUM_FRAMES

    def __init__(self, split, size=128, seed=0):
        super().__init__(split, size, seed)
        self.num_frames = np.full(SPLIT_SIZES[split], NUM_FRAMES)

    def read(self, index, start, stop):
        """Frames `start` to `stop` - 1 of video `index`."""
        video = render(index, self.split, self.size, self.seed, range(start, stop))
        world, missing = video.world, MAX_DISCS - len(video.forms)
        places = [(0, 0), (0, missing), (0, 0)]
        return {
            "image": video.image,
            "mask": video.mask,
            "classes": video.forms,
            "centres": np.pad(world.position[start:stop], places).astype(np.float32),
            "velocities": np.pad(world.velocity[start:stop], places).astype(np.float32),
            "radii": np.pad(world.radius, (0, missing)).astype(np.float32),
            "contacts": np.pad(world.contact, (0, missing), constant_values=-1).astype(np.int32),
            "queried": world.queried.astype(np.int32),
            "answer": np.bool_(world.answer),
            "ghost_answer": np.bool_(world.ghost_answer),
            "index": int(index),
        }

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        return f"{NUM_FRAMES} frames a video drawn at {size}, background counted"


def render(index, split, size=128, seed=0, times=range(NUM_FRAMES)):
    """Draw the frames `times` of one video: -> Video.

    index: the video's number in its split, one of SPLIT_SIZES; seed: another seed, another set of
    videos. What a frame shows does not depend on which others are drawn.
    """
    index, split = int(index), _SPLIT_NUMBERS[split]
    world = _draw_world(seed, split, index)
    scene = _Scene(np.random.default_rng((seed, split, index, _LOOKS)), world, size)
    frames = [
        scene.draw(time, np.random.default_rng((seed, split, index, _NOISE, time)))
        for time in times
    ]
    image, mask = (np.stack(parts) for parts in zip(*frames, strict=True))
    return Video(image, mask, scene.forms.astype(np.int32), world)


# Clips of one video share its world, which takes longer than a frame.
_draw_world = functools.lru_cache(maxsize=1024)(touching.draw_world)


class _Scene:
    """How the discs of a world and the ground look, in every frame alike."""

    def __init__(self, random, world, size):
        self.world, self.size = world, size
        count = len(world.radius)
        self.forms = random.integers(len(forms.ALL_FORMS), size=count)
        self.styles = random.random(count)
        self.angles = random.uniform(0, 2 * math.pi, count)
        self.spins = random.uniform(-_MAX_SPIN, _MAX_SPIN, count)
        others = iter(_draw_other_hues(random, count - 1))
        hues = dict(zip(world.queried, (_RED, _BLUE)))
        hues = [hues[i] if i in hues else next(others) for i in range(count)]
        self.shades = [textures.object_shades(random, hue) for hue in hues]
        self.light_angle = random.uniform(0, 2 * math.pi)
        pattern = textures.ground_pattern(random, size)
        shades = textures.ground_shades(random, next(others))
        self.ground = textures.lit_ground(pattern, shades, self.light_angle)

    def draw(self, time, random):
        """Frame `time`: -> image (size, size, 3) uint8, mask (size, size) uint8."""
        canvas, mask = Painting(self.size), np.ones((self.size, self.size), np.uint8)
        for i, (x, y) in enumerate(self.world.position[time].tolist()):
            angle = self.angles[i] + self.spins[i] * time
            radius = float(self.world.radius[i])
            item = painting.place(forms.ellipse, 0, (x, y), radius, angle, mask)
            mask[item.window][item.visible] = i + 2
            drawn = self._drawn_on(i, item)
            canvas.add(item, textures.lit_object(item, drawn, self.shades[i], self.light_angle))
        return canvas.finish(self.ground, random), mask

    def _drawn_on(self, i, item):
        """How much each pixel (h, w) of a PlacedObject is of the form that disc i bears."""
        form, scale = forms.ALL_FORMS[self.forms[i]], np.float32(1 / _FORM_SCALE)
        distance = form(item.x * scale, item.y * scale, self.styles[i])
        return np.clip(0.5 - distance * np.float32(_FORM_SCALE * item.radius * self.size), 0, 1)


def _draw_other_hues(random, count):
    """Hues (count,) that are neither red nor blue, spread over what is left of the circle."""
    (first, gap), (after, end) = _OTHER_HUES
    places = first + (random.random() + spread(random, count)) % 1.0 * (gap - first + end - after)
    return np.where(places < gap, places, places - gap + after)
