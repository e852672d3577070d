"""Attention in every form against one written out in float64."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from dias_jax.models import attention


def attention_of(query, key, value, heads, key_mask=None):
    """Multi-head attention in float64, one head after the other: -> values, weights."""
    values, all_weights = [], []
    for q, k, v in zip(*(np.split(x, heads, -1) for x in (query, key, value)), strict=True):
        logits = q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5
        if key_mask is not None:
            logits = np.where(key_mask[:, None], logits, -np.inf)
        weights = softmax(logits, -1)
        values.append(weights @ v)
        all_weights.append(weights)
    return np.concatenate(values, -1), np.stack(all_weights, 1)


def random_sequences(num_queries, num_keys, width, batch=2):
    """Queries, keys and values (batch, ..., width) in float64."""
    rng = np.random.default_rng(0)
    return [rng.normal(size=(batch, n, width)) for n in (num_queries, num_keys, num_keys)]


@pytest.mark.parametrize(("heads", "width"), [(6, 384), (4, 384), (3, 48), (4, 128), (1, 8)])
def test_heads_that_share_lanes_do_not_see_each_other(heads, width):
    sequences = random_sequences(7, 7, width)
    expected = attention_of(*sequences, heads)[0]
    single = [x.astype(np.float32) for x in sequences]
    found = attention.attend_in_lanes(heads, *single)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(attention.attend_in_groups(heads, 1, *single), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("batch", "tokens"),
    [(2, attention.SMALL - 1), (2, attention.SMALL), (6, attention.SMALL), (5, attention.SMALL)],
    ids=["in groups", "two side by side", "three, twice", "one, five times"],
)
def test_heads_and_samples_by_themselves(batch, tokens):
    sequences = random_sequences(tokens, tokens, 12, batch)
    single = [x.astype(np.float32) for x in sequences]

    def loss(attend, *sequences):
        values = attend(3, *sequences)
        return (values**2).sum(), values

    def differentiate(attend):
        gradient = jax.grad(functools.partial(loss, attend), argnums=(0, 1, 2), has_aux=True)
        return jax.jit(gradient)(*single)

    gradients, values = differentiate(attention.attend_by_matrices)
    np.testing.assert_allclose(values, attention_of(*sequences, 3)[0], atol=2e-6)
    wanted, _ = differentiate(lambda heads, *rest: attention.attend_in_groups(heads, 1, *rest))
    for ours, theirs in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(("dtype", "atol"), [("float32", 2e-4), ("bfloat16", 0.03)])
def test_large_logits_and_fewer_keys_by_themselves(dtype, atol):
    sequences = random_sequences(attention.SMALL, 9, 12)
    rounded = [jnp.asarray(factor * x, dtype) for x, factor in zip(sequences, (60, 60, 1))]
    found = attention.attend_by_matrices(3, *rounded)
    assert found.dtype == dtype
    expected = attention_of(*(np.asarray(x, np.float64) for x in rounded), 3)[0]
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=atol)


def test_a_cpu_takes_heads_and_samples_by_themselves():
    tokens = np.zeros((8, attention.SMALL, 8), np.float32)
    attend = jax.jit(functools.partial(attention.attend, heads=2))
    assert (
        "while" in attend.trace(tokens, tokens, tokens).lower(lowering_platforms=("cpu",)).as_text()
    )


@pytest.mark.parametrize("key_mask", [None, np.array([[True, True, False], [True, False, False]])])
def test_attention_to_few_keys(key_mask):
    sequences = random_sequences(9, 3, 24)
    expected = attention_of(*sequences, 4, key_mask)
    single = [x.astype(np.float32) for x in sequences]
    found = attention.attend_to_few(*single, 4, key_mask)
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, atol=2e-6)
    dropped, weights = attention.attend_to_few(
        *single, 4, key_mask, lambda x: x * jnp.array([2, 0, 0])
    )
    np.testing.assert_allclose(weights, expected[1], atol=2e-6)  # of before
    first = single[2][:, :1].reshape(2, 1, 4, 6)
    wanted = (2 * expected[1][..., :1]).swapaxes(1, 2) * first
    np.testing.assert_allclose(dropped, wanted.reshape(2, 9, 24), atol=4e-6)


@pytest.fixture
def cudnn_calls(monkeypatch):
    """As if there were a GPU whose cuDNN computes what XLA does: shapes it is called with."""
    calls, attend = [], jax.nn.dot_product_attention

    def record(query, key, value, implementation):
        calls.append((implementation, query.shape))
        return attend(query, key, value)

    monkeypatch.setattr(jax.nn, "dot_product_attention", record)
    monkeypatch.setattr(attention, "has_cudnn_attention", lambda: True)
    return calls


@pytest.mark.parametrize(
    ("dtype", "heads", "called"),
    [("bfloat16", 4, True), ("float32", 4, False), ("bfloat16", 16, False), ("bfloat16", 1, False)],
    ids=["taken", "float32", "narrow heads", "wide heads"],
)
def test_cudnn_takes_what_it_can(cudnn_calls, dtype, heads, called):
    sequences = random_sequences(7, 7, 64 if heads > 1 else 144)
    rounded = [jnp.asarray(x, dtype) for x in sequences]
    found = attention.attend_by_cudnn(heads, *rounded)
    assert cudnn_calls == ([("cudnn", (2, 7, 4, 16))] if called else [])
    assert found.dtype == dtype
    expected = attention_of(*(np.asarray(x, np.float64) for x in rounded), heads)[0]
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, atol=3e-2)


@pytest.mark.parametrize("lengths", [(6, 6), (7, 7), (6, 7), (7, 6)])
def test_gradients_of_odd_lengths_do_without_cudnn(cudnn_calls, lengths):
    rounded = [jnp.asarray(x, jnp.bfloat16) for x in random_sequences(*lengths, 64)]

    def loss(attend, *sequences):
        return jnp.sum(jnp.square(attend(4, *sequences)).astype(jnp.float32))

    def gradients(attend):
        return jax.grad(functools.partial(loss, attend), argnums=(0, 1, 2))(*rounded)

    found = gradients(attention.attend_by_cudnn)
    assert bool(cudnn_calls) == (lengths == (6, 6))
    expected = gradients(lambda heads, *rest: attention.attend_in_groups(heads, 1, *rest))
    for ours, wanted in zip(found, expected, strict=True):
        ours, wanted = (np.asarray(x, np.float32) for x in (ours, wanted))
        np.testing.assert_allclose(ours, wanted, atol=0.03 * np.abs(wanted).max())


def test_cudnn_is_not_asked_for_where_there_is_none(monkeypatch):
    def local_devices(backend):
        raise RuntimeError(f"Unknown backend: {backend}")

    monkeypatch.setattr(jax, "local_devices", local_devices)
    assert not attention.has_cudnn_attention()


@pytest.mark.parametrize(("capability", "has"), [("7.5", False), ("8.0", True), ("12.0", True)])
def test_cudnn_needs_an_ampere(monkeypatch, capability, has):
    device = types.SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "local_devices", lambda backend: [device])
    assert attention.has_cudnn_attention() == has


def test_cudnn_is_chosen_on_a_gpu():
    if not attention.has_cudnn_attention():
        pytest.skip("there is no NVIDIA GPU, Ampere or newer")
    tokens = jnp.zeros((2, 261, 384), jnp.bfloat16)
    attend = jax.jit(functools.partial(attention.attend, heads=6))
    assert "cudnn" in attend.lower(tokens, tokens, tokens).compile().as_text()
