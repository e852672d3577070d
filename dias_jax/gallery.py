"""What the slots did to held-out scenes: python -m dias_jax.gallery --out=DIR.

Writes gallery.png (a few scenes, for a talk) and gallery.html (more of them, one file): image,
ground truth, prediction, and one column a slot with its attention over the iterations of the first
aggregation and in the re-initialised one. Slots merged into another are pale and stand behind it.
With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME.
"""

import pathlib

from absl import flags

from dias_jax.cli import open_model, require, run
from dias_jax.evaluation import protocol
from dias_jax.page import write_page
from dias_jax.poster import draw_poster
from dias_jax.scenes import study_scenes

OUT = flags.DEFINE_string("out", None, "directory for gallery.png and gallery.html")
SPLIT = flags.DEFINE_string("split", "test", "split the scenes come from")
COUNT = flags.DEFINE_integer("count", 16, "scenes in gallery.html", 1)
POSTER = flags.DEFINE_integer("poster", 4, "scenes in gallery.png, the first of these", 1)


def write_gallery(trained, split, out, count, poster):
    """Draw the first `count` scenes of a split: -> the paths of gallery.png and gallery.html."""
    out = pathlib.Path(out)
    out.mkdir(parents=True, exist_ok=True)
    scenes = study_scenes(trained, split, count)
    config = trained.config
    title = f"DIAS on {config.data.name}: {config.model.num_slots} slots, step {trained.step:,}"
    picture, page = out / "gallery.png", out / "gallery.html"
    draw_poster(scenes[:poster], title).save(picture)
    facts = [f"{config.evaluation.best.capitalize()} masks. {protocol(config, split)}."]
    write_page(page, scenes, title, facts)
    return picture, page


def main(arguments):
    """Open the model and draw."""
    require("out")
    paths = write_gallery(open_model(), SPLIT.value, OUT.value, COUNT.value, POSTER.value)
    print(*paths, sep="\n")


if __name__ == "__main__":
    run(main, on_a_run=True)
