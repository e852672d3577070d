"""What the slots did to single scenes, as one picture and one page."""

import pathlib

from dias_jax.errors import UserError
from dias_jax.evaluation.split import protocol_line
from dias_jax.files import appearing_file
from dias_jax.gallery.page import write_page
from dias_jax.gallery.poster import draw_poster
from dias_jax.gallery.scenes import study_scenes


def write_gallery(trained, split, out, count=16, poster=4):
    """Draw the first `count` scenes of a split: -> the paths of gallery.png and gallery.html.

    `trained`: a TrainedModel; the picture has the first `poster` of the scenes. Raises UserError
    where nothing can be written.
    """
    out, scenes = pathlib.Path(out), study_scenes(trained, split, count)
    config = trained.config
    title = f"DIAS on {config.data.name}: {config.model.num_slots} slots, step {trained.step:,}"
    picture, page = out / "gallery.png", out / "gallery.html"
    facts = [f"{config.evaluation.masks.capitalize()} masks. {protocol_line(config, split)}."]
    try:
        with appearing_file(picture) as path:
            draw_poster(scenes[:poster], title).save(path)
        with appearing_file(page) as path:
            write_page(path, scenes, title, facts)
    except OSError as error:
        raise UserError(
            f"cannot write {out} ({error.strerror or error}): make room, or name another directory"
        ) from error
    return picture, page
