"""Draws samples of a data set, with masks if it has any: as evaluated, and in training views.

  python -m data_pipelines.preview coco --data_dir=DIR --out=FILE.png

Colours tell the masks apart; what is not annotated stays unpainted. All views of a drawn scene
(shapes) are the same: it is trained on as it is. Of a video (moving_shapes) frames are drawn.
"""

import types

from absl import flags

from data_pipelines import transforms
from data_pipelines.sample_grid import draw_samples
from dias_jax import cli
from dias_jax.errors import UserError
from dias_jax.files import appearing_file

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "data", "Directory of the prepared data sets.")
flags.DEFINE_string("out", None, "Picture to write.")
flags.DEFINE_string("split", "train", "Split to draw samples of.")
flags.DEFINE_integer("count", 6, "Samples, evenly spread over the split.", lower_bound=1)
flags.DEFINE_integer("views", 3, "Training views of each sample.", lower_bound=0)
flags.DEFINE_integer("image_size", 256, "Pixels along each side of a view.", lower_bound=1)


def main(argv):
    """Draw the data set named on the command line."""
    if len(argv) != 2:
        raise UserError(
            f"name one data set, for example: python -m data_pipelines.preview coco ... (given: "
            f"{' '.join(argv[1:]) or 'none'})"
        )
    cli.require("out")
    data_config = types.SimpleNamespace(
        name=argv[1],
        data_dir=FLAGS.data_dir,
        image_size=FLAGS.image_size,
        crop_scale=transforms.CROP_SCALE,
        flip=True,
        seed=0,
        keep_in_memory=False,
    )
    picture = draw_samples(data_config, FLAGS.split, FLAGS.count, FLAGS.views)
    try:
        with appearing_file(FLAGS.out) as path:
            picture.save(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot write {FLAGS.out} ({error}): make room, or name another .png or .jpg file"
        ) from error
    print(f"{FLAGS.out}: {FLAGS.split} split of {data_config.name}")


if __name__ == "__main__":
    cli.run(main, takes_words=True)
