"""How often questions about videos are answered rightly, from what is known of their slots."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.downstream.readout_metrics import (
    accuracy,
    accuracy_in_cells,
    best_on_test,
    choose_threshold,
    ghost_cells,
)
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.downstream.slot_cache import stack
from dias_jax.evaluation.prediction import roll_out

WHAT_IS_SEEN = {
    "observed": "slots of the {observed} observed frames",
    "rolled_out": "slots of the {observed} observed frames and of those predicted from them",
    "oracle": "slots of all true frames, which nobody who is asked can know",
}


class SeenClips:
    """Clips as a read-out sees them, in memory: see `SlotClips`, and "answer" () bool.

    "roles" are those of the observed frames.

    clips: SlotClips; options: `config.readout`; rollout: model, variables and frame offset of the
    task of prediction, where predicted slots are seen.
    """

    def __init__(self, clips, options, rollout, batch_size):
        starts = range(0, len(clips), batch_size)
        ranges = [range(i, min(i + batch_size, len(clips))) for i in starts]
        parts = [see(stack([clips[i] for i in part]), options, rollout) for part in ranges]
        self.data = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)

    def __len__(self):
        return len(self.data["index"])

    def __getitem__(self, index):
        return {name: values[int(index)] for name, values in self.data.items()}


def see(batch, options, rollout):
    """A batch of clips as a read-out sees them."""
    slots, slot_mask, observed = batch["slots"], batch["slot_mask"], options.observed
    if options.frames:
        slots, slot_mask = slots[:, : options.frames], slot_mask[:, : options.frames]
    if options.sees == "observed":
        slots, slot_mask = slots[:, :observed], slot_mask[:, :observed]
    elif options.sees == "rolled_out":
        slots, slot_mask = continue_slots(rollout, slots, slot_mask, observed)
    seen = batch | {"slots": slots, "slot_mask": slot_mask}
    if "roles" in batch:
        seen["roles"] = batch["roles"][:, :observed]
    return seen | {"answer": batch["answers"][:, 0]}


def continue_slots(rollout, slots, slot_mask, observed):
    """Observed frames, and predicted ones instead of the others: (B, F, S, D), (B, F, S)."""
    model, variables, offset = rollout[:3]
    num_steps = slots.shape[1] - observed
    predicted = predict_rest(
        model, variables, slots[:, :observed], slot_mask[:, :observed], num_steps, offset
    )
    slots = np.concatenate([slots[:, :observed], jax.device_get(predicted)], axis=1)
    last = np.repeat(slot_mask[:, observed - 1, None], num_steps, axis=1)
    return slots, np.concatenate([slot_mask[:, :observed], last], axis=1)


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def predict_rest(model, variables, slots, slot_mask, num_steps, offset):
    """`roll_out`, compiled."""
    return roll_out(model, variables, slots, slot_mask, num_steps, offset)


def answer(model, variables, clips, batch_size):
    """Logits of the answer yes to all clips: -> (N,)."""
    variables, parts = jax.device_get(variables), []
    for start in range(0, len(clips), batch_size):
        part = slice(start, start + batch_size)
        slots, slot_mask = clips.data["slots"][part], clips.data["slot_mask"][part]
        parts.append(jax.device_get(read(model, variables, slots, slot_mask)))
    return np.concatenate(parts)


@functools.partial(jax.jit, static_argnums=0)
def read(model, variables, slots, slot_mask):
    """`answer` of one batch."""
    return model.apply(variables, slots, jnp.asarray(slot_mask))


def score_answers(logits, data, scenarios=()):
    """Accuracy overall and in cells: -> {"accuracy", "accuracy/NAME", "questions/NAME": value}.

    logits (N,); data: that of SeenClips; scenarios: names. Cells are those of answer and ghost's
    answer, where "answers" (N, Q) has both, and the scenarios, "scenario" (N,) int, where they are.
    """
    answers = data["answers"]
    cells = ghost_cells(*answers.T) if answers.shape[1] > 1 else {}
    cells |= {name.lower(): data["scenario"] == i for i, name in enumerate(scenarios)}
    return {k: float(v) for k, v in accuracy_in_cells(logits, answers[:, 0], cells).items()}


def score_at_chosen(logits, answers, held_out):
    """Accuracy at the threshold that is best on the held-out slice: held_out, its logits, answers.

    answers (N, Q) bool.

    -> {"threshold", "accuracy_at_threshold"} and, for a comparison with numbers that were chosen on
    what they report, "accuracy_best_on_test".
    """
    chosen = choose_threshold(held_out[0], held_out[1][:, 0])
    found = float(accuracy(logits, answers[:, 0], chosen))
    published = float(best_on_test(logits[None, None], answers[:, 0]))
    return {
        "threshold": chosen,
        "accuracy_at_threshold": found,
        "accuracy_best_on_test": published,
    }


def reasoning_protocol(header, split, options):
    """One line that says how the numbers were made; it belongs next to every one of them."""
    what = REPRESENTATIONS[header["representation"]].format(masks=header["masks"])
    seen = WHAT_IS_SEEN[options.sees].format(observed=options.observed)
    if options.frames and options.sees != "observed":
        seen += f", up to frame {options.frames}"
    cells = (
        ", overall and where the world without collisions between things (ghost) answers the same "
        "or otherwise"
        if "ghost_answer" in header["questions"]
        else ""
    )
    cells += ", and in each scenario" if header.get("scenarios") else ""
    return (
        f"{header['data']} {split}: {header['protocol']}; {what}; questions answered from {seen}; "
        f"share of right answers at a probability of one half{cells}"
    )
