"""Training on one random token of every cell."""

import jax
import numpy as np
import pytest

from dias_jax import losses
from dias_jax.errors import UserError
from dias_jax.models import build
from dias_jax.models.inputs import initialize
from dias_jax.models.token_sampling import sample_places, take_tokens

pytestmark = pytest.mark.usefixtures("quick_compilation")


def test_every_cell_gives_one_token_and_each_of_its_tokens_alike():
    keys = jax.random.split(jax.random.key(0), 4_000)
    places = np.asarray(sample_places(keys, 4, 6, 2))
    assert places.shape == (4_000, 2, 3)
    row, column = np.divmod(places, 6)
    np.testing.assert_array_equal(row // 2, np.broadcast_to(np.arange(2)[:, None], places.shape))
    np.testing.assert_array_equal(column // 2, np.broadcast_to(np.arange(3), places.shape))
    shares = np.bincount(places.ravel(), minlength=24) / 4_000
    np.testing.assert_allclose(shares, 0.25, atol=0.03)
    cells = places.reshape(4_000, 6)  # the cells are drawn independently
    assert np.abs(np.corrcoef((cells % 2).T) - np.eye(6)).max() < 0.06


def test_tokens_come_from_their_places():
    features = jax.random.normal(jax.random.key(0), (2, 4, 6, 5))
    places = sample_places(jax.random.split(jax.random.key(1), 2), 4, 6, 2)
    taken = take_tokens(features, places)
    assert taken.shape == (2, 2, 3, 5)
    row, column = divmod(int(places[1, 0, 2]), 6)
    np.testing.assert_array_equal(taken[1, 0, 2], features[1, row, column])


def test_cells_have_to_fill_the_grid():
    with pytest.raises(UserError, match="token_stride=3 does not divide the 4x6 tokens"):
        sample_places(jax.random.split(jax.random.key(0), 1), 4, 6, 3)


@pytest.mark.slow
def test_training_sees_a_quarter_and_evaluation_everything(tiny_config):
    images = jax.random.normal(jax.random.key(1), (3, 32, 32, 3))
    whole = build(tiny_config.model)
    tiny_config.model.token_stride = 2
    model = build(tiny_config.model)
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), 32)
    streams = {name: jax.random.key(2) for name in ("slots", "decoder")}

    def loss(params, train):
        output = model.apply(variables | {"params": params}, images, train, rngs=streams)
        return losses.reconstruction(output), output

    gradient, output = jax.jit(jax.grad(loss, has_aux=True), static_argnums=1)(
        variables["params"], True
    )
    assert output.features.shape == (3, 2, 2, 16) and output.attention.shape == (3, 3, 4, 2, 2)
    learnt = (np.asarray(gradient["decoder"]["positions"]) != 0).any(1).reshape(2, 2, 2, 2)
    per_cell = learnt.sum((1, 3))  # of four tokens, for three samples
    assert (per_cell >= 1).all() and (per_cell <= 3).all()

    full = whole.apply(variables, images, rngs=streams)
    tokens = np.asarray(full.features.reshape(3, 16, 16))
    for sample, kept in zip(tokens, np.asarray(output.features).reshape(3, 4, 16)):
        assert all((np.abs(sample - token).max(1) < 1e-4).any() for token in kept)
    evaluated = model.apply(variables, images, rngs=streams)
    np.testing.assert_array_equal(evaluated.reconstruction, full.reconstruction)
