"""A missing or wrong weight file is an error, never a random model."""

import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.config import defaults
from dias_jax.errors import UserError
from dias_jax.pretrained import backbone

PARAMS = {"block_0": {"bias": jnp.zeros(3)}}


@pytest.fixture
def config(tmp_path):
    config = defaults.get_config()
    config.model.backbone.weights = str(tmp_path / "weights.safetensors")
    return config


def test_missing_file_names_it_and_the_remedy(config):
    with pytest.raises(UserError, match="weights.safetensors.*does not exist.*=random"):
        backbone.load_backbone(config, PARAMS)


def test_random_must_be_said(config):
    config.model.backbone.weights = "random"
    assert backbone.load_backbone(config, PARAMS) == (None, "random, seed 42")


def test_a_backbone_without_parameters_needs_no_file(config):
    assert backbone.load_backbone(config, {}) == (None, "none")


def test_identity_is_the_content(config, tmp_path, monkeypatch):
    monkeypatch.setattr(backbone, "load_dinov2", lambda path: PARAMS)
    identities = []
    for content in (b"a", b"a", b"b"):
        (tmp_path / "weights.safetensors").write_bytes(content)
        identities.append(backbone.load_backbone(config, PARAMS)[1])
    assert identities[0] == identities[1] != identities[2]


def test_another_size_is_refused_by_name(config, tmp_path, monkeypatch):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    other = {"block_0": {"bias": np.zeros(4)}}
    monkeypatch.setattr(backbone, "load_dinov2", lambda path: other)
    with pytest.raises(UserError, match="block_0.*(4,).*(3,)"):
        backbone.load_backbone(config, PARAMS)
