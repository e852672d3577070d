"""Slots of a whole split into files: python -m dias_jax.extract --split=train --out=DIR.

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
"""

from absl import flags

from dias_jax.cli import require
from dias_jax.downstream.regions import REPRESENTATIONS
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.split import open_evaluation
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.runs.trained_model import check_discovers
from dias_jax.segmentation import MASKS

SPLIT = flags.DEFINE_string("split", None, "split whose images are taken")
OUT = flags.DEFINE_string("out", None, "folder for the slots of all splits of one model")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
OF_WHOM = flags.DEFINE_enum(
    "masks", "aggregator", MASKS, "whose masks are matched with things; aggregator: as released"
)
REPRESENTATION = flags.DEFINE_enum(
    "representation", "slots", list(REPRESENTATIONS), "what is written as slots"
)
VIEWS = flags.DEFINE_integer("views", 0, "random training views of each image; 0: as evaluated", 0)


def main(arguments):
    """Extract and say where."""
    require("split", "out")
    check_discovers(flags.FLAGS.config, flags.FLAGS.workdir)
    open_evaluation(flags.FLAGS.config, SPLIT.value)  # what is wrong shows before the model loads
    folder = extract_split(
        open_model(CHECKPOINT.value),
        SPLIT.value,
        OUT.value,
        OF_WHOM.value,
        REPRESENTATION.value,
        VIEWS.value,
        flags.FLAGS.workdir or flags.FLAGS.model,
    )
    print(f"slots in {folder}")


if __name__ == "__main__":
    run_on_model(main)
