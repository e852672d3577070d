"""The vision transformer at sizes and layouts that the golden numbers do not cover."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from dias_jax.errors import UserError
from dias_jax.interop import load_dinov2
from dias_jax.interop.dinov2 import backbone_to_torch
from dias_jax.models.backbone import VisionTransformer, resample_positions


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


def original_layout(params):
    """The layout of the first DINOv2 release: register_tokens, a position for the class token."""
    tensors = backbone_to_torch(params, 14)
    tensors["register_tokens"] = tensors.pop("reg_token")
    class_position = np.full((1, 1, 24), 0.25, np.float32)
    tensors["pos_embed"] = np.concatenate([class_position, tensors["pos_embed"]], axis=1)
    tensors["cls_token"] = tensors["cls_token"] - class_position
    return tensors | {"mask_token": np.zeros((1, 24), np.float32)}


@pytest.mark.parametrize("layout", ["timm", "original"])
def test_checkpoint_layouts_load_to_the_same_parameters(case, tmp_path, layout):
    _, params = case
    tensors = original_layout(params) if layout == "original" else backbone_to_torch(params, 14)
    tensors |= {"norm.weight": np.ones(24, np.float32), "norm.bias": np.zeros(24, np.float32)}
    path = tmp_path / "model.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
    loaded = load_dinov2(path)
    assert jax.tree.structure(loaded) == jax.tree.structure(jax.device_get(params))
    for ours, theirs in zip(jax.tree.leaves(loaded), jax.tree.leaves(params)):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("blocks.1.mlp.fc1.bias"), "blocks.1.mlp.fc1.bias"),
        (lambda tensors: tensors.update(other=np.zeros(1)), "other"),
        (lambda tensors: tensors.pop("pos_embed"), "not a DINOv2 checkpoint"),
    ],
)
def test_incomplete_or_foreign_checkpoints_are_refused(case, tmp_path, change, message):
    tensors = {name: np.array(value) for name, value in backbone_to_torch(case[1], 14).items()}
    change(tensors)
    path = tmp_path / "model.safetensors"
    save_file(tensors, path)
    with pytest.raises(UserError, match=message):
        load_dinov2(path)
