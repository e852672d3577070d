"""Slot reduction against scikit-learn, and the properties that define it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering

from dias_jax.models import reduce_slots
from dias_jax.models.reduction import (
    cluster_slots,
    complete_linkage,
    mean_over_clusters,
    pairwise_distance,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

THRESHOLDS = (0.003, 0.03, 0.12, 0.6)
WIDTH = 8


@functools.cache
def compiled(function):
    """`jax.jit`, once for all tests."""
    return jax.jit(function)


def random_slots(size, count, seed=0):
    """Slots (count, size, WIDTH) around a few centres, some far, some near, some exactly equal."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, size, WIDTH))
    chosen = random.integers(0, random.integers(1, size + 1, (count, 1)), (count, size))
    slots = np.take_along_axis(centres, chosen[..., None], axis=1)
    noise = random.choice([0.0, 0.02, 0.1, 0.4, 1.0], (count, size, 1))
    slots = slots + noise * random.normal(size=slots.shape)
    return slots.astype(np.float32)


def reference(distance, threshold, min_clusters=1):
    """scikit-learn's clusters of one matrix (S, S), each named by its first member: (S,)."""
    alone = np.arange(len(distance))
    clustering = AgglomerativeClustering(
        n_clusters=None,
        metric="precomputed",
        linkage="complete",
        distance_threshold=threshold,
        compute_full_tree=True,
    )
    label = clustering.fit(distance).labels_
    if label.max() + 1 < min_clusters:
        return alone
    return (label[:, None] == label).argmax(1)


def assert_duplicates_share(slots, cluster):
    """Slots that are equal are in one cluster."""
    same = (slots[:, :, None] == slots[:, None]).all(-1)
    assert (cluster[:, :, None] == cluster[:, None])[same].all()


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 11, 16, 24, 32])
def test_clusters_are_those_of_scikit_learn(size):
    slots = random_slots(size, 200, seed=size)
    distance = np.asarray(compiled(pairwise_distance)(slots))
    seen = set()
    for threshold in np.float32(THRESHOLDS):
        expected = np.stack([reference(matrix, threshold, 3) for matrix in distance])
        cluster = np.asarray(compiled(cluster_slots)(slots, threshold))
        np.testing.assert_array_equal(cluster, expected)
        means, slot_mask = compiled(reduce_slots)(slots, threshold)
        np.testing.assert_array_equal(slot_mask, expected == np.arange(size))
        assert_means(np.asarray(means), slots, expected)
        seen |= set(np.asarray(slot_mask).sum(1))
    # Neither "everything merges" nor "nothing does" passes for a test.
    assert seen >= set(range(3, min(size, 7) + 1))


def assert_means(means, slots, cluster):
    """A mean stands at the first member's place, zeros elsewhere."""
    for index in range(slots.shape[1]):
        member = cluster == index
        count = np.maximum(member.sum(1), 1)[:, None]
        expected = np.where(member[..., None], slots, 0).sum(1) / count
        np.testing.assert_allclose(means[:, index], expected, rtol=1e-5, atol=1e-6)
        assert (means[~member.any(1), index] == 0).all()


@pytest.mark.parametrize("size", [4, 7, 11])
def test_ties_are_resolved_as_scikit_learn_does(size):
    random = np.random.default_rng(size)
    distance = np.triu(random.integers(0, 4, (300, size, size)), 1).astype(np.float32)
    distance += distance.swapaxes(1, 2)
    linkage = compiled(jax.vmap(complete_linkage, (0, None)))
    for threshold in (0.0, 0.5, 1.0, 1.5, 2.5, 3.5):
        expected = [reference(matrix, threshold) for matrix in distance]
        np.testing.assert_array_equal(linkage(distance, np.float32(threshold)), expected)


def test_distance_is_one_minus_cosine():
    slots = random_slots(7, 50)
    slots[:, 3] = slots[:, 5]
    slots[0] = 0
    distance = np.asarray(compiled(pairwise_distance)(slots))
    double = slots[1:].astype(float)
    unit = double / np.linalg.norm(double, axis=-1, keepdims=True)
    expected = 1 - unit @ unit.swapaxes(1, 2)
    np.testing.assert_allclose(distance[1:], expected, atol=1e-6)
    assert (distance[:, 3, 5] == 0).all() and (distance[0] == 0).all()
    np.testing.assert_array_equal(distance, distance.swapaxes(1, 2))


@pytest.mark.parametrize("size", [4, 11])
def test_duplicates_merge_at_any_threshold_but_zero(size):
    slots = random_slots(size, 100, seed=5)
    slots[:, 1:4] = np.random.default_rng(0).normal(size=(100, 3, WIDTH))
    slots[:, 0] = slots[:, 2]  # three different ones remain
    cluster = np.asarray(compiled(cluster_slots)(slots, np.float32(1e-6)))
    assert (cluster[:, 2] == 0).all()
    assert_duplicates_share(slots, cluster)
    means, slot_mask = compiled(reduce_slots)(slots, np.float32(0))
    assert slot_mask.all()
    np.testing.assert_array_equal(means, slots)


def test_permuted_slots_give_the_same_clusters():
    slots = random_slots(7, 200, seed=3)
    order = np.random.default_rng(0).permuted(np.tile(np.arange(7), (200, 1)), axis=1)
    shuffled = np.take_along_axis(slots, order[..., None], axis=1)
    for threshold in np.float32(THRESHOLDS):
        before, after = (
            np.asarray(compiled(cluster_slots)(x, threshold)) for x in (slots, shuffled)
        )
        moved = np.take_along_axis(before, order, axis=1)
        together = [x[:, :, None] == x[:, None] for x in (moved, after)]
        np.testing.assert_array_equal(*together)
        means = []
        for values, cluster in ((shuffled, after), (slots, before)):
            mean, _ = mean_over_clusters(jnp.asarray(values), jnp.asarray(cluster))
            means.append(np.take_along_axis(np.asarray(mean), cluster[..., None], axis=1))
        moved = np.take_along_axis(means[1], order[..., None], axis=1)
        np.testing.assert_allclose(means[0], moved, rtol=1e-5, atol=1e-6)


def test_vmap_over_more_axes():
    slots = random_slots(7, 20)
    expected = compiled(reduce_slots)(slots, np.float32(0.12))
    stacked = slots.reshape(4, 5, 7, WIDTH)
    actual = jax.jit(jax.vmap(reduce_slots, (0, None)))(stacked, np.float32(0.12))
    np.testing.assert_array_equal(actual[0].reshape(expected[0].shape), expected[0])
    np.testing.assert_array_equal(actual[1].reshape(expected[1].shape), expected[1])


def test_gradients_flow_through_the_means_only():
    slots = random_slots(7, 50, seed=1)
    slots[0], slots[1] = 0, 1  # no direction; all equal
    weights = np.random.default_rng(0).normal(size=slots.shape).astype(np.float32)

    @jax.jit
    @jax.grad
    def gradient_of(slots):
        return (reduce_slots(slots, jnp.float32(0.12))[0] * weights).sum()

    gradient = np.asarray(gradient_of(slots))
    cluster = np.asarray(compiled(cluster_slots)(slots, np.float32(0.12)))
    size = (cluster[:, :, None] == cluster[:, None]).sum(-1)
    assert size.max() > 2
    expected = np.take_along_axis(weights, cluster[..., None], axis=1) / size[..., None]
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)


def test_bfloat16_gives_the_clusters_of_its_float32_copy():
    slots = jnp.asarray(random_slots(11, 100), jnp.bfloat16)
    copy = slots.astype(jnp.float32)
    for threshold in np.float32(THRESHOLDS):
        clusters = [compiled(cluster_slots)(x, threshold) for x in (slots, copy)]
        np.testing.assert_array_equal(*clusters)
        (means, slot_mask), (exact, same_mask) = (
            compiled(reduce_slots)(x, threshold) for x in (slots, copy)
        )
        assert means.dtype == jnp.bfloat16
        np.testing.assert_array_equal(means, exact.astype(jnp.bfloat16))
        np.testing.assert_array_equal(slot_mask, same_mask)
