"""What both implementations are given: model, weights, images and everything that is sampled."""

import dataclasses
import itertools
import zlib
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from data_pipelines.drawn import shapes
from dias_jax.config.defaults import get_config, released
from dias_jax.models.aggregator import SlotAttention
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.build import DTYPES, build
from dias_jax.models.decoder import RandomOrderDecoder
from dias_jax.models.dias import DIAS, Reinit
from dias_jax.models.draws import Draws
from dias_jax.models.initializer import SharedGaussian
from dias_jax.models.inputs import normalize
from dias_jax.models.projector import Projector
from dias_jax.runs.config_file import load_config
from dias_jax.runs.trained_model import open_run


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison: an evaluation pass and training steps."""

    model: DIAS
    variables: Any
    images: Any  # (B, H, W, 3) float32, ImageNet-normalised; of evaluation
    evaluation_noise: Any  # (B, S, D) float32, standard normal
    draws: Iterable[Draws]  # one a training step: noise, token_order and num_visible
    batches: Iterable[Any] | None = None  # images of each training step; None: always `images`
    learning_rate: float = 1e-3
    distillation_weight: float = 0.37

    def training_steps(self):
        """What each training step is given: yields images, Draws."""
        batches = itertools.repeat(self.images) if self.batches is None else self.batches
        return zip(batches, self.draws)


@dataclasses.dataclass(frozen=True)
class DrawnBatches:
    """Other scenes every step, (B, H, W, 3) float32, drawn when they are asked for."""

    batch_size: int  # B
    size: int  # pixels, H and W
    num_steps: int

    def __iter__(self):
        for step in range(self.num_steps):
            indices = range(step * self.batch_size, (step + 1) * self.batch_size)
            yield np.asarray(normalize(draw_images(indices, self.size, "train")))


def full_model():
    """The released model at its published size."""
    return build(released(get_config()).model)


def tiny_model():
    """The released model with small widths; its position grid has to be resampled, 6 to 4."""
    return DIAS(
        backbone=VisionTransformer(width=16, depth=2, heads=2, position_grid=6, num_registers=4),
        projector=Projector(),
        initializer=SharedGaussian(5, 12),
        aggregator=SlotAttention(12, 48),
        decoder=RandomOrderDecoder(16, 2, 4),
    )


MODELS = {"tiny": tiny_model, "full": full_model}


def compute_in(model, dtype):
    """The same model with another compute dtype, by name; its variables stay float32."""
    parts = ("backbone", "projector", "aggregator", "decoder")
    modules = {name: getattr(model, name) for name in parts}
    return model.clone(
        **{
            name: module.clone(dtype=DTYPES[dtype])
            for name, module in modules.items()
            if hasattr(module, "dtype")  # patch_colours computes in float32 whatever is asked for
        }
    )


def as_released(model):
    """Our model without what the reference lacks; its variables stay the same."""
    return model.clone(reinit=Reinit(), token_stride=1)


def image_size(model):
    """Side in pixels of the images that give the decoder its number of tokens."""
    grid = round(model.decoder.num_tokens**0.5)
    return round(grid * model.backbone.patch_size / model.input_scale)


def random_variables(model, seed):
    """Random values for every parameter; a tensor depends on its name, its shape and `seed` only.

    Nothing is left at zero or one as in a fresh model, so that nothing can be exchanged unseen.
    The inputs of the norms vary little and some slots win few tokens, so that epsilons matter.
    """
    size = image_size(model)
    keys = dict.fromkeys(("params", "slots", "decoder"), jax.random.key(0))
    images = jnp.zeros((1, size, size, 3))
    tensors = flatten_dict(jax.eval_shape(model.init, keys, images), sep="/")
    return unflatten_dict(
        {name: random_tensor(name, tensor.shape, seed) for name, tensor in tensors.items()},
        sep="/",
    )


def random_tensor(name, shape, seed):
    """Random values of a size that fits the kind of parameter: -> float32 numpy array."""
    values = np.random.default_rng([zlib.crc32(name.encode()), seed]).standard_normal(shape)
    kind = name.rsplit("/", 1)[-1]
    if name.endswith("aggregator/query/kernel"):  # slots compete until some win next to nothing
        values *= 10 / shape[0] ** 0.5
    elif kind in ("kernel", "query_key_value"):
        values *= 1.5 / shape[0] ** 0.5
    elif kind.startswith("scale"):
        values = 0.3 + 0.05 * values
    elif kind == "log_deviation":
        values = -1.0 + 0.1 * values
    else:  # biases, positions and tokens
        values *= 0.1
    return values.astype(np.float32)


def draw_noise(model, batch_size, random):
    """Standard normal noise of the initial slots, (B, S, D) float32."""
    shape = batch_size, model.initializer.num_slots, model.initializer.slot_width
    return random.standard_normal(shape, np.float32)


def draw(model, batch_size, random):
    """One step's sampled quantities."""
    num_tokens = model.decoder.num_tokens
    return Draws(
        noise=draw_noise(model, batch_size, random),
        token_order=np.stack([random.permutation(num_tokens) for _ in range(batch_size)]),
        num_visible=random.integers(0, num_tokens - 1, batch_size),
    )


def draw_images(indices, size, split="validation"):
    """Drawn scenes, (B, size, size, 3) uint8."""
    return np.stack([shapes.render(index, split, size)[0] for index in indices])


def build_case(size, dtype, batch_size, num_steps, seed, workdir=None):
    """A case of a named size with random weights, or of the run in `workdir`.

    Raises UserError on a `workdir` that is not of a run.
    """
    if workdir is not None:
        trained = open_run(workdir, load_config(workdir))
        model, variables = as_released(trained.model), trained.variables
    else:
        model = MODELS[size]()
        variables = random_variables(model, seed)
    random = np.random.default_rng(seed)
    return Case(
        model=compute_in(model, dtype),
        variables=variables,
        images=np.asarray(normalize(draw_images(range(batch_size), image_size(model)))),
        evaluation_noise=draw_noise(model, batch_size, random),
        draws=[draw(model, batch_size, random) for _ in range(num_steps)],
    )


def with_new_scenes(case):
    """The case with other images in every training step."""
    batch_size, size = case.images.shape[:2]
    return dataclasses.replace(case, batches=DrawnBatches(batch_size, size, len(case.draws)))
