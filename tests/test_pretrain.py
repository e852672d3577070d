"""The masked autoencoder: what it is rewarded for, and that its weights are a backbone's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained.dinov2 import load_dinov2
from experiments.tools import pretrain

pytestmark = pytest.mark.usefixtures("quick_compilation")

TRANSFORMER = VisionTransformer(8, 1, 2, 0, 4, 4)


def test_all_places_are_the_whole_image_and_some_are_alone():
    images = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    params = TRANSFORMER.init(jax.random.key(1), images)
    whole = TRANSFORMER.apply(params, images).reshape(2, 16, 8)
    order = jnp.stack([jnp.arange(16), jnp.arange(16)[::-1]])
    shuffled = TRANSFORMER.apply(params, images, order)
    expected = jnp.take_along_axis(whole, order[..., None], 1)
    np.testing.assert_allclose(shuffled, expected, rtol=1e-5, atol=1e-6)
    few = TRANSFORMER.apply(params, images, order[:, :3])
    assert few.shape == (2, 3, 8)
    hidden = images.at[:, 4:12].set(0)  # the patches of these three are in the first and last rows
    np.testing.assert_array_equal(few, TRANSFORMER.apply(params, hidden, order[:, :3]))


def test_features_that_tell_the_place_are_punished():
    generator = np.random.default_rng(0)
    places = jnp.asarray(np.stack([generator.permutation(16)[:8] for _ in range(2_000)]))
    content = jnp.asarray(generator.normal(size=(2_000, 8, 4)), jnp.float32)
    assert pretrain.spread_penalty(content, places, 16) < 0.01
    place = jnp.asarray(generator.normal(size=(16, 4)), jnp.float32)[places]
    assert pretrain.spread_penalty((content + place) / 2**0.5, places, 16) > 0.2
    assert pretrain.spread_penalty(3 * content, places, 16) > 3
    assert pretrain.spread_penalty(0 * content, places, 16) > 0.9


@pytest.mark.slow
def test_only_hidden_patches_are_drawn_and_the_transformer_learns():
    model = pretrain.MaskedAutoencoder(TRANSFORMER)
    images = jax.random.normal(jax.random.key(0), (3, 16, 16, 3))
    streams = {"params": jax.random.key(1), "decoder": jax.random.key(2)}
    variables = model.init(streams, images)

    def look(params, images):
        changed = variables | {"params": params}
        error, features, seen = model.apply(changed, images, rngs=streams)
        return error.mean(), (features, seen)

    gradient, (features, seen) = jax.grad(look, has_aux=True)(variables["params"], images)
    assert features.shape == (3, 4, 8) and seen.shape == (3, 4)
    assert np.abs(gradient["backbone"]["patch_embedding"]["kernel"]).max() > 0
    kept = np.zeros((3, 4, 4), bool)
    kept[np.arange(3)[:, None], seen // 4, seen % 4] = True
    other = jnp.where(np.kron(kept, np.ones((4, 4), bool))[..., None], images, -images)
    error, (same, _) = look(variables["params"], other)
    np.testing.assert_array_equal(features, same)
    assert error != look(variables["params"], images)[0]


@pytest.mark.slow
def test_what_it_writes_is_a_backbone(run_module, tmp_path):
    arguments = (
        *("--config=shapes", "--config.data.image_size=32", "--config.evaluation.limit=32"),
        *(f"--workdir={tmp_path / 'run'}", f"--out={tmp_path / 'backbone.safetensors'}"),
        *("--width=8", "--depth=1", "--heads=2", "--steps=2"),
    )
    printed = run_module("experiments.tools.pretrain", *arguments).stdout
    again = run_module("experiments.tools.pretrain", *arguments)  # finished: nothing to train
    assert again.stdout.splitlines()[-3:] == printed.splitlines()[-3:]
    params = load_dinov2(tmp_path / "backbone.safetensors")
    assert params["positions"].shape == (64, 8) and params["prefix"].shape == (1, 8)
    keys = [word for word in printed.split() if word.startswith("--config.")]
    keys += ["--config.model.decoder.num_tokens=64", "--config.model.token_stride=2"]
    table = run_module(
        "experiments.studies.features",
        *("--config=shapes", "--config.data.image_size=32", "--images=4"),
        *keys,
    )
    assert "as they are" in table.stdout
    refused = run_module("experiments.tools.pretrain", *arguments, "--heads=3", check=False)
    assert refused.returncode == 2 and "--heads=3 does not divide --width=8" in refused.stderr
