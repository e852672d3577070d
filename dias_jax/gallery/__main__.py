"""What the slots did to held-out scenes or videos: python -m dias_jax.gallery --out=DIR.

Writes gallery.png (a few scenes, for a talk) and gallery.html (more of them, one file): image,
ground truth, prediction, and one column a slot with its attention over the iterations of the first
aggregation and in the re-initialised one. Slots merged into another are pale and stand behind it.

Of a video model the picture has evenly spread frames, and tracks: where the centres of mass of the
slots have been. Then there is gallery.webp, the same videos moving, and the page shows each of its
videos moving, with the share of every slot over time.

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME.

Of the run of a probe (recognition_shapes) there are index.html and confusion.png: its classes, what
it takes for what, and things it was right and wrong about, with the masks of their slots. --split=
names a split of its slots, --count= how many wrong and right things. Of the run of a prediction
(prediction_bouncing) there are futures.png and futures.webp: --poster= videos, what became of them,
and what was expected.
"""

from absl import flags

from dias_jax.cli import require
from dias_jax.errors import UserError
from dias_jax.gallery import write_gallery
from dias_jax.gallery.futures import write_futures
from dias_jax.gallery.probe import write_probe_report
from dias_jax.runs.flags import open_model, run_on_model

OUT = flags.DEFINE_string(
    "out", None, "directory for gallery.png and gallery.html, or what is said above"
)
SPLIT = flags.DEFINE_string("split", None, "split these come from; default: the config's")
COUNT = flags.DEFINE_integer("count", 16, "scenes or videos in gallery.html", 1)
POSTER = flags.DEFINE_integer("poster", 4, "of these in the other files, the first", 1)


def main(arguments):
    """Open the model and draw."""
    require("out")
    config = flags.FLAGS.config
    split = SPLIT.value or config.evaluation.split
    if config.task in ("properties", "reasoning"):
        raise UserError(f"config.task={config.task} has no gallery: evaluate prints what it finds")
    if config.task == "prediction":
        paths = write_futures(config, flags.FLAGS.workdir, split, OUT.value, POSTER.value)
    elif config.task == "recognition":
        paths = write_probe_report(config, flags.FLAGS.workdir, split, OUT.value, COUNT.value)
    else:
        paths = write_gallery(open_model(), split, OUT.value, COUNT.value, POSTER.value)
    print(*paths, sep="\n")


if __name__ == "__main__":
    run_on_model(main)
