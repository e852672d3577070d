"""What the slots did to single scenes, as one picture and one page."""

import pathlib

from dias_jax.evaluation.split import protocol_line
from dias_jax.gallery.page import write_page
from dias_jax.gallery.poster import draw_poster
from dias_jax.gallery.scenes import study_scenes


def write_gallery(trained, split, out, count=16, poster=4):
    """Draw the first `count` scenes of a split: -> the paths of gallery.png and gallery.html.

    `trained`: a TrainedModel; the picture has the first `poster` of the scenes.
    """
    out, scenes = pathlib.Path(out), study_scenes(trained, split, count)
    out.mkdir(parents=True, exist_ok=True)
    config = trained.config
    title = f"DIAS on {config.data.name}: {config.model.num_slots} slots, step {trained.step:,}"
    picture, page = out / "gallery.png", out / "gallery.html"
    draw_poster(scenes[:poster], title).save(picture)
    facts = [f"{config.evaluation.masks.capitalize()} masks. {protocol_line(config, split)}."]
    write_page(page, scenes, title, facts)
    return picture, page
