"""Will the red disc touch the blue one? Worlds in which the answer has to be worked out.

Asked about a pair that has not touched in the observed frames. The ghost of a world goes on from
the last observed frame with walls, but discs pass through each other; what it answers is all that
the two alone would tell. Worlds are drawn so often that answer and ghost's answer are independent:
every four numbers in a row have the four cells of both.
"""

from typing import NamedTuple

import numpy as np

from data_pipelines.drawn import discs
from data_pipelines.drawn.discs import MAX_DISCS, SUBSTEPS, Discs

NUM_FRAMES = 30
OBSERVED = 10
GRAZING = 0.005  # pairs whose smallest gap is nearer to 0 are not asked about
_CANDIDATES = 16  # worlds that are simulated at once
_PAIRS = np.triu_indices(MAX_DISCS, 1)
_CELLS, _MOTION = 2, 3  # what random numbers are for: other ones than those of `bouncing`


class World(NamedTuple):
    """K discs in F frames and a question about two of them."""

    position: np.ndarray  # (F, K, 2), x and y in sides of the square
    velocity: np.ndarray  # (F, K, 2)
    radius: np.ndarray  # (K,)
    contact: np.ndarray  # (K, K), the frame by which two first touch, -1: they do not
    queried: np.ndarray  # (2,), the discs that are red and blue
    answer: bool
    ghost_answer: bool


def draw_world(seed, split, index):
    """World number `index` of a split, which is a number, too: -> World."""
    cells = np.random.default_rng((seed, split, index // 4, _CELLS)).permutation(4)
    random = np.random.default_rng((seed, split, index, _MOTION))
    while True:
        start = discs.draw_discs(random, _CANDIDATES)
        motion = discs.simulate(start, NUM_FRAMES)
        askable, answer, ghost_answer = judge(motion, start.radius)
        fits = askable & (2 * answer + ghost_answer == cells[index % 4])
        if fits.any():
            number = int(fits.any(1).argmax())
            pair = int(random.choice(np.flatnonzero(fits[number])))
            queried = random.permutation(np.stack(_PAIRS, 1)[pair])
            answers = bool(answer[number, pair]), bool(ghost_answer[number, pair])
            return World(*_world(motion, start.radius, number), queried, *answers)


def judge(motion, radius):
    """What can be asked in N worlds: -> askable, answer, ghost's answer, each (N, P) bool."""
    before, after = motion.hits[:, :OBSERVED].any(1), motion.hits[:, OBSERVED:].any(1)
    gap = motion.gaps[:, OBSERVED:].min(1)
    ghost_gap = _ghost_gaps(motion, radius)
    askable = ~before & np.isfinite(gap) & (np.minimum(np.abs(gap), np.abs(ghost_gap)) > GRAZING)
    return askable, after, ghost_gap < 0


def _ghost_gaps(motion, radius):
    """The smallest gap of each pair after the observed frames in the ghost: -> (N, P)."""
    last = OBSERVED - 1
    start = Discs(motion.position[:, last], motion.velocity[:, last], radius)
    times = np.arange(1, (NUM_FRAMES - OBSERVED) * SUBSTEPS + 1) / SUBSTEPS
    position = discs.drift(start, times)
    gaps = discs.find_gaps(
        position.reshape(-1, MAX_DISCS, 2), np.repeat(radius, len(times), axis=0)
    )
    return gaps.reshape(len(radius), len(times), -1).min(1)


def _world(motion, radius, number):
    """Position, velocity, radius and contact of a World, without discs that are not there."""
    count = np.count_nonzero(radius[number])
    contact = np.full((MAX_DISCS, MAX_DISCS), -1)
    hits = motion.hits[number]
    contact[_PAIRS] = np.where(hits.any(0), hits.argmax(0), -1)
    contact = np.maximum(contact, contact.T)[:count, :count]
    position, velocity = motion.position[number, :, :count], motion.velocity[number, :, :count]
    return position, velocity, radius[number, :count], contact
