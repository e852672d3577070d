"""Slots, or features, in files: python -m dias_jax.extract --split=train --out=DIR.

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME.
DIR/train/*.array_record get of every image its slots, which of them are in use, the slot that has
found each thing (Hungarian matching of masks) with its IoU, and class and box of every thing;
DIR/train/cache.json says what they were made of. Images are seen as in an evaluation, once each,
or, with --views=4, in so many random views of training. Of videos every frame is an image, and
--config.evaluation.clip_frames=5 cuts them. The same command goes on where it was stopped; slots of
another model are not mixed with these. --representation= has what slots are compared with: boxes
(only where a slot's mask lies), true_masks (the mean feature of every thing), k_means (of as many
clusters as there are slots) and, of bouncing only, true_states (where things are). What is trained
on slots takes all of them in one way: python -m dias_jax.train --config=recognition_shapes.
--with_features adds the frozen features of every image or frame, as bfloat16: what a prediction
with config.rollout.features_weight is compared with.

With --features these are the frozen backbone's, of an experiment, of train and the split that is
evaluated, as bfloat16; training then takes them from there instead of computing them:

python -m dias_jax.extract --features --config=coco --out=features/coco --config.data.views=4
python -m dias_jax.train --config=coco --workdir=runs/coco --config.data.features=features/coco
"""

from absl import flags

from data_pipelines.sources import check_kind
from dias_jax import cli, devices
from dias_jax.config.checks import check_config
from dias_jax.config.experiments import define_config_flag
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.errors import UserError
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.features import extract_features
from dias_jax.evaluation.split import open_evaluation
from dias_jax.feature_cache import describe
from dias_jax.runs.flags import define_model_flags, open_model
from dias_jax.runs.trained_model import check_discovers
from dias_jax.segmentation import MASKS

SPLIT = flags.DEFINE_string("split", None, "split whose images are taken")
OUT = flags.DEFINE_string("out", None, "folder for all splits of one model or backbone")
FEATURES = flags.DEFINE_bool("features", False, "those of the backbone of --config, not slots")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
OF_WHOM = flags.DEFINE_enum(
    "masks", "aggregator", MASKS, "whose masks are matched with things; aggregator: as released"
)
REPRESENTATION = flags.DEFINE_enum(
    "representation", "slots", list(REPRESENTATIONS), "what is written as slots"
)
WITH_FEATURES = flags.DEFINE_bool("with_features", False, "the frozen features beside the slots")
VIEWS = flags.DEFINE_integer("views", 0, "random training views of each image; 0: as evaluated", 0)


def define_flags(arguments):
    """--config of an experiment, for features; otherwise the flags that name a trained model."""
    named = cli.read_early(arguments, config=None)["config"]
    return define_model_flags(arguments) if named is None else define_config_flag(arguments)


def main(arguments):
    """Extract and say where."""
    cli.require("out")
    if FEATURES.value and "workdir" in flags.FLAGS:
        raise UserError("--config is missing: the experiment whose backbone has the features")
    if FEATURES.value:
        write_features(flags.FLAGS.config)
    elif "workdir" in flags.FLAGS:
        write_slots(flags.FLAGS.config)
    else:
        raise UserError("--config=NAME is of --features; slots are of --workdir or --model")


def write_features(config):
    """Features of the backbone of a config."""
    if WITH_FEATURES.value:
        raise UserError("--with_features is of slots: leave it out")
    if VIEWS.value:
        raise UserError(f"--views is of slots; of features --config.data.views={VIEWS.value}")
    check_config(config)
    check_kind(config.data, config.model.kind)
    devices.warn_of_unused_gpu()
    splits = [SPLIT.value] if SPLIT.value else ["train", config.evaluation.split]
    for split in splits:
        describe(config, split)  # what is wrong shows before hours of work
    for split in splits:
        print(f"features in {extract_features(config, split, OUT.value)}")


def write_slots(config):
    """Slots of the model that --workdir or --model names."""
    cli.require("split")
    check_discovers(config, flags.FLAGS.workdir)
    open_evaluation(config, SPLIT.value)  # what is wrong shows before the model loads
    folder = extract_split(
        open_model(CHECKPOINT.value),
        SPLIT.value,
        OUT.value,
        OF_WHOM.value,
        REPRESENTATION.value,
        VIEWS.value,
        flags.FLAGS.workdir or flags.FLAGS.model,
        WITH_FEATURES.value,
    )
    print(f"slots in {folder}")


if __name__ == "__main__":
    cli.run(main, define_flags)
