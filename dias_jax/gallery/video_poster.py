"""Several videos as one picture, and as one that moves."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dias_jax.gallery.poster import GAP, INK, LABELS, TEXT, stack_blocks
from dias_jax.gallery.video_views import views
from dias_jax.pictures.strips import spread_frames

TILE = 128  # pixels, side of a frame
TITLES = {"frame": "frames"}  # of rows, where the view has another name
WORDS = {
    "mbo": "video mBO {:.1f}",
    "frame_mbo": "frame mBO {:.1f}",
    "consistency": "track consistency {:.1f}",
    "switches": "{:.1f} ID switches per 100",
}


def draw_videos(videos, title):
    """A strip a video under a title: list of Videos, str -> PIL image."""
    return stack_blocks([draw_strip(video) for video in videos], title)


def draw_strip(video):
    """A column a frame, evenly spread, and a line of text below: -> PIL image."""
    times, text, font = shown_frames(video), describe(video), ImageFont.load_default(13)
    table = draw_columns([views(video, time, TILE) for time in times])
    width = max(table.width, int(font.getlength(text)) + 1)
    block = Image.new("RGB", (width, table.height + 3 * TEXT), "white")
    write = ImageDraw.Draw(block).text
    for column, time in enumerate(times):
        place = (LABELS + column * (TILE + GAP), 0)
        write(place, f"frame {time}", INK, ImageFont.load_default(12))
    block.paste(table, (0, TEXT))
    write((0, TEXT + table.height + 4), text, INK, font)
    return block


def shown_frames(video):
    """Numbers of the frames that stand for a video, evenly spread: -> (n,) int."""
    return spread_frames(np.ones(len(video.frames), bool))


def describe(video):
    """What there is to say of a video, in a line."""
    scores = [WORDS[name].format(video.scores[name]) for name in WORDS if name in video.scores]
    parts = [f"video {video.index}: {len(video.slot)} slots in use", *scores]
    if video.events is not None:
        parts.append(f"events: {', '.join(video.events) or 'none'}")
    return "; ".join(parts)


def draw_columns(columns):
    """Views below each other, with their names beside them: list of {name: uint8} -> PIL image."""
    names, step = list(columns[0]), TILE + GAP
    table = Image.new("RGB", (LABELS + len(columns) * step - GAP, len(names) * step - GAP), "white")
    for row, name in enumerate(names):
        place = (0, row * step + TILE // 2 - 8)
        name_of_row = TITLES.get(name, name)
        ImageDraw.Draw(table).text(place, name_of_row, INK, ImageFont.load_default(13))
        for number, column in enumerate(columns):
            table.paste(Image.fromarray(column[name]), (LABELS + number * step, row * step))
    return table


def animate_videos(videos):
    """A column a video, all at once: -> frames, list of (H, W, 3) uint8. Short ones wait."""
    times = range(max(len(video.frames) for video in videos))
    return [np.asarray(draw_columns([still(video, time) for video in videos])) for time in times]


def still(video, time):
    """The views of a frame but for its tracks; after the last frame those of the last."""
    pictures = views(video, min(time, len(video.frames) - 1), TILE)
    return {name: picture for name, picture in pictures.items() if name != "tracks"}
