"""Object discovery in videos: DIAS over time on one data set."""

import functools

import jax

from dias_jax import devices
from dias_jax.errors import UserError
from dias_jax.pictures.strips import draw_strips
from dias_jax.slot_statistics import slot_statistics
from dias_jax.tasks.discovery import Discovery, objective_options
from dias_jax.video_losses import video_objective


def video_loss(variables, batch, rng, step, *, model, objective):
    """The loss of DIAS on videos and what is logged of it, as `train_step` takes it."""
    loss, values, output = objective(model, variables, batch, rng, step)
    statistics = slot_statistics(output.first_frame())
    return loss, values | jax.tree.map(lambda x: x.mean(0), statistics)


class VideoDiscovery(Discovery):
    """The task of a video config; all as of `Discovery`, of clips and whole videos."""

    unit = "clips"

    def make_loss(self):
        """The loss as `train_step` takes it."""
        config = self.config
        check_similarity(config)
        check_boxes(config, self.source)
        loss = config.loss
        objective = functools.partial(
            video_objective,
            **objective_options(config),
            contrast_weight=loss.contrast_weight,
            contrast_temperature=loss.contrast_temperature,
            similarity_weight=loss.similarity_weight,
            similarity_temperature=loss.similarity_temperature,
            axis_name=devices.axis_name(),
        )
        return functools.partial(video_loss, model=self.model, objective=objective)

    def draw(self, batch, predictions):
        """A picture of frames of the first videos of a batch and what was found in them."""
        count = min(self.config.evaluation.pictures, batch["valid"].sum())
        found = predictions[self.config.evaluation.masks]
        return draw_strips(batch["image"], batch.get("mask"), found, batch["frame_valid"], count)


def check_similarity(config):
    """Raise UserError where the loss needs what the decoder does not tell."""
    if config.loss.similarity_weight and not config.model.video.predicts_similarity:
        raise UserError(
            f"config.loss.similarity_weight={config.loss.similarity_weight}: needs "
            "config.model.video.predicts_similarity=True"
        )


def check_boxes(config, source):
    """Raise UserError where slots start from boxes and there are none, or more than slots.

    Features in files have none.
    """
    if not config.model.video.boxes:
        return
    if source.num_masks - 1 > config.model.num_slots or not source.num_masks:
        raise UserError(
            f"config.model.video.boxes=True: {config.data.name} has up to "
            f"{max(source.num_masks - 1, 0)} boxes, the model "
            f"config.model.num_slots={config.model.num_slots}"
        )
    if config.data.features:
        raise UserError(
            f"config.data.features={config.data.features}: holds no boxes of its views: set "
            "config.model.video.boxes=False, or data.features to nothing"
        )
