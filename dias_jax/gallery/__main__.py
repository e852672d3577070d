"""What the slots did to held-out scenes or videos: python -m dias_jax.gallery --out=DIR.

Writes gallery.png (a few scenes, for a talk) and gallery.html (more of them, one file): image,
ground truth, prediction, and one column a slot with its attention over the iterations of the first
aggregation and in the re-initialised one. Slots merged into another are pale and stand behind it.

Of a video model the picture has evenly spread frames, and tracks: where the centres of mass of the
slots have been. Then there is gallery.webp, the same videos moving, and the page shows each of its
videos moving, with the share of every slot over time.

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME.
"""

from absl import flags

from dias_jax.cli import require
from dias_jax.gallery import write_gallery
from dias_jax.runs.flags import open_model, run_on_model

OUT = flags.DEFINE_string(
    "out", None, "directory for gallery.png and gallery.html, of videos gallery.webp"
)
SPLIT = flags.DEFINE_string("split", None, "split these come from; default: the config's")
COUNT = flags.DEFINE_integer("count", 16, "scenes or videos in gallery.html", 1)
POSTER = flags.DEFINE_integer("poster", 4, "of these in the other files, the first", 1)


def main(arguments):
    """Open the model and draw."""
    require("out")
    trained = open_model()
    split = SPLIT.value or trained.config.evaluation.split
    paths = write_gallery(trained, split, OUT.value, COUNT.value, POSTER.value)
    print(*paths, sep="\n")


if __name__ == "__main__":
    run_on_model(main)
