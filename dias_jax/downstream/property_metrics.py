"""How well properties are read off slots, over the matched things of a whole split, in numpy."""

import numpy as np

from dias_jax.downstream.recognition_metrics import r_squared


def property_metrics(found, kinds, numbers):
    """Accuracy in percent or R² of each property: -> {name: value, name + "_r2": value}.

    found: {name: (M, n)}, what the probe says of the slots of M things, logits or coordinates;
    kinds: {name: (M,) int}, -1: not known, such things are left out; numbers: {name: (M, n)}. A
    property that is told of no thing has no value. R² is the mean over coordinates.
    """
    values = {}
    for name, true in kinds.items():
        is_known = true >= 0
        if is_known.any():
            values[name] = 100 * np.mean(found[name].argmax(-1)[is_known] == true[is_known])
    for name, true in numbers.items():
        if len(true):
            values[f"{name}_r2"] = r_squared(found[name], true)
    return values
