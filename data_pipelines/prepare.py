"""Builds a data set from its publisher's own files, or verifies a prepared one.

  python -m data_pipelines.prepare NAME --data_dir=DIR
  python -m data_pipelines.prepare NAME --source=DIR --data_dir=DIR
  python -m data_pipelines.prepare NAME --source=train.lmdb --data_dir=DIR
  python -m data_pipelines.prepare folder --source=DIR --data_dir=DIR --masks=DIR --name=NAME
  python -m data_pipelines.prepare NAME --data_dir=DIR --max_side=N
  python -m data_pipelines.prepare NAME --data_dir=DIR --verify

NAME is coco, coco_panoptic, voc, voc_trainaug or clevrtex. Without --source it downloads the
publisher's archives (COCO, VOC) or says which files to fetch and how to lay them out. An .lmdb file
is the PyTorch reference's release (coco, voc, clevrtex), with val.lmdb beside it. `folder` is a
folder of your own images, with or without masks, and becomes the data set --name: see
data_pipelines/sets/folder.py. --max_side stores larger images smaller, which changes pixels and is
named in every protocol. --verify reads every record of any prepared data set again. `shapes` is
drawn on the fly and needs no preparation.
"""

import pathlib

from absl import flags

from data_pipelines.building.builder import build
from data_pipelines.building.verify import verify
from data_pipelines.records import prepared_directory
from data_pipelines.sets.clevrtex import Clevrtex
from data_pipelines.sets.coco import Coco, CocoPanoptic
from data_pipelines.sets.folder import Folder
from data_pipelines.sets.voc import Voc, VocTrainaug
from dias_jax import cli
from dias_jax.errors import UserError

DATA_SETS = {cls.name: cls for cls in (Coco, CocoPanoptic, Voc, VocTrainaug, Clevrtex, Folder)}

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "source", None, "Directory with the publisher's files, or train.lmdb; default: download."
)
flags.DEFINE_string("masks", None, "Directory with the masks of a folder; default: no masks.")
flags.DEFINE_string("name", None, 'What a folder will be called; default: "folder".')
flags.DEFINE_string("data_dir", None, "Directory that the prepared data set goes to.")
flags.DEFINE_integer(
    "max_side", 0, "Store images with at most so many pixels a side; 0: as published.", 0
)
flags.DEFINE_bool("verify", False, "Verify the prepared data set instead.")


def main(argv):
    """Prepare or verify the data set named on the command line."""
    if len(argv) != 2:
        raise UserError("name one data set, for example: python -m data_pipelines.prepare coco ...")
    name = argv[1]
    if name == "shapes":
        raise UserError("shapes is drawn on the fly: there is nothing to prepare")
    options = {key: FLAGS[key].value for key in ("masks", "name") if FLAGS[key].value is not None}
    if options and name != "folder":
        raise UserError(f"--{min(options)} is for your own images: prepare folder, not {name}")
    if FLAGS.verify:
        cli.require("data_dir")
        print(verify(prepared_directory(options.get("name", name), FLAGS.data_dir)))
        return
    if name not in DATA_SETS:
        raise UserError(f"unknown data set {name!r}: choose one of {', '.join(DATA_SETS)}")
    cli.require("data_dir")
    options |= {"source": FLAGS.source, "max_side": FLAGS.max_side}
    print(build(DATA_SETS[name](data_dir=pathlib.Path(FLAGS.data_dir), **options)))


if __name__ == "__main__":
    cli.run(main)
