"""Object discovery: DIAS on one data set of images."""

import functools

import jax

from data_pipelines import pipeline
from data_pipelines.sources import check_kind
from dias_jax import devices, feeding
from dias_jax.config.checks import check_config
from dias_jax.errors import UserError
from dias_jax.evaluation.split import (
    compile_evaluation,
    evaluate_split,
    metrics_sum,
    open_evaluation,
    protocol_line,
    summary_lines,
)
from dias_jax.feature_cache import open_features
from dias_jax.losses import dias_objective
from dias_jax.models.build import build
from dias_jax.pictures.overlays import overview
from dias_jax.segmentation import MASKS
from dias_jax.slot_statistics import slot_statistics
from dias_jax.steps.schedules import half_cosine_rise


def discovery_loss(variables, batch, rng, step, *, model, objective):
    """The loss of DIAS and what is logged of it, as `train_step` takes it."""
    loss, values, output = objective(model, variables, batch, rng, step)
    return loss, values | jax.tree.map(lambda x: x.mean(0), slot_statistics(output))


class Discovery:
    """The task of an image config (`dias_jax.config.defaults`).

    `model` is the module; `loss_fn` goes into `train_step`; `evaluate` measures variables on the
    config's evaluation split; `unit` is what a batch has. With `data.features` both are on features
    in files. Raises UserError on a config that cannot be run.
    """

    unit = "images"

    def __init__(self, config):
        check_config(config)
        check_kind(config.data, config.model.kind)
        devices.check_batch_size(config.batch_size, "batch_size", config.accumulation or 1)
        self.config = config
        self.source = open_evaluation(config, config.evaluation.split)
        self.model = build(config.model)
        self.loss_fn = self.make_loss()
        self.num_masks = self.source.num_masks
        devices.check_batch_size(config.evaluation.batch_size, "evaluation.batch_size")
        self.protocol = protocol_line(config, config.evaluation.split)
        self.train_features, self.seen_features = self.open_features()
        if self.seen_features is not None:
            self.protocol += "; features in bfloat16, from files"
        self.train_batches(0)  # what is wrong with the data shows before anything is written

    def make_loss(self):
        """The loss as `train_step` takes it."""
        objective = functools.partial(dias_objective, **objective_options(self.config))
        return functools.partial(discovery_loss, model=self.model, objective=objective)

    @functools.cached_property
    def eval_step(self):
        """`eval_step`, compiled when it is first needed."""
        return compile_evaluation(self.config, self.model, self.num_masks)

    def open_features(self):
        """Those in files, of training and of evaluation, or None where they are computed."""
        config, split = self.config, self.config.evaluation.split
        if config.data.features and split == "train":
            raise UserError(
                f'config.data.features={config.data.features}: its "train" is of training views, '
                "which no evaluation takes: name another config.evaluation.split"
            )
        return open_features(config, "train"), open_features(config, split)

    def train_batches(self, start_step):
        """This host's batches from `start_step` on, without end."""
        config = self.config
        if self.train_features is not None:
            return pipeline.feature_batches(
                self.train_features,
                self.train_features.views,
                config.batch_size,
                config.seed,
                start_step,
                devices.host_shard(),
                config.data.threads,
            )
        return pipeline.train_batches(
            config.data,
            config.batch_size,
            config.seed,
            start_step=start_step,
            shard=devices.host_shard(),
            num_threads=config.data.threads,
            with_boxes=config.model.kind == "video" and config.model.video.boxes,
            num_processes=feeding.reading_processes(config.data.processes),
        )

    def evaluate(self, variables, on_picture):
        """{name: value} of the evaluation split; `on_picture(PIL image)` gets what was found."""
        config = self.config

        def draw(number, batch, predictions):
            if number == 0 and config.evaluation.pictures:
                on_picture(self.draw(batch, devices.to_host(predictions)))

        split, features = config.evaluation.split, self.seen_features
        return evaluate_split(self.eval_step, variables, config, split, draw, features)[0]

    def draw(self, batch, predictions):
        """A picture of the first samples of a batch and what was found in them."""
        count = min(self.config.evaluation.pictures, batch["valid"].sum())
        shown = self.config.evaluation.masks
        segmentations = {name: predictions[name] for name in MASKS}
        attention = predictions[f"{shown}_attention"]
        return overview(batch, segmentations, attention, predictions["slot_mask"], count)

    def quality(self, metrics):
        """What decides the best checkpoint, the higher the better.

        The metrics of `evaluation.masks`; without ground truth, the reconstruction.
        """
        if not self.num_masks:
            return -metrics["reconstruction"]
        return metrics_sum(metrics, self.config.evaluation.masks)

    def summary(self, metrics):
        """An evaluation in some lines for the terminal."""
        return summary_lines(metrics, self.config.model.num_slots)


def objective_options(config):
    """Keyword arguments of `dias_objective` that a config stands for."""
    loss, reinit = config.loss, config.model.reinit
    return {
        "distillation_weight": half_cosine_rise(loss.distillation_weight, config.steps),
        "reduce_probability": half_cosine_rise(
            reinit.probability, reinit.probability_rise * config.steps
        ),
        "distillation": loss.distillation,
        "teacher": loss.distillation_teacher,
    }
