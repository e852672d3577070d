"""Discs that bounce off each other and off the walls of a square: many worlds at once.

Equal density, no friction, no spin. The square's side is the unit of length, a frame that of time.
Motion is chaotic, so it is float64, operation by operation: a world is the same alone and among
others, and must not be computed again in another precision or order. N worlds, K discs, P pairs
(i < j, in the order of numpy.triu_indices), F frames.
"""

from typing import NamedTuple

import numpy as np

MIN_DISCS = 3
MAX_DISCS = 5
RADIUS = (0.07, 0.11)
SPEED = (0.012, 0.030)  # at the start
MIN_START_GAP = 0.02
SUBSTEPS = 4  # a frame


class Discs(NamedTuple):
    """State of N worlds; a disc of radius 0 is not there."""

    position: np.ndarray  # (N, K, 2), x and y
    velocity: np.ndarray  # (N, K, 2)
    radius: np.ndarray  # (N, K)


class Motion(NamedTuple):
    """What happens to discs in F frames."""

    position: np.ndarray  # (N, F, K, 2)
    velocity: np.ndarray  # (N, F, K, 2)
    hits: np.ndarray  # (N, F, P) bool, collisions since the frame before
    gaps: np.ndarray  # (N, F, P), the smallest since the frame before; see `simulate`


def draw_discs(random, count):
    """Draw `count` worlds of three to five discs, apart from each other: -> Discs."""
    there = np.arange(MAX_DISCS) < random.integers(MIN_DISCS, MAX_DISCS + 1, (count, 1))
    radius = np.where(there, random.uniform(*RADIUS, there.shape), 0)
    speed = np.where(there, random.uniform(*SPEED, there.shape), 0)
    direction = random.uniform(0, 2 * np.pi, there.shape)
    velocity = speed[..., None] * np.stack([np.cos(direction), np.sin(direction)], axis=-1)
    position = np.zeros_like(velocity)
    open_worlds = np.arange(count)
    while len(open_worlds):
        own = radius[open_worlds]
        place = random.uniform(size=(*own.shape, 2))
        position[open_worlds] = own[..., None] + place * (1 - 2 * own[..., None])
        is_close = find_gaps(position[open_worlds], own) < MIN_START_GAP
        open_worlds = open_worlds[is_close.any(1)]
    return Discs(position, velocity, radius)


def find_gaps(position, radius):
    """Between the outlines of pairs: (N, K, 2), (N, K) -> (N, P), inf where one is not there."""
    first, second = np.triu_indices(radius.shape[1], 1)
    between = position[:, second] - position[:, first]
    return np.sqrt(np.square(between).sum(-1)) - _reach(radius)


def simulate(start, num_frames):
    """Let discs go: Discs -> Motion, frame 0 being the start.

    Discs that overlap and approach collide, as the four steps of a frame find them. The gap of a
    collision is what would have become of it without: the deeper below 0, the less it grazes.
    """
    count, (first, second) = len(start.radius), np.triu_indices(start.radius.shape[1], 1)
    now = Discs(start.position.copy(), start.velocity.copy(), start.radius)
    positions, velocities = [start.position], [start.velocity]
    hits = np.zeros((count, num_frames, len(first)), bool)
    gaps = np.full(hits.shape, np.inf)
    gaps[:, 0] = find_gaps(now.position, now.radius)
    for frame in range(1, num_frames):
        for _ in range(SUBSTEPS):
            _move(now, 1 / SUBSTEPS)
            hit, gap = _collide(now, first, second)
            hits[:, frame] |= hit
            np.minimum(gaps[:, frame], gap, out=gaps[:, frame])
        positions.append(now.position.copy())
        velocities.append(now.velocity.copy())
    return Motion(np.stack(positions, 1), np.stack(velocities, 1), hits, gaps)


def drift(start, times):
    """Where discs are when they pass through each other: Discs, times (T,) -> (N, T, K, 2)."""
    radius = start.radius[:, None, :, None]
    room = 1 - 2 * radius  # for the centre
    straight = start.position[:, None] + start.velocity[:, None] * times[:, None, None] - radius
    return radius + room - np.abs(straight % (2 * room) - room)


def _reach(radius):
    """Distance of centres at which pairs touch: (N, K) -> (N, P), -inf where one is not there."""
    first, second = np.triu_indices(radius.shape[1], 1)
    both = (radius[:, first] > 0) & (radius[:, second] > 0)
    return np.where(both, radius[:, first] + radius[:, second], -np.inf)


def _move(discs, time):
    """Move discs, in place, and mirror them at the walls."""
    position, velocity, radius = discs.position, discs.velocity, discs.radius[..., None]
    position += velocity * time
    below, above = position < radius, position > 1 - radius
    np.copyto(position, 2 * radius - position, where=below)
    np.copyto(position, 2 * (1 - radius) - position, where=above)
    np.negative(velocity, out=velocity, where=below | above)


def _collide(discs, first, second):
    """Let what overlaps and approaches bounce, in place: -> hit (N, P) bool, gap (N, P)."""
    between = discs.position[:, second] - discs.position[:, first]
    approach = discs.velocity[:, second] - discs.velocity[:, first]
    gap = np.sqrt(np.square(between).sum(-1)) - _reach(discs.radius)
    hit = (gap < 0) & ((between * approach).sum(-1) < 0)
    for pair in np.flatnonzero(hit.any(0)):
        worlds = np.flatnonzero(hit[:, pair])
        _bounce(discs, worlds, first[pair], second[pair])
        (x, y), (u, v) = between[worlds, pair].T, approach[worlds, pair].T
        miss = np.abs(x * v - y * u) / np.sqrt(u * u + v * v)
        gap[worlds, pair] += miss - np.sqrt(x * x + y * y)
    return hit, gap


def _bounce(discs, worlds, one, other):
    """Elastic collision of discs `one` and `other`, unless another made them part meanwhile."""
    normal = discs.position[worlds, other] - discs.position[worlds, one]
    normal /= np.sqrt(np.square(normal).sum(-1, keepdims=True))
    approach = discs.velocity[worlds, other] - discs.velocity[worlds, one]
    speed = np.minimum((approach * normal).sum(-1, keepdims=True), 0)
    masses = np.square(discs.radius[worlds][:, [one, other]])
    share = 2 * masses / masses.sum(1, keepdims=True)  # of the speed, and of the other's disc
    discs.velocity[worlds, one] += share[:, 1:] * speed * normal
    discs.velocity[worlds, other] -= share[:, :1] * speed * normal
