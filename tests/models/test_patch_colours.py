"""The backbone without weights: nothing to load, and features that know regions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.errors import UserError
from dias_jax.models.patch_colours import PatchColours


def two_squares():
    """A red and a green square of one size on grey ground, 96 x 96 pixels, 12 x 12 patches."""
    image = np.zeros((96, 96, 3), np.float32)
    image[16:40, 16:40] = (2, -1, -1)
    image[56:80, 56:80] = (-1, 2, -1)
    return jnp.asarray(image)[None]


def test_there_is_nothing_to_load():
    module = PatchColours()
    assert module.init(jax.random.key(0), two_squares()) == {}
    features = [module.apply({}, two_squares()) for _ in range(2)]
    assert features[0].shape == (1, 12, 12, 32)
    np.testing.assert_array_equal(*features)


def test_features_are_smooth_inside_regions_and_differ_between_them():
    features = np.asarray(PatchColours().apply({}, two_squares()))[0]
    red, green, ground = features[2:5, 2:5], features[7:10, 7:10], features[0:2]
    inside = max(region.std((0, 1)).max() for region in (red, green))
    between = min(
        np.abs(a.mean((0, 1)) - b.mean((0, 1))).max()
        for a, b in ((red, green), (red, ground), (green, ground))
    )
    assert inside < 0.02 and between > 0.2


def test_equal_colours_far_apart_differ_by_position():
    image = two_squares().at[:, 56:80, 56:80].set(jnp.array([2.0, -1.0, -1.0]))
    features = np.asarray(PatchColours().apply({}, image))[0]
    assert np.abs(features[3, 3] - features[8, 8])[-12:].max() > 0.1


def bars(bridged):
    """Two red bars on grey ground, with a red bridge between them or without, 96 x 96 pixels."""
    image = np.zeros((96, 96, 3), np.float32)
    image[:, 16:32] = image[:, 64:80] = (2, -1, -1)
    if bridged:
        image[32:64, 16:80] = (2, -1, -1)
    return jnp.asarray(image)[None]


def test_connected_regions_of_one_colour_are_one_and_others_are_not():
    module = PatchColours(patch_size=4, connected=True)
    positions = [np.asarray(module.apply({}, bars(b)))[0, 12, [6, 18], -12:] for b in (0, 1)]
    apart, together = (np.abs(left - right).max() for left, right in positions)
    assert together < 0.1 * apart
    ground = np.asarray(module.apply({}, two_squares()))[0, :3, :, -12:]
    assert ground.std((0, 1)).max() < 0.02


@pytest.mark.parametrize("size", [95, 100])
def test_other_sizes_are_refused(size):
    with pytest.raises(UserError, match="patch of 8"):
        PatchColours().apply({}, jnp.zeros((1, size, size, 3)))
