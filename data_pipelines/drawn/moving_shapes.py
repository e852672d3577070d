"""Drawn videos with exact masks: the video data set that needs no download and no disk.

Textured, shaded objects move over a textured ground: they cross, hide one another, leave and enter,
and in half of the videos the camera moves (`motion` says what is promised). A video is a pure
function of (seed, split, index), and any of its frames can be drawn alone. Nothing changes that is
not motion, but for the noise: textures stick to objects and ground, the light stays.
"""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_pipelines.drawn import motion, textures
from data_pipelines.drawn.forms import ALL_FORMS, NAMES
from data_pipelines.drawn.painting import Painting
from data_pipelines.drawn.shapes import SPLIT_NUMBERS, spread
from data_pipelines.drawn.source import Drawn
from data_pipelines.properties import Properties

NUM_FRAMES = motion.NUM_FRAMES
NUM_MASKS = 1 + motion.MAX_OBJECTS  # the ground is mask 0
SPLIT_SIZES = {"train": 10_000, "validation": 500, "test": 500}

_VIDEO = 1  # in every key: other random numbers than the scenes of `shapes`
_OBJECT_EXTENT = 1.3  # half the side of an object's texture, in its radii
_GROUND_EXTENT = 1.5  # side of the ground's texture, in image sides: the camera sees no more


class Video(NamedTuple):
    """Some frames of a video; K objects, which are 2, 3, .. in the masks."""

    image: np.ndarray  # (F, size, size, 3) uint8
    mask: np.ndarray  # (F, size, size) uint8, 1 is the ground
    hidden: np.ndarray  # (F, K) bool: the middle is in the image, yet nothing of it is seen
    forms: np.ndarray  # (K,) int32, numbers in ALL_FORMS
    events: np.ndarray  # of motion.EVENTS, bool


class MovingShapes(Drawn):
    """Random access to the videos of one split.

    `read(i, start, stop)` is a dict of some frames of video i: image (F, size, size, 3) uint8, mask
    (F, size, size) uint8, classes (K,) int32 (numbers in ALL_FORMS), hidden (F, G) bool, events
    (E,) bool, index int. Raises UserError when `split` is none of SPLIT_SIZES.
    """

    name, split_sizes = "moving_shapes", SPLIT_SIZES
    num_masks = NUM_MASKS
    class_names = NAMES
    max_frames = NUM_FRAMES
    properties = Properties()

    def __init__(self, split, size=128, seed=0):
        super().__init__(split, size, seed)
        self.num_frames = np.full(SPLIT_SIZES[split], NUM_FRAMES)

    def read(self, index, start, stop):
        """Frames `start` to `stop` - 1 of video `index`."""
        video = render(index, self.split, self.size, self.seed, range(start, stop))
        sample = {"image": video.image, "mask": video.mask, "classes": video.forms}
        missing = NUM_MASKS - 1 - len(video.forms)
        sample["hidden"] = np.pad(video.hidden, [(0, 0), (0, missing)])
        return sample | {"events": video.events, "index": int(index)}

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        return f"{NUM_FRAMES} frames a video drawn at {size}, background counted"


def render(index, split, size=128, seed=0, times=range(NUM_FRAMES)):
    """Draw the frames `times` of one video: -> Video.

    index: the video's number in its split, "train", "validation" or "test"; seed: another seed,
    another set of videos. What a frame shows does not depend on which others are drawn.
    """
    key = (seed, SPLIT_NUMBERS[split], index, _VIDEO)
    random = np.random.default_rng(key)
    script = motion.draw_script(random)
    scene = _Scene(random, script, size)
    frames = [scene.draw(time, np.random.default_rng((*key, time))) for time in times]
    image, mask, hidden = (np.stack(parts) for parts in zip(*frames, strict=True))
    forms = np.array([ALL_FORMS.index(actor.form) for actor in script.actors], np.int32)
    return Video(image, mask, hidden, forms, np.array(list(script.events.values())))


class _Scene:
    """The surfaces of a script's actors and of the ground, which every frame shows anew."""

    def __init__(self, random, script, size):
        self.script, self.size = script, size
        hues = _draw_hues(random, len(script.actors), script.events["alike"])
        self.light_angle = random.uniform(0, 2 * math.pi)
        surfaces = [
            self._object_surface(random, actor, hue)
            for actor, hue in zip(script.actors, hues[1:], strict=True)
        ]
        twins = [i for i, actor in enumerate(script.actors) if actor.role == "twin"]
        for number in twins:
            surfaces[number] = surfaces[twins[0]]
        self.surfaces = surfaces
        side = round(_GROUND_EXTENT * size)
        self.ground = textures.ground_pattern(random, side, _GROUND_EXTENT)
        self.ground_shades = textures.ground_shades(random, hues[0])

    def _object_surface(self, random, actor, hue):
        """Pattern (side, side) of an actor at its largest, and two shades."""
        radius = actor.radius.max()
        side = math.ceil(2 * _OBJECT_EXTENT * radius * self.size)
        steps = ((np.arange(side, dtype=np.float32) + 0.5) / side - 0.5) * (2 * _OBJECT_EXTENT)
        x, y = np.meshgrid(steps, steps)
        drawn = textures.pattern(random, textures.draw_kind(random), x, y, radius)
        return drawn, textures.object_shades(random, hue)

    def draw(self, time, random):
        """Frame `time`: -> image (size, size, 3) uint8, mask (size, size) uint8, hidden (K,)."""
        placed, mask = motion.draw_masks(self.script, time, self.size)
        painting = Painting(self.size)
        for item, (pattern, shades) in zip(placed, self.surfaces, strict=True):
            if item.visible.any():
                drawn = self._on_object(pattern, item)
                painting.add(item, textures.lit_object(item, drawn, shades, self.light_angle))
        ground = textures.lit_ground(self._on_ground(time), self.ground_shades, self.light_angle)
        middles = np.array([complex(*item.centre) for item in placed])
        hidden = motion.is_in_image(middles) & [not item.visible.any() for item in placed]
        return painting.finish(ground, random), mask, hidden

    def _on_object(self, pattern, item):
        """An actor's pattern as the window of a PlacedObject shows it."""
        rows, columns = item.window
        scale = len(pattern) / (2 * _OBJECT_EXTENT)
        turn = np.exp(-1j * item.angle) / (item.radius * self.size) * scale
        corner = complex(columns.start, rows.start) - complex(*item.centre) * self.size
        return _resample(pattern, turn, corner * turn, item.visible.shape)

    def _on_ground(self, time):
        """The ground's pattern as the camera shows it in frame `time`."""
        camera = self.script.camera
        side = len(self.ground) / _GROUND_EXTENT  # of the image, in pixels of the pattern
        scale = 1 / camera.zoom[time]
        corner = camera.centre[time] - (0.5 + 0.5j) * (1 + scale)
        return _resample(self.ground, side / self.size * scale, side * corner, (self.size,) * 2)


def _draw_hues(random, count, alike):
    """Of the ground and of `count` actors, which share one if they are alike."""
    hues = (random.random() + spread(random, 2 if alike else 1 + count)) % 1.0
    return [hues[0], *[hues[1]] * count] if alike else hues


def _resample(pattern, turn, corner, shape):
    """A turned part of a pattern, interpolated linearly: -> (h, w) float32.

    turn: complex, a step to the right in the result, in pixels of the pattern; corner: complex, of
    the result from the middle of the pattern, likewise; shape: h, w.
    """
    turn, middle = complex(turn), len(pattern) / 2
    across = turn.real, -turn.imag, corner.real + middle
    down = turn.imag, turn.real, corner.imag + middle
    picture, method = Image.fromarray(pattern), Image.Transform.AFFINE
    height, width = shape
    bilinear = Image.Resampling.BILINEAR
    return np.asarray(picture.transform((width, height), method, (*across, *down), bilinear))
