"""The vision transformer at sizes and layouts that the golden numbers do not cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.errors import UserError
from dias_jax.models.backbone import (
    PatchEmbedding,
    VisionTransformer,
    resample_positions,
    split_patches,
)


@pytest.fixture(scope="module")
def case():
    """A small transformer and its parameters, all different from their start."""
    module = VisionTransformer(width=24, depth=2, heads=2, num_registers=4, position_grid=5)
    params = module.init(jax.random.key(0), jnp.zeros((1, 28, 28, 3)))["params"]
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys)]
    return module, jax.tree.unflatten(tree, noisy)


@pytest.mark.parametrize("size", [(28, 28), (70, 70), (42, 84)])
def test_any_size_that_the_patch_divides(case, size):
    module, params = case
    features = module.apply({"params": params}, jnp.ones((2, *size, 3)))
    assert features.shape == (2, size[0] // 14, size[1] // 14, 24)
    assert np.isfinite(features).all()


def test_other_sizes_are_refused(case):
    module, params = case
    with pytest.raises(UserError, match="patch of 14"):
        module.apply({"params": params}, jnp.ones((1, 30, 28, 3)))


def test_constant_positions_stay_constant_when_resampled():
    resampled = resample_positions(jnp.ones((37 * 37, 3)), (16, 24))
    assert resampled.shape == (16 * 24, 3)
    np.testing.assert_allclose(resampled, 1, rtol=1e-5)


@pytest.mark.parametrize("patch_size", [2, 14])
def test_a_patch_is_embedded_by_a_product_of_its_pixels(patch_size):
    images = jax.random.normal(jax.random.key(0), (2, 3 * patch_size, 2 * patch_size, 3))
    module = PatchEmbedding(8, patch_size)
    params = module.init(jax.random.key(1), images)["params"]
    params["bias"] = jnp.arange(8.0)
    patches = split_patches(images, patch_size)
    expected = np.asarray(patches, np.float64) @ params["kernel"] + params["bias"]
    np.testing.assert_allclose(module.apply({"params": params}, images), expected, atol=2e-5)
