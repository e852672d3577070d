"""Builds a data set from its publisher's own files.

  python -m data_pipelines.prepare coco --source=DIR --data_dir=DIR

`coco` expects in --source the published layout: train2017/, val2017/,
annotations/panoptic_{train,val}2017.json, annotations/panoptic_{train,val}2017/ and
panoptic_coco_categories.json. `shapes` is drawn on the fly and needs no preparation.
"""

from absl import flags

from data_pipelines import coco
from data_pipelines.pipeline import PREPARED, WITHOUT_BUILDER
from dias_jax import cli
from dias_jax.errors import UserError

FLAGS = flags.FLAGS
flags.DEFINE_string("source", None, "Directory with the publisher's files.")
flags.DEFINE_string("data_dir", None, "Directory that the prepared data set goes to.")


def main(argv):
    """Prepare the data set named on the command line."""
    if len(argv) != 2:
        raise UserError("name one data set, for example: python -m data_pipelines.prepare coco ...")
    name = argv[1]
    if name == "shapes":
        raise UserError("shapes is drawn on the fly: there is nothing to prepare")
    if name in WITHOUT_BUILDER:
        raise UserError(f"data set {name!r} cannot be prepared yet: it has no builder so far")
    if name not in PREPARED:
        raise UserError(f"unknown data set {name!r}: choose one of {', '.join(PREPARED)}")
    cli.require("source", "data_dir")
    print(coco.prepare(FLAGS.source, FLAGS.data_dir))


if __name__ == "__main__":
    cli.run(main)
