"""Who moves how in a drawn video: paths, a camera, and what is to happen.

Places are complex numbers, x + iy, in units of the image's side. A script is drawn again until it
keeps what it promises: something is seen in every frame, and every role is played.
  front, back   in every video: back passes fully behind front for two to four frames
  twins         in half of the videos: two objects that are alike cross each other
  late          in half of the videos: an object that enters after the first frame
  returning     in half of the videos: an object that leaves and comes back
  wandering     the others; some of them rest
In half of the videos the camera pans and zooms. In half of them all things are "alike": they share
a hue, which says nothing of who is who then.
"""

import cmath
import math
from typing import NamedTuple

import numpy as np

from data_pipelines.drawn import forms
from data_pipelines.drawn.painting import place

NUM_FRAMES = 16
MIN_OBJECTS = 3
MAX_OBJECTS = 6
EVENTS = ("camera", "twins", "late", "returning", "alike")

_TIMES = np.arange(NUM_FRAMES)
_MIDDLE = (NUM_FRAMES - 1) / 2  # when the camera sees the world as it is
_CENTRE = 0.5 + 0.5j
_MARGIN = 0.4  # beyond the image, where objects turn back
_MAX_PAN = 0.02  # a frame
_SOLID = ((forms.ellipse, 0.0), (forms.ellipse, 0.2), (forms.rectangle, 0.0))  # can hide others
_SOLID += ((forms.polygon, 0.5), (forms.polygon, 0.8))
_OUTER_RADIUS = 1.05  # of every form, in its radii
_DRAFT_SIZE = 48  # pixels a side, to see whether a script keeps its promises
_SEEN = 5  # pixels of the draft


class Actor(NamedTuple):
    """An object and how the camera sees it in every frame."""

    role: str
    form: object  # of `forms`
    style: float
    centre: np.ndarray  # (F,) complex
    radius: np.ndarray  # (F,)
    angle: np.ndarray  # (F,)


class Camera(NamedTuple):
    """Where the camera stands and how much it enlarges."""

    centre: np.ndarray  # (F,) complex
    zoom: np.ndarray  # (F,)


class Script(NamedTuple):
    """Actors from front to back; they are objects 2, 3, .. of the masks."""

    actors: list
    camera: Camera
    events: dict  # from each of EVENTS to bool


def draw_script(random):
    """Draw a Script that keeps its promises. random: numpy.random.Generator."""
    events = {name: bool(random.integers(2)) for name in EVENTS}
    while True:
        script = _draw(random, events)
        if _keeps_promises(script):
            return script


def draw_masks(script, time, size):
    """What is where in frame `time`: -> [PlacedObject] in order, mask (size, size) uint8."""
    mask = np.ones((size, size), np.uint8)
    placed = []
    for number, actor in enumerate(script.actors, start=2):
        centre, radius, angle = (x[time] for x in (actor.centre, actor.radius, actor.angle))
        centre = float(centre.real), float(centre.imag)
        item = place(actor.form, actor.style, centre, float(radius), float(angle), mask)
        mask[item.window][item.visible] = number
        placed.append(item)
    return placed, mask


def is_in_image(places):
    """Whether places, complex, are in the image."""
    return (places.real > 0) & (places.real < 1) & (places.imag > 0) & (places.imag < 1)


def _draw(random, events):
    actors = _hiding(random)
    if events["twins"]:
        actors += _twins(random)
    if events["late"]:
        actors.append(_late(random))
    if events["returning"]:
        actors.append(_returning(random))
    num_objects = max(int(random.integers(MIN_OBJECTS, MAX_OBJECTS + 1)), len(actors))
    while len(actors) < num_objects:
        actors.append(_wandering(random))
    actors = _stack(random, actors)
    camera = _camera(random, events["camera"])
    return Script([_seen_by(camera, actor) for actor in actors], camera, events)


def _keeps_promises(script):
    """Whether a draft of the video shows what the roles say."""
    masks = [draw_masks(script, time, _DRAFT_SIZE)[1] for time in _TIMES]
    count = 2 + len(script.actors)
    areas = np.stack([np.bincount(mask.ravel(), minlength=count)[2:count] for mask in masks])
    if not (areas >= _SEEN).any(axis=1).all():
        return False
    return all(map(_plays, script.actors, areas.T))


def _plays(actor, areas):
    """Whether an actor that is seen on `areas` (F,) pixels plays its role."""
    if (areas >= _SEEN).sum() < 4:
        return False
    first, last = np.flatnonzero(areas)[[0, -1]]
    gone = int((areas[first:last] == 0).sum())
    if actor.role == "back":  # also where other pixels show a little more or less of it
        hidden = is_in_image(actor.centre) & (areas == 0)
        return hidden[first:last].sum() >= 2 and (areas[first:last] <= 2).sum() <= 4
    if actor.role == "twin":
        return first <= 3 and last >= NUM_FRAMES - 4 and gone <= 1
    if actor.role == "late":
        return not areas[:2].any()
    return gone >= 2 if actor.role == "returning" else True


def _hiding(random):
    """Two actors; front has the middle of the image, back passes behind it."""
    form, style = _SOLID[int(random.integers(len(_SOLID)))]
    radius, small = random.uniform(0.23, 0.27), random.uniform(0.08, 0.1)
    num_hidden = int(random.integers(2, 4))
    # So chosen that the object is hidden in whole frames: an odd number around a whole time.
    time = int(random.integers(5, 10)) + (0 if num_hidden % 2 else 0.5)
    path = _arc(random, _point(random, 0.35), time, random.uniform(0, 0.015))
    depth = radius * _inner_radius(form, style) - small * _OUTER_RADIUS
    passing = _direction(random) * (2 * depth / num_hidden) * (_TIMES - time)
    front = _actor(random, "front", path, radius)
    back = _actor(random, "back", path + passing, small)
    return [front._replace(form=form, style=style), back]


def _twins(random):
    """Two actors, alike but for their paths, which cross in the image."""
    time, meeting = random.uniform(5, 10), _point(random, 0.3)
    radius = random.uniform(0.12, 0.16)
    ahead = _direction(random)
    other = ahead * cmath.exp(1j * math.pi * random.uniform(0.6, 1.4))
    beside = meeting + 0.5 * radius * _direction(random)
    path = _arc(random, meeting, time, random.uniform(0.03, 0.055), ahead)
    twin = _actor(random, "twin", path, radius)
    path = _arc(random, beside, time, random.uniform(0.03, 0.055), other)
    return [twin, twin._replace(centre=path)]


def _late(random):
    """An actor that is about to cross an edge of the image some frames after the first."""
    radius = random.uniform(0.12, 0.17)
    start = complex(-_OUTER_RADIUS * radius, random.uniform(0.2, 0.8))
    ahead = cmath.exp(1j * random.uniform(-0.4, 0.4))
    return _from_a_side(random, "late", radius, start, random.uniform(3, 6), ahead)


def _returning(random):
    """An actor that turns back outside the image in the middle of the video."""
    start, time = complex(-_MARGIN, random.uniform(0.2, 0.8)), random.uniform(6.5, 8.5)
    ahead = 2 * cmath.exp(1j * random.uniform(-0.3, 0.3))
    return _from_a_side(random, "returning", random.uniform(0.11, 0.15), start, time, ahead)


def _from_a_side(random, role, radius, start, time, ahead):
    """An actor that comes from the left, or so from another side."""
    turn = 1j ** int(random.integers(4))
    start = _CENTRE + (start - _CENTRE) * turn
    path = _arc(random, start, time, random.uniform(0.03, 0.045), ahead * turn)
    return _actor(random, role, path, radius)


def _wandering(random):
    speed = 0 if random.random() < 0.25 else random.uniform(0.02, 0.06)
    path = _arc(random, _point(random, 0.1), _MIDDLE, speed)
    return _actor(random, "wandering", path, random.uniform(0.12, 0.2))


def _actor(random, role, path, radius):
    """An actor on a path that spins and grows or shrinks a little, of any form."""
    passed = _TIMES - _MIDDLE
    growth = np.exp(random.uniform(-0.006, 0.006) * passed)
    angle = random.uniform(0, 2 * math.pi) + random.uniform(-0.12, 0.12) * passed
    form = forms.ALL_FORMS[int(random.integers(len(forms.ALL_FORMS)))]
    return Actor(role, form, random.random(), path, radius * growth, angle)


def _arc(random, place_then, time, speed, ahead=None):
    """Places (F,) on a mild bend through `place_then` at `time`, in a direction of length 1."""
    ahead = _direction(random) if ahead is None else ahead
    bend, passed = random.uniform(-0.03, 0.03), _TIMES - time
    along = passed * np.exp(0.5j * bend * passed) * np.sinc(bend * passed / (2 * math.pi))
    return place_then + speed * ahead * along


def _point(random, border):
    x, y = random.uniform(border, 1 - border, 2)
    return complex(x, y)


def _direction(random):
    return cmath.exp(1j * random.uniform(0, 2 * math.pi))


def _stack(random, actors):
    """Actors in random order, but front before back."""
    actors = [actors[i] for i in random.permutation(len(actors))]
    roles = [actor.role for actor in actors]
    front, back = roles.index("front"), roles.index("back")
    if front > back:
        actors[front], actors[back] = actors[back], actors[front]
    return actors


def _camera(random, moves):
    pan = _direction(random) * random.uniform(0.4, 1) * _MAX_PAN * moves
    passed = _TIMES - _MIDDLE
    return Camera(_CENTRE + pan * passed, np.exp(random.uniform(-0.012, 0.012) * moves * passed))


def _seen_by(camera, actor):
    """An actor whose path in the world becomes one in the image."""
    away = _reflect(actor.centre) - camera.centre
    return actor._replace(centre=_CENTRE + away * camera.zoom, radius=actor.radius * camera.zoom)


def _reflect(places):
    """Places (F,) complex, turned back at the edge of a square larger than the image."""
    side = 1 + 2 * _MARGIN
    parts = [(x + _MARGIN) % (2 * side) for x in (places.real, places.imag)]
    x, y = (side - np.abs(part - side) - _MARGIN for part in parts)
    return x + 1j * y


def _inner_radius(form, style):
    """The largest circle in a form, in its radii."""
    radius, angle = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 2 * math.pi, 60))
    radius, angle = radius.astype(np.float32), angle.astype(np.float32)
    outside = form(radius * np.cos(angle), radius * np.sin(angle), style) > 0
    return float(radius[0, outside.any(axis=0).argmax() - 1])
