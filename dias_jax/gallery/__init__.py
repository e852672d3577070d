"""What the slots did to single scenes or videos, as one picture and one page."""

from dias_jax.evaluation.split import protocol_line
from dias_jax.gallery.page import write_page
from dias_jax.gallery.poster import draw_poster
from dias_jax.gallery.scenes import study_scenes
from dias_jax.gallery.video_page import write_video_page
from dias_jax.gallery.video_poster import animate_videos, draw_videos
from dias_jax.gallery.videos import study_videos
from dias_jax.gallery.writing import write_files
from dias_jax.pictures.animation import save_animation


def write_gallery(trained, split, out, count=16, poster=4):
    """Draw the first `count` scenes of a split: -> the paths written, the page last.

    `trained`: a TrainedModel, of images or of videos; the pictures have the first `poster` of the
    scenes, the page has all. Raises UserError where nothing can be written.
    """
    config = trained.config
    title = f"DIAS on {config.data.name}: {config.model.num_slots} slots, step {trained.step:,}"
    facts = [f"{config.evaluation.masks.capitalize()} masks. {protocol_line(config, split)}."]
    writers = video_writers if config.model.kind == "video" else scene_writers
    return write_files(out, writers(trained, split, count, poster, title, facts))


def scene_writers(trained, split, count, poster, title, facts):
    """What is drawn of images: {name of a file: function that writes it to a path}."""
    scenes = study_scenes(trained, split, count)
    return {
        "gallery.png": lambda path: draw_poster(scenes[:poster], title).save(path),
        "gallery.html": lambda path: write_page(path, scenes, title, facts),
    }


def video_writers(trained, split, count, poster, title, facts):
    """What is drawn of videos: as `scene_writers`, and an animation."""
    videos = study_videos(trained, split, count)
    return {
        "gallery.png": lambda path: draw_videos(videos[:poster], title).save(path),
        "gallery.webp": lambda path: save_animation(path, animate_videos(videos[:poster])),
        "gallery.html": lambda path: write_video_page(path, videos, title, facts),
    }
