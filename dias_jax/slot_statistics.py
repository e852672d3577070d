"""How many slots are in use, and how near to each other they were."""

import jax
import jax.numpy as jnp
import numpy as np

from dias_jax.models.reduction import pairwise_distance


def slot_statistics(output):
    """What the reduction did to each sample: DIASOutput -> {name: (B,) or (B, S) float32}.

    active_slots: number of slots left; active_slots_histogram (B, S): one at number - 1;
    merged: 1 where any slots were merged; smallest_distance, median_distance: of all pairs of the
    first aggregation's slots, 1 - cosine (0 where there is no pair).
    """
    num_slots = output.slot_mask.shape[1]
    active = output.slot_mask.sum(-1)
    rows, columns = np.triu_indices(num_slots, 1)
    pairs = pairwise_distance(jax.lax.stop_gradient(output.first_slots))[:, rows, columns]
    if num_slots == 1:
        pairs = jnp.zeros((len(active), 1))
    return {
        "active_slots": active.astype(jnp.float32),
        "active_slots_histogram": jax.nn.one_hot(active - 1, num_slots),
        "merged": (active < num_slots).astype(jnp.float32),
        "smallest_distance": pairs.min(-1),
        "median_distance": jnp.median(pairs, -1),
    }
