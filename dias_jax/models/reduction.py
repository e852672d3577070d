"""Redundancy reduction: slots that say nearly the same become one."""

import functools

import jax
import jax.numpy as jnp

TINY = 1e-12  # keeps the direction of an all-zero slot finite
FAR = 4.0  # 1 - cosine is at most 2


def unit(slots):
    """Slots of length one: (..., D) -> (..., D). A slot that is zero stays so, without gradient."""
    square = jnp.square(slots).sum(-1, keepdims=True)
    length = jnp.sqrt(jnp.where(square > 0, square, 1))
    return slots / jnp.maximum(length, TINY)


def pairwise_distance(slots):
    """1 - cosine similarity of every pair of slots: (B, S, D) -> (B, S, S) float32.

    As half the squared distance of unit vectors: exactly zero for equal slots, and free of matrix
    products, whose precision some devices lower.
    """
    slots = unit(slots.astype(jnp.float32))
    return 0.5 * jnp.square(slots[:, :, None] - slots[:, None]).sum(-1)


def complete_linkage(distance, threshold):
    """Merge the clusters nearest to each other while their linkage is below `threshold`.

    distance (S, S) -> (S,) int32, the smallest index in each one's cluster. The linkage of two
    clusters is the largest distance between their members.

    Nearest-neighbour chain (Murtagh 1983): walk from cluster to nearest cluster until two are
    each other's nearest, merge these, walk on. Each of the 3 (S - 1) rounds takes one step of the
    walk or merges once. Ties are resolved as SciPy does (the previous cluster of the chain first,
    then the smallest index; the merged cluster lives on at the larger index), so that equal
    distances give equal clusters.
    """
    size = len(distance)
    index = jnp.arange(size)

    def advance(_, state):
        # distance: infinite to itself and to clusters that are gone; host: where a slot's
        # cluster lives now; label: the result so far.
        distance, alive, host, label, chain, length = state
        chain = jnp.where((length == 0) & (index == 0), alive.argmax(), chain)
        length = jnp.maximum(length, 1)
        last, previous = chain[length - 1], chain[length - 2]
        row = distance[last]
        turns_back = (length > 1) & (row[previous] <= row.min())
        nearest = jnp.where(turns_back, previous, row.argmin())

        gone, kept = jnp.minimum(last, previous), jnp.maximum(last, previous)
        linkage = jnp.maximum(distance[gone], distance[kept])
        is_kept, is_gone = index == kept, index == gone
        merged = jnp.where(is_kept[:, None], linkage, distance)
        merged = jnp.where(is_kept[None, :], linkage[:, None], merged)
        merged = jnp.where(is_gone[:, None] | is_gone[None, :], jnp.inf, merged)
        member = (host == gone) | (host == kept)
        joined = turns_back & (row[previous] < threshold)
        first = jnp.where(member, label, size).min()
        return (
            jnp.where(turns_back, merged, distance),
            alive & ~(turns_back & is_gone),
            jnp.where(turns_back & member, kept, host),
            jnp.where(joined & member, first, label),
            jnp.where(~turns_back & (index == length), nearest, chain),
            jnp.where(turns_back, length - 2, length + 1),
        )

    distance = jnp.where(jnp.eye(size, dtype=bool), jnp.inf, distance)
    start = (distance, jnp.ones(size, bool), index, index, jnp.zeros(size, int), 0)
    return jax.lax.fori_loop(0, 3 * (size - 1), advance, start)[3]


@jax.named_scope("reduction")
def cluster_slots(slots, threshold, min_clusters=3, slot_mask=None):
    """Which slots belong together: (B, S, D) -> (B, S) int32, each cluster's first member.

    Complete linkage on 1 - cosine; where fewer than `min_clusters` clusters would remain, every
    slot stays alone. Slots outside `slot_mask` (B, S) bool stay alone and do not count. No
    gradient.
    """
    distance = pairwise_distance(jax.lax.stop_gradient(slots))
    if slot_mask is not None:
        both = slot_mask[:, :, None] & slot_mask[:, None]
        distance = jnp.where(both, distance, FAR)
    cluster = jax.vmap(functools.partial(complete_linkage, threshold=threshold))(distance)
    alone = jnp.arange(slots.shape[1])
    is_first = cluster == alone
    is_first = is_first if slot_mask is None else is_first & slot_mask
    num_clusters = is_first.sum(-1, keepdims=True)
    return jnp.where(num_clusters < min_clusters, alone, cluster)


@jax.named_scope("reduction")
def sum_over_clusters(values, cluster):
    """Add up what belongs to the slots of a cluster: values (B, S, ...), cluster (B, S).

    -> (B, S, ...), the sum at the index of the cluster's first member, zero elsewhere.
    """
    member = cluster[:, None, :] == jnp.arange(cluster.shape[1])[:, None]  # (B, cluster, slot)
    exact = jax.lax.Precision.HIGHEST  # a slot that stays alone must stay the same
    return jnp.einsum("bks,bs...->bk...", member.astype(values.dtype), values, precision=exact)


@jax.named_scope("reduction")
def mean_over_clusters(slots, cluster):
    """slots (B, S, D) float32, cluster (B, S) -> means (B, S, D), slot_mask (B, S) bool.

    A mean stands at the index of its cluster's first member; other places are zero and masked.
    """
    size = sum_over_clusters(jnp.ones(cluster.shape, slots.dtype), cluster)
    means = sum_over_clusters(slots, cluster) / jnp.maximum(size, 1)[..., None]
    return means, size > 0


def reduce_slots(slots, threshold, min_clusters=3):
    """Merge redundant slots (paper, idea i): -> (slots (B, S, D), slot_mask (B, S) bool).

    slots (B, S, D), threshold on 1 - cosine; 0 merges nothing. Clusters as in `cluster_slots`,
    means as in `mean_over_clusters`, both in float32; gradients flow through the means only.
    """
    cluster = cluster_slots(slots, threshold, min_clusters)
    means, slot_mask = mean_over_clusters(slots.astype(jnp.float32), cluster)
    return means.astype(slots.dtype), slot_mask
