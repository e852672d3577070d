"""The frozen backbone's weights: from a file, or random when that is said explicitly."""

import pathlib

import jax

from dias_jax.errors import UserError
from dias_jax.files import sha256
from dias_jax.pretrained.dinov2 import load_dinov2

RANDOM = "random"


def load_backbone(config, expected):
    """Backbone parameters for a config, and an identity that tells them apart.

    `expected`: parameters of the backbone module, or their shapes. -> (params, identity); params
    is None where the module's own start is to be used: config.model.backbone.weights is "random",
    or there are no parameters. The identity is "none", "random, seed N" or "sha256:..." of the
    file. Raises UserError when the file is missing or does not fit the model.
    """
    if not jax.tree.leaves(expected):
        return None, "none"
    path = config.model.backbone.weights
    if path == RANDOM:
        return None, f"random, seed {config.seed}"
    if not pathlib.Path(path).is_file():
        raise UserError(
            f'weight file "{path}" does not exist: {how_to_get(config.model.backbone.name)}name '
            "another with --config.model.backbone.weights=FILE, or say =random"
        )
    params = load_dinov2(path)
    check_same_shapes(params, expected, path)
    return params, f"sha256:{sha256(path)}"


def how_to_get(name):
    """The remedy of a missing weight file, where there is one to download."""
    return f"python -m dias_jax.weights {name} downloads it; " if name.startswith("dinov2") else ""


def check_same_shapes(params, expected, path):
    """Raise UserError naming the first parameter that differs from what the model has."""
    found = {jax.tree_util.keystr(k): x.shape for k, x in jax.tree.leaves_with_path(params)}
    wanted = {jax.tree_util.keystr(k): x.shape for k, x in jax.tree.leaves_with_path(expected)}
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise UserError(
                f"{path} does not fit config.model.backbone (name, position_grid): {name} is "
                f"{found.get(name)} in the file and {wanted.get(name)} in the model"
            )
