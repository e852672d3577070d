"""Train a small vision transformer without labels, as a frozen backbone: a masked autoencoder.

python -m dias_jax.experiments.tools.pretrain --config=shapes --workdir=runs/backbone \\
    --out=backbone.safetensors

The config names the data, --width, --depth, --heads and --patch_size the transformer. It sees a
quarter of the patches, and a small one behind it draws some of the others from what it made of them
(He et al. 2022). Two more terms keep the features fit for slots: their mean over the images is zero
at every place, so they say what is in a patch rather than where it is, and their deviation is one.
A run is continued where it was stopped. The file that comes out is loaded like any other; the last
lines say with which keys.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from data_pipelines import pipeline
from dias_jax import cli, devices
from dias_jax.config.experiments import define_config_flag
from dias_jax.errors import UserError
from dias_jax.evaluation.split import evaluate_split
from dias_jax.models.backbone import Block, VisionTransformer, split_patches
from dias_jax.models.inputs import normalize
from dias_jax.models.layers import LayerNorm, Linear
from dias_jax.pretrained.dinov2 import backbone_to_torch
from dias_jax.pretrained.tensors import write_tensors
from dias_jax.runs.checkpoints import Checkpoints
from dias_jax.runs.state import start_variables
from dias_jax.steps.scoring import sum_up
from dias_jax.training.loop import finish

SEEN, DRAWN = 4, 8  # one patch of so many is seen, one of so many is drawn
PENALTY = 0.1  # weight of the two terms beside the error of the drawing
SIZES = {"width": 96, "depth": 4, "heads": 4, "patch_size": 4}  # keys of model.backbone


def define_flags(arguments):
    """--config of an experiment, and what is this tool's own."""
    flags.DEFINE_string("workdir", None, "directory of the run; continued where it exists")
    flags.DEFINE_string("out", None, "weight file to write, .safetensors")
    flags.DEFINE_integer("steps", 1_500, "optimiser steps", 1)
    flags.DEFINE_float("rate", 1e-3, "peak learning rate", 0)
    for name, default in SIZES.items():
        flags.DEFINE_integer(name, default, "of the transformer", 1)
    return define_config_flag(arguments)


class MaskedAutoencoder(nn.Module):
    """Draws hidden patches from what a transformer makes of the visible ones.

    images (B, H, W, 3) float32 -> squared error a sample (B,), features (B, K, C) of the visible
    patches, their places (B, K) int. Random stream: "decoder".
    """

    backbone: VisionTransformer

    @nn.compact
    def __call__(self, images, train=True):
        patches = split_patches(images, self.backbone.patch_size)
        count, width = patches.shape[1], self.backbone.width
        self.variable("backbone", "params", dict)  # nothing is frozen here
        keys = jax.random.split(self.make_rng("decoder"), len(images))
        order = jax.vmap(lambda key: jax.random.permutation(key, count))(keys)
        seen = order[:, : count // SEEN]
        drawn = order[:, count // SEEN : count // SEEN + count // DRAWN]
        features = self.backbone(images, seen)
        small = nn.initializers.normal(0.02)
        positions = self.param("positions", small, (count, width))
        mask_token = self.param("mask_token", small, (width,))
        tokens = Linear(width, name="project")(LayerNorm(name="norm_in")(features))
        tokens = [tokens + positions[seen], mask_token + positions[drawn]]
        x = Block(self.backbone.heads, name="block")(jnp.concatenate(tokens, 1))
        x = LayerNorm(name="norm_out")(x[:, seen.shape[1] :])
        drawing = Linear(patches.shape[-1], name="drawing")(x)
        target = jnp.take_along_axis(patches, drawn[..., None], axis=1)
        return jnp.square(drawing - target).mean((1, 2)), features, seen

    def smallest_inputs(self, height, width):
        """A batch of one image of that many pixels, {name of an argument: zeros}."""
        return {"images": jnp.zeros((1, height, width, 3))}


def spread_penalty(features, places, count):
    """How far features are from mean zero at every place and deviation one: -> scalar.

    features (B, K, C), places (B, K) int below `count`.
    """
    flat, width = places.reshape(-1), features.shape[-1]
    number = jnp.zeros((count, 1)).at[flat].add(1)
    total = jnp.zeros((count, width)).at[flat].add(features.reshape(-1, width))
    mean = jnp.where(number > 1, total / jnp.maximum(number, 1), 0)
    deviation = jnp.sqrt(features.var((0, 1)) + 1e-4)
    return jnp.square(mean).mean() + jnp.square(deviation - 1).mean()


def drawing_loss(variables, batch, rng, step, *, model):
    """The training loss as `train_step` takes it: -> loss, {name: scalar}."""
    images = normalize(batch["image"])
    error, features, seen = model.apply(variables, images, rngs={"decoder": rng})
    side = images.shape[1] // model.backbone.patch_size
    penalty = spread_penalty(features, seen, side**2)
    loss = error.mean() + PENALTY * penalty
    return loss, {"loss": loss, "error": error.mean(), "penalty": penalty}


def drawing_step(variables, batch, rng, *, model, axis_name=None):
    """`eval_step` of the autoencoder: the sum of the error."""
    error, *_ = model.apply(variables, normalize(batch["image"]), rngs={"decoder": rng})
    return sum_up({"error": (error, jnp.ones(len(error), bool))}, batch["valid"], axis_name), {}


class Pretraining:
    """The task, as `fit` takes it."""

    unit = "images"
    protocol = "mean squared error of hidden patches, in normalised colours"

    def __init__(self, config):
        devices.check_batch_size(config.batch_size, "batch_size", config.accumulation)
        devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
        sizes, self.config = config.model.backbone, config
        transformer = VisionTransformer(
            *(sizes.width, sizes.depth, sizes.heads, sizes.num_registers),
            *(sizes.patch_size, sizes.position_grid),
        )
        self.model = MaskedAutoencoder(transformer)
        self.loss_fn = functools.partial(drawing_loss, model=self.model)
        step = functools.partial(drawing_step, model=self.model)
        self.step = devices.compile_step(step, split_results=True)

    def train_batches(self, start_step):
        """This host's batches from `start_step` on, without end."""
        data, shard = self.config.data, devices.host_shard()
        size, seed = self.config.batch_size, self.config.seed
        return pipeline.train_batches(data, size, seed, start_step, shard, data.threads)

    def evaluate(self, variables, on_picture):
        """The error on the config's evaluation split."""
        return evaluate_split(self.step, variables, self.config, self.config.evaluation.split)[0]

    def quality(self, metrics):
        """The smaller the error the better."""
        return -metrics["error"]

    def summary(self, metrics):
        """An evaluation in a line."""
        return [f"error of hidden patches {metrics['error']:.4f}"]


def pretraining_config(config):
    """The config of the run: the data of `config`, the transformer and steps of the flags.

    Raises UserError where the sizes do not fit.
    """
    given, image_size = flags.FLAGS, config.data.image_size
    if given.width % given.heads:
        raise UserError(f"--heads={given.heads} does not divide --width={given.width}")
    if image_size % given.patch_size:
        raise UserError(
            f"--patch_size={given.patch_size} does not divide images of {image_size} pixels"
        )
    config.steps, config.optimizer.learning_rate = given.steps, given.rate
    config.model.backbone.update(name="vision_transformer", weights="", input_scale=1.0)
    config.model.backbone.update({name: given[name].value for name in SIZES})
    config.model.backbone.num_registers = 0
    config.accumulation = config.accumulation or 1  # the penalty on spread is of a whole batch
    config.model.backbone.position_grid = image_size // given.patch_size
    return config


def trained_backbone(task, config, workdir):
    """The transformer's parameters in the last checkpoint of a run."""
    variables, identity = start_variables(config, task.model)
    checkpoints = Checkpoints(workdir, identity)
    params, _ = checkpoints.restore_params(variables["params"], "latest")
    checkpoints.close()
    return params["backbone"]


def main(arguments):
    """Train, write the weights, say how they are used."""
    cli.require("config", "workdir", "out")
    out = flags.FLAGS.out
    if not out.endswith(".safetensors"):
        raise UserError(f"--out={out}: the name must end in .safetensors")
    config = pretraining_config(flags.FLAGS.config)
    task, workdir = Pretraining(config), flags.FLAGS.workdir
    finish(task, config, workdir)
    patch = config.model.backbone.patch_size
    tensors = backbone_to_torch(trained_backbone(task, config, workdir), patch)
    write_tensors(out, {name: x.astype(np.float16) for name, x in tensors.items()})
    keys = ("name", *SIZES, "num_registers", "position_grid", "input_scale")
    print(f"{out}: use it with")
    print(*(f"--config.model.backbone.{key}={config.model.backbone[key]}" for key in keys))
    print(f"--config.model.backbone.weights={out}")


if __name__ == "__main__":
    cli.run(main, define_flags)
