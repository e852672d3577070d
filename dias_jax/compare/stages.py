"""Stage by stage: both implementations on the same images, weights and sampled quantities."""

from dias_jax.compare import ours
from dias_jax.compare.table import difference_rows, markdown

HEADER = ["pass", "stage", "numbers", "largest difference", "relative"]


def record(evaluation, steps):
    """All stages of an evaluation pass and of consecutive training steps, by section.

    Gradients are kept of the first step and parameters of the last: what is between decides both.
    """
    sections = {"evaluation": evaluation}
    steps = list(steps)
    for index, stages in enumerate(steps):
        dropped = ["gradients/"] * (index > 0) + ["parameters/"] * (index + 1 < len(steps))
        sections[f"step {index + 1}"] = {
            name: value for name, value in stages.items() if not name.startswith(tuple(dropped))
        }
    return sections


def record_ours(case):
    """`record` of this package."""
    return record(ours.evaluate(case), ours.train(case))


def record_theirs(case, wrapper):
    """`record` of the reference, which is trained in place."""
    from dias_jax.compare import theirs  # needs torch

    return record(theirs.evaluate(case, wrapper), theirs.train(case, wrapper))


def compare_stages(case, wrapper):
    """Markdown table of the differences of every stage."""
    our_sections, their_sections = record_ours(case), record_theirs(case, wrapper)
    rows = []
    for section, stages in their_sections.items():
        rows += [[section, *row] for row in difference_rows(our_sections[section], stages)]
    return markdown(HEADER, rows)
