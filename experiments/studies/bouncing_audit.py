"""What the questions of `bouncing` give away: how often shortcuts are right.

python -m dias_jax.experiments.studies.bouncing_audit [--questions=6000]

Prints a Markdown table: the share of right answers on so many questions of the train split, all and
those on which the ghost, the world without collisions between discs, is wrong. States are those of
the last observed frame, but for one row. Classifiers are gradient boosted trees (scikit-learn) that
are asked about questions they have not seen, in five parts. A model that has understood collisions
has to be better than "both discs' states and the ghost's answer". Takes four minutes on one core.
"""

import numpy as np
from absl import flags

from data_pipelines.drawn import discs, touching
from data_pipelines.drawn.discs import MAX_DISCS, Discs
from data_pipelines.drawn.shapes import SPLIT_NUMBERS
from data_pipelines.drawn.touching import NUM_FRAMES, OBSERVED
from dias_jax.cli import run
from dias_jax.errors import UserError
from dias_jax.pictures.tables import markdown_table

QUESTIONS = flags.DEFINE_integer("questions", 6000, "questions that are asked", 100)
PARTS = 5


def draw_worlds(count):
    """The first worlds of the train split: -> [World]."""
    return [touching.draw_world(0, SPLIT_NUMBERS["train"], index) for index in range(count)]


def states_of(world, time):
    """Position, velocity, radius of all discs in a frame: -> (MAX_DISCS, 5), NaN where none is.

    Red and blue first, then the nearest to either.
    """
    gaps = np.linalg.norm(world.position[time][:, None] - world.position[time], axis=-1)
    gaps = (gaps - world.radius[:, None])[world.queried].min(0) - world.radius
    gaps[world.queried] = -np.inf, -np.inf
    order = np.argsort(gaps, kind="stable")
    order[:2] = world.queried
    states = [world.position[time], world.velocity[time], world.radius[:, None]]
    states = np.concatenate(states, axis=1)[order]
    return np.pad(states, [(0, MAX_DISCS - len(states)), (0, 0)], constant_values=np.nan)


def relation(states, one, other):
    """What lies between two discs, gap and closing speed: (N, MAX_DISCS, 5) -> (N, 6)."""
    one, other = states[:, one], states[:, other]
    between = other[:, :4] - one[:, :4]
    distance = np.linalg.norm(between[:, :2], axis=1)
    closing = -(between[:, :2] * between[:, 2:]).sum(1) / distance
    return np.column_stack([between, distance - one[:, 4] - other[:, 4], closing])


def simulation_says(world):
    """The answer of a simulation that goes on from the last observed frame: -> bool."""
    last = OBSERVED - 1
    start = Discs(world.position[None, last], world.velocity[None, last], world.radius[None])
    hits = discs.simulate(start, NUM_FRAMES - last).hits[0].any(0)
    pairs = np.stack(np.triu_indices(len(world.radius), 1), 1)
    return bool(hits[(pairs == np.sort(world.queried)).all(1)].item())


def learn(features, answers):
    """What a classifier says of questions that it has not seen: (N, features) -> (N,) bool.

    Raises UserError without scikit-learn.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.model_selection import cross_val_predict
    except ImportError:
        raise UserError("this study needs scikit-learn: pip install scikit-learn") from None
    classifier = HistGradientBoostingClassifier(learning_rate=0.05, random_state=0)
    return cross_val_predict(classifier, features, answers, cv=PARTS)


def audit(worlds):
    """What shortcuts say: -> {name: answers (N,) bool}, true answers, ghost's answers."""
    answers, ghost = np.array([[world.answer, world.ghost_answer] for world in worlds]).T
    first, last = (np.stack([states_of(w, t) for w in worlds]) for t in (0, OBSERVED - 1))
    related, count = relation(last, 0, 1), len(worlds)
    both = np.column_stack([last[:, :2].reshape(count, -1), related])
    others = [relation(last, i, j) for i in (0, 1) for j in range(2, MAX_DISCS)]
    every = np.column_stack([last.reshape(count, -1), related, *others])
    seen = first[..., [0, 1, 4]].reshape(count, -1)  # in a single frame nothing moves
    said = {
        "always the more frequent answer": np.full(count, answers.mean() > 0.5),
        "the ghost": ghost,
        "all discs in the first frame": learn(seen, answers),
        "gap between the two": learn(related[:, 4:5], answers),
        "both discs' states": learn(both, answers),
        "both discs' states and the ghost's answer": learn(np.column_stack([both, ghost]), answers),
        "all discs' states": learn(every, answers),
        "all discs' states and the ghost's answer": learn(np.column_stack([every, ghost]), answers),
        "a simulation": np.array([simulation_says(w) for w in worlds]),
    }
    return said, answers, ghost


def main(argv):
    """Print the table."""
    said, answers, ghost = audit(draw_worlds(QUESTIONS.value))
    is_wrong = ghost != answers
    rows = [
        [name, f"{100 * right.mean():.1f}", f"{100 * right[is_wrong].mean():.1f}"]
        for name, right in ((name, values == answers) for name, values in said.items())
    ]
    print(markdown_table(["what is known", "right", "right where the ghost is wrong"], rows))


if __name__ == "__main__":
    run(main)
