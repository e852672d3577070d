"""Download DINOv2 weights: python -m dias_jax.weights NAME [--out=FILE].

NAME is a name of config.model.backbone.name, dinov2_vits14_reg4 for the published recipes. The
file comes from timm's repository on the Hugging Face Hub, is compared with the sha256 published
there and with the model, and appears as FILE (default: NAME.safetensors, where the experiments
look for it). A file that is there already is not downloaded again.
"""

import jax
import jax.numpy as jnp
from absl import flags

from dias_jax.cli import run
from dias_jax.config import defaults
from dias_jax.errors import UserError
from dias_jax.models.build import build_backbone
from dias_jax.pretrained.download import REPOSITORIES, fetch

OUT = flags.DEFINE_string("out", None, "where to put it, .safetensors")


def parameter_shapes(name):
    """Shapes of the parameters of a backbone of this name."""
    config = defaults.get_config().model
    config.backbone.name = name
    module = build_backbone(config)
    images = jnp.zeros((1, module.patch_size, module.patch_size, 3))
    return jax.eval_shape(module.init, jax.random.key(0), images)["params"]


def main(arguments):
    """Fetch the weights named and say how to use them."""
    if len(arguments) != 2 or arguments[1] not in REPOSITORIES:
        given = f"unknown: {' '.join(arguments[1:])}; " if arguments[1:] else ""
        raise UserError(f"{given}name the weights to download, one of {', '.join(REPOSITORIES)}")
    name = arguments[1]
    path = OUT.value or f"{name}.safetensors"
    print(fetch(REPOSITORIES[name], path, parameter_shapes(name)))
    print("train with")
    print(f"--config.model.backbone.name={name} --config.model.backbone.weights={path}")


if __name__ == "__main__":
    run(main, takes_words=True)
