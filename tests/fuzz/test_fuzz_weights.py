"""Damaged weight files: bytes, names, shapes and types of their tensors."""

import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from damage import damaged_bytes, right_or_one_line
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from dias_jax.interop import load_dinov2
from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained.dinov2 import backbone_to_torch


def small_tensors():
    """A transformer of two blocks in timm's layout."""
    module = VisionTransformer(width=8, depth=2, heads=2, num_registers=1, position_grid=2)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 28, 28, 3)))["params"]
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda x: random.standard_normal(x.shape, np.float32), shapes)
    return {name: np.ascontiguousarray(x) for name, x in backbone_to_torch(params, 14).items()}


TENSORS = small_tensors()
NAMES = sorted(TENSORS)


def load(content):
    """`load_dinov2` of the bytes of a .safetensors file."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        path.write_bytes(content)
        with right_or_one_line():
            params = load_dinov2(path)
            assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))


@given(damaged_bytes(save(TENSORS)))
def test_damaged_files(content):
    load(content)


@st.composite
def other_tensors(draw):
    """TENSORS of which one to three have another name, shape or type, or are gone."""
    tensors = dict(TENSORS)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(tensors)))
        value = tensors.pop(name)
        kind = draw(st.sampled_from(("gone", "renamed", "shape", "type", "value")))
        if kind == "renamed":
            others = st.one_of(st.sampled_from(NAMES), st.text(max_size=9))
            other = draw(others.map(lambda text: text.replace("\0", "")))
            number = draw(st.sampled_from(("7", "-1", "99999999999", "x")))
            tensors[draw(st.sampled_from((other, name.replace("0", number), f"module.{name}")))] = (
                value
            )
        elif kind == "shape":
            shape = draw(st.lists(st.integers(0, 5), max_size=5))
            tensors[name] = np.zeros(shape, np.float32)
        elif kind == "type":
            types = (np.int8, np.int64, np.float16, np.float64, np.bool_)
            tensors[name] = value.astype(draw(st.sampled_from(types)))
        elif kind == "value":
            tensors[name] = np.full_like(value, draw(st.sampled_from((np.nan, np.inf, 1e38))))
    return tensors


@given(other_tensors())
def test_other_tensors(tensors):
    load(save(tensors))
