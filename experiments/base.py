"""Every key of an experiment, with the published DIAS recipe as the default.

An experiment file changes what differs. Any key can be changed on the command line:
--config.optimizer.learning_rate=1e-4
"""

from ml_collections import ConfigDict


def get_config():
    """The paper's image model: 256-pixel images, DINOv2 ViT-S/14, 7 slots, 100k steps."""
    config = ConfigDict()
    config.seed = 42  # of initial parameters, order of samples, views and sampled slots
    config.steps = 100_000  # optimiser steps
    config.batch_size = 32  # samples a step, over all devices and hosts
    config.accumulation = 1  # equal parts in which each device takes its share of the batch
    config.log_every = 100  # steps between log lines; the only ones that wait for the device

    config.data = ConfigDict()
    config.data.name = "coco"  # shapes, coco, coco_panoptic, voc, voc_trainaug, clevrtex
    config.data.data_dir = "data"  # where `python -m data_pipelines.prepare` has put the data
    config.data.image_size = 256  # pixels, square
    config.data.crop_scale = (0.75, 1.0)  # area of a training crop / the largest square's
    config.data.flip = True  # mirror half of the training views
    config.data.seed = 0  # of procedurally drawn data sets
    config.data.skip_damaged = True  # the next readable training sample replaces an unreadable one
    config.data.threads = 4  # that read and decode, per host
    config.data.keep_in_memory = False  # samples once read; all scenes of shapes take 2 GB

    config.model = ConfigDict()
    config.model.dtype = "float32"  # of computation, or bfloat16; parameters stay float32
    config.model.num_slots = 7  # S
    config.model.slot_width = 256  # D
    config.model.num_iterations = 3  # T
    config.model.initializer = "shared"  # one Gaussian for all slots, or "separate"
    config.model.token_stride = 1  # train on one random token of every stride x stride cell
    config.model.bilevel = False  # bi-level gradient to the initial slots; not with distillation

    config.model.backbone = ConfigDict()
    config.model.backbone.name = "dinov2_vits14_reg4"  # or vitb14, vitl14, without _reg4;
    # or "vision_transformer" of the sizes below; or "patch_colours", which needs no weights
    config.model.backbone.weights = "dinov2_vits14_reg4.safetensors"  # file, or "random"
    config.model.backbone.input_scale = 0.875  # bicubic resize first: 256 -> 224 pixels
    config.model.backbone.position_grid = 37  # side of the stored grid; not of patch_colours
    config.model.backbone.width = 32  # C; like the others below not of dinov2_*
    config.model.backbone.patch_size = 8  # pixels
    config.model.backbone.depth = 12  # blocks; this and the others of vision_transformer only
    config.model.backbone.heads = 4
    config.model.backbone.num_registers = 4

    config.model.reinit = ConfigDict()  # threshold 0 and no iteration: the released model
    config.model.reinit.threshold = 0.12  # slots of smaller 1 - cosine merge; SOLV's value
    config.model.reinit.min_clusters = 3  # nothing merges where fewer would remain
    config.model.reinit.num_iterations = 1  # of the aggregation from the merged slots
    config.model.reinit.probability = 1.0  # that a training step merges; evaluation always does
    config.model.reinit.probability_rise = 1.0  # of the steps, half a cosine from 0; 0: at once
    config.model.reinit.per_sample = False  # draw for each sample instead of each step

    config.model.decoder = ConfigDict()
    config.model.decoder.num_tokens = 256  # N, tokens the backbone gives
    config.model.decoder.num_layers = 4
    config.model.decoder.heads = 4
    config.model.decoder.uniform_probability = 0.5  # chance of a uniform number of visible tokens
    config.model.decoder.fixed_visible = 24  # their number otherwise; int(0.1 * 256) - 1
    config.model.decoder.evaluation_sees_tokens = True  # all tokens, or none, in evaluation

    config.loss = ConfigDict()
    config.loss.distillation = "released"  # or "cross_entropy", the textbook form
    config.loss.distillation_teacher = "first"  # aggregation whose last iteration teaches, or
    # "last": that of the re-initialised one, attention of merged slots summed
    config.loss.distillation_weight = 1.0  # reached by half a cosine from 0; 0: off

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 2e-4  # peak of Adam's; in proportion to the batch size
    config.optimizer.warmup_fraction = 0.05  # of the steps, linear from 0
    config.optimizer.final_fraction = 1e-3  # of the peak, reached by half a cosine
    config.optimizer.clip_norm = 1.0  # global norm of the gradient

    config.evaluation = ConfigDict()
    config.evaluation.every = 2_500  # steps between evaluations, which also save a checkpoint
    config.evaluation.split = "validation"
    config.evaluation.batch_size = 32  # over all devices and hosts
    config.evaluation.limit = 0  # evaluate on the first so many samples; 0: all
    config.evaluation.best = "decoder"  # masks whose metrics decide the best checkpoint
    config.evaluation.pictures = 8  # samples drawn into images/step_*.png
    return config.lock()


def released(config):
    """The released model: nothing is merged and nothing is aggregated again."""
    config.model.reinit.threshold = 0.0
    config.model.reinit.num_iterations = 0
    return config


def complete(values):
    """The config of stored values (a nested dict); keys younger than these take their default."""
    config = get_config().unlock()
    config.update(values)
    return config.lock()
