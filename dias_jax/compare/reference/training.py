"""Training the reference from a config, with its own initial weights, noise and orders."""

import itertools

import numpy as np
import torch
from tqdm import tqdm

from data_pipelines import pipeline, sources
from dias_jax.compare.reference.imported import build_reference, reference_module
from dias_jax.compare.reference.metrics import reference_metrics
from dias_jax.compare.reference.passes import DEVICE, objective, to_torch_images, visible_tokens
from dias_jax.devices import cpu_threads
from dias_jax.models.build import build
from dias_jax.models.inputs import normalize

OWN_ORDER = 1_000  # added to the seed of samples and views, so that they are not ours


def train_reference(config, seed):
    """A run of `config` in float32: -> (wrapper, [[step, loss] ...]).

    Losses are means over `config.log_every` steps. The schedules are the reference's.
    """
    torch.manual_seed(seed)
    torch.set_num_threads(cpu_threads())  # as many as XLA takes
    wrapper = build_reference(reference_module("model"), build(config.model))
    wrapper.train()
    trained = [parameter for parameter in wrapper.parameters() if parameter.requires_grad]
    rate, weight = schedules(config)
    optimizer = torch.optim.Adam(trained, lr=rate[0])
    batches = pipeline.train_batches(config.data, config.batch_size, seed + OWN_ORDER)
    curve, recent = [], []
    bar = tqdm(itertools.islice(batches, config.steps), "reference", config.steps, unit="step")
    for step, batch in enumerate(bar):
        optimizer.param_groups[0]["lr"] = rate[step]
        images = to_torch_images(np.asarray(normalize(batch["image"])))
        with visible_tokens(draw_visible(config.model.decoder, len(images))):
            loss = objective(wrapper.m(images), weight[step])["loss"]
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.optimizer.clip_norm)
        optimizer.step()
        recent.append(loss.item())
        if (step + 1) % config.log_every == 0:
            curve.append([step + 1, float(np.mean(recent))])
            recent = []
    return wrapper, curve


def draw_visible(decoder, batch_size):
    """Numbers of visible tokens (B, 1), as the config's decoder has them."""
    shape = {"size": (batch_size, 1), "device": DEVICE}
    uniform = torch.randint(0, decoder.num_tokens - 1, **shape)
    is_uniform = torch.rand(**shape) < decoder.uniform_probability
    return torch.where(is_uniform, uniform, decoder.fixed_visible)


def schedules(config):
    """Learning rate and self-distillation weight of every step, by the reference's code."""
    learn, optimizer, total = reference_module("learn"), config.optimizer, config.steps
    peak, warmup = optimizer.learning_rate, round(optimizer.warmup_fraction * total)
    rate = learn.CbLinearCosine(
        ["value"],
        nlin=warmup,
        ntotal=total,
        vstart=0,
        vbase=peak,
        vfinal=optimizer.final_fraction * peak,
    )
    weight = learn.CbCosine(
        ["value"], ntotal=total, vbase=0, vfinal=config.loss.distillation_weight
    )
    return rate.sched, weight.sched


def evaluate_reference(wrapper, config, split):
    """Means in percent over a whole split, by the reference's metrics: {name: value}."""
    num_masks = sources.open_split(config.data, split).num_masks
    batches = pipeline.evaluation_batches(config.data, split, config.evaluation.batch_size)
    totals = {}
    for batch in batches:
        true = batch["mask"].reshape(len(batch["mask"]), -1, 1) == np.arange(1, num_masks + 1)
        images = np.asarray(normalize(batch["image"]))
        sees_tokens = config.model.decoder.evaluation_sees_tokens
        values, _ = reference_metrics(wrapper, images, true, sees_tokens)
        for name, (value, has_value) in values.items():
            totals.setdefault(name, []).append(value[has_value & batch["valid"]])
    return {name: 100 * float(np.concatenate(parts).mean()) for name, parts in totals.items()}
