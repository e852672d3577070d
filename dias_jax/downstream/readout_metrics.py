"""How often a read-out is right, in numpy. Shares are in percent."""

import numpy as np

THRESHOLDS = (0.4, 0.45, 0.5, 0.55, 0.6, 0.65)  # SlotFormer's on Physion


def accuracy(logits, answers, threshold=0.5):
    """Share of right answers: logits (..., N), answers (N,) bool -> (...).

    Yes is what has a probability above `threshold`, (..., 1) or scalar.
    """
    return 100 * (says_yes(logits, threshold) == answers).mean(-1)


def says_yes(logits, threshold=0.5):
    """Which probabilities are above a threshold strictly between 0 and 1: (...) -> (...) bool."""
    threshold = np.asarray(threshold, np.float64)
    return logits > np.log(threshold / (1 - threshold))


def accuracy_in_cells(logits, answers, cells, threshold=0.5):
    """Accuracy overall and in parts: -> {"accuracy", "accuracy/NAME", "questions/NAME": value}.

    cells: {name: (N,) bool, which questions belong to it}; an empty one has no accuracy.
    """
    values = {"accuracy": accuracy(logits, answers, threshold)}
    for name, chosen in cells.items():
        values[f"questions/{name}"] = int(chosen.sum())
        if chosen.any():
            values[f"accuracy/{name}"] = accuracy(logits[chosen], answers[chosen], threshold)
    return values


def ghost_cells(answers, ghost_answers):
    """The four cells answer x answer of the world without collisions, and where that is wrong.

    answers, ghost_answers (N,) bool -> {name: (N,) bool}.
    """
    words = {True: "yes", False: "no"}
    cells = {
        f"{words[answer]}_ghost_{words[ghost]}": (answers == answer) & (ghost_answers == ghost)
        for answer in words
        for ghost in words
    }
    return cells | {"ghost_wrong": answers != ghost_answers}


def choose_threshold(logits, answers, thresholds=THRESHOLDS):
    """The threshold with the best accuracy, of equal ones the nearest to 0.5: for validation."""

    def merit(threshold):
        return accuracy(logits, answers, threshold), -abs(threshold - 0.5)

    return max(thresholds, key=merit)


def best_on_test(logits, answers, thresholds=THRESHOLDS):
    """SlotFormer's published rule: the best accuracy on the TEST set over everything there is.

    logits (seeds, epochs, N), answers (N,) bool. Chosen on what is reported, so too high: only for
    a comparison with published numbers, never a result.
    """
    return max(accuracy(logits, answers, threshold).max() for threshold in thresholds)
