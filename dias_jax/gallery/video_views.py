"""A frame of a video as the gallery shows it: as it is, with masks, and with the way of slots."""

import numpy as np
from PIL import Image, ImageDraw

from dias_jax.pictures.overlays import colours, overlay

FINE = 3  # lines are drawn so many times as large, so that they become smooth
DIM = 0.4  # what is left of the frame behind tracks
LINE, DOT = 1 / 64, 1 / 28  # width of a trail and radius of its end, in sides of the picture


def views(video, time, side):
    """Pictures of a frame: {name: (side, side, 3) uint8}; a slot keeps its colour."""
    frame = video.frames[time]
    pictures = {"frame": frame}
    if video.truth is not None:
        pictures["ground truth"] = overlay(frame, video.truth[time])
    pictures["prediction"] = overlay(frame, video.prediction[time])
    pictures = {name: np.asarray(resized(picture, side)) for name, picture in pictures.items()}
    return pictures | {"tracks": draw_tracks(video, time, side)}


def resized(picture, side):
    """(H, W, 3) uint8 -> PIL image, square."""
    return Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)


def draw_tracks(video, time, side):
    """The dimmed frame, and where slots have been so far, without the background's: -> uint8."""
    large = FINE * side
    picture = resized((DIM * video.frames[time]).astype(np.uint8), large)
    for number, colour in enumerate(colours(len(video.slot)).tolist()):
        if number != video.background:
            draw_trail(picture, large * video.centre[: time + 1, number], tuple(colour))
    return np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))


def draw_trail(picture, places, colour):
    """A line through places (F, 2) in pixels, with gaps where they are NaN; a dot on the last."""
    draw, side = ImageDraw.Draw(picture), picture.width
    is_seen = np.isfinite(places).all(1)
    for start in np.flatnonzero(is_seen[1:] & is_seen[:-1]):
        draw.line(places[start : start + 2].ravel().tolist(), colour, round(LINE * side))
    for place in places[is_seen]:  # also where lines bend, and where nothing leads
        draw_dot(draw, place, LINE / 2 * side, colour)
    if is_seen[-1]:
        draw_dot(draw, places[-1], DOT * side, "white")
        draw_dot(draw, places[-1], 0.75 * DOT * side, colour)


def draw_dot(draw, place, radius, colour):
    """A disc around a place (2,)."""
    draw.ellipse((*(place - radius), *(place + radius)), colour)
