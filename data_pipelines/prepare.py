"""Builds a data set from its publisher's files or from your own images, or verifies it.

  python -m data_pipelines.prepare NAME --data_dir=DIR
  python -m data_pipelines.prepare NAME --source=DIR --data_dir=DIR
  python -m data_pipelines.prepare NAME --source=train.lmdb --data_dir=DIR
  python -m data_pipelines.prepare folder --source=IMAGES --data_dir=DIR [--masks=MASKS] [--name=N]
  python -m data_pipelines.prepare NAME --data_dir=DIR --max_side=N
  python -m data_pipelines.prepare NAME --data_dir=DIR --verify

NAME is coco, coco_instance, coco_panoptic, voc, voc_trainaug or clevrtex, or, of videos, movi_c,
movi_d, movi_e, physion, ytvis_2019, ytvis_2021, ytvis_2022 or ytvis_hq.
Without --source it downloads the publisher's archives (COCO, VOC) or says which files to fetch and
how to lay them out.
An .lmdb file is the PyTorch reference's release (coco, voc, clevrtex), with val.lmdb beside it.
--max_side stores larger images smaller, which changes pixels and is named in every protocol.
--verify reads every record again. `shapes`, `moving_shapes` and `bouncing` are drawn on the fly and
need no preparation.

folder takes images of any format, in any sub-folders. Those of train/, validation/ (or val/) and
test/ directly below IMAGES are these splits, otherwise one image in ten is put aside for
validation, by its name. MASKS holds, under the images' names and with the suffix .png, grey or
palette pictures: 0 is the background, 1.. are objects, 255 is not annotated. A config then names
the data set by data.name=NAME ("folder", if none is given).
"""

import pathlib

from absl import flags

from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import prepared_directory
from data_pipelines.sets.clevrtex import Clevrtex
from data_pipelines.sets.coco import Coco, CocoPanoptic
from data_pipelines.sets.coco_instance import CocoInstance
from data_pipelines.sets.folder import Folder
from data_pipelines.sets.movi import MoviC, MoviD, MoviE
from data_pipelines.sets.physion import Physion
from data_pipelines.sets.voc import Voc, VocTrainaug
from data_pipelines.sets.ytvis import Ytvis2019, Ytvis2021, Ytvis2022, YtvisHq
from dias_jax import cli
from dias_jax.errors import UserError

PUBLISHED = (Coco, CocoInstance, CocoPanoptic, Voc, VocTrainaug, Clevrtex)
PUBLISHED += (MoviC, MoviD, MoviE, Physion, Ytvis2019, Ytvis2021, Ytvis2022, YtvisHq)
DATA_SETS = {cls.name: cls for cls in PUBLISHED}

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "source",
    None,
    "Directory with the publisher's files or your images, or train.lmdb; default: download.",
)
flags.DEFINE_string("data_dir", None, "Directory that the prepared data set goes to.")
flags.DEFINE_integer(
    "max_side", 0, "Store images with at most so many pixels a side; 0: as they are.", 0
)
flags.DEFINE_bool("verify", False, "Verify the prepared data set instead.")
flags.DEFINE_string("masks", None, "folder: directory of the masks; default: there are none.")
flags.DEFINE_string("name", None, 'folder: what the data set will be called; default: "folder".')


def main(argv):
    """Prepare or verify the data set named on the command line."""
    if len(argv) != 2:
        raise UserError(
            f"name one data set, for example: python -m data_pipelines.prepare coco ... (given: "
            f"{' '.join(argv[1:]) or 'none'})"
        )
    name = argv[1]
    if name in ("shapes", "moving_shapes", "bouncing"):
        raise UserError(f"{name} is drawn on the fly: there is nothing to prepare")
    if name != "folder" and (FLAGS.masks is not None or FLAGS.name is not None):
        raise UserError("--masks and --name belong to your own images: prepare folder")
    if FLAGS.verify:
        cli.require("data_dir")
        print(verify(prepared_directory(FLAGS.name or name, FLAGS.data_dir)))
        return
    print(build(_data_set(name)))


def _data_set(name):
    if name != "folder" and name not in DATA_SETS:
        raise UserError(f"unknown data set {name!r}: choose one of {', '.join(DATA_SETS)}, folder")
    cli.require("data_dir")
    data_dir = pathlib.Path(FLAGS.data_dir)
    options = {"source": FLAGS.source, "data_dir": data_dir, "max_side": FLAGS.max_side}
    if name == "folder":
        return Folder(**options, masks=FLAGS.masks, name=FLAGS.name or "folder")
    return DATA_SETS[name](**options)


if __name__ == "__main__":
    cli.run(main, takes_words=True)
