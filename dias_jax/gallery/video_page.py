"""Videos as one HTML page that needs no other file."""

import io

import numpy as np

from dias_jax.gallery.page import table_row
from dias_jax.gallery.video_poster import describe, shown_frames
from dias_jax.gallery.video_views import views
from dias_jax.pictures.animation import save_animation
from dias_jax.pictures.overlays import colours
from dias_jax.pictures.page import picture, web_page

SIDE, GAP = 224, 4  # pixels: a view, between views
STYLE = """
.views { display: inline-block; } .views img { max-width: 100%; height: auto; display: block; }
.views figcaption { display: flex; } .views figcaption span { flex: 1; }
.slots { overflow-x: auto; } table { border-spacing: 2px; font-size: 12px; margin-top: .5rem; }
th { text-align: left; font-weight: normal; white-space: nowrap; padding-right: .6rem; }
td { width: 52px; height: 20px; text-align: center; border-radius: 2px; }
.name { display: inline-block; width: 10px; height: 10px; border-radius: 5px;
  margin-right: 6px; }
"""
INTRODUCTION = """Masks and tracks have the colour of their slot throughout, and a true mask has
that of the slot that matches it over the whole video. Tracks are where the centres of mass of
slots have been so far; the background has none. The table has a line for each slot in use: its
share of the pixels of a frame in percent, the more the stronger the colour."""


def write_video_page(path, videos, title, facts):
    """Write all Videos to one .html file; `facts`: lines of text under the title."""
    sections = [video_section(video) for video in videos]
    path.write_text(web_page(title, [*facts, INTRODUCTION], sections, STYLE), encoding="utf-8")


def video_section(video):
    """One video: what is to be said, the moving picture, then the table of slots and frames."""
    frames = [views(video, time, SIDE) for time in range(len(video.frames))]
    captions = "".join(f"<span>{name}</span>" for name in frames[0])
    moving = moving_picture([side_by_side(frame.values()) for frame in frames], video.index)
    figure = f'<figure class="views">{moving}<figcaption>{captions}</figcaption></figure>'
    return f"<h2>{describe(video)}</h2>{figure}{slot_table(video)}"


def side_by_side(pictures):
    """Pictures (H, W, 3) uint8 with gaps between them: -> (H, n * (W + GAP), 3) uint8."""
    room = ((0, 0), (0, GAP), (0, 0))
    return np.concatenate([np.pad(view, room, constant_values=255) for view in pictures], axis=1)


def moving_picture(frames, number):
    """An <img> with an animation inside: list of (H, W, 3) uint8, number of the video."""
    stream = io.BytesIO()
    stream.name = "video.webp"  # says which format is meant
    save_animation(stream, frames)
    return picture(stream.getvalue(), "webp", f"video {number}")


def slot_table(video):
    """Rows: slots in use; columns: frames, evenly spread."""
    times = shown_frames(video)
    rows = [table_row("slots over time", (f"<td>frame {time}</td>" for time in times))]
    for number, colour in enumerate(colours(len(video.slot)).tolist()):
        ground = ", background" if number == video.background else ""
        rgb = ",".join(map(str, colour))
        name = f'<i class="name" style="background:rgb({rgb})"></i>'
        cells = (share_cell(rgb, share) for share in video.share[times, number])
        rows.append(table_row(f"{name}slot {video.slot[number]}{ground}", cells))
    return f'<div class="slots"><table>{"".join(rows)}</table></div>'


def share_cell(rgb, share):
    """A cell as opaque as the root of a share of the pixels: small things can be seen, too."""
    text = f"{100 * share:.1f}" if share else ""
    return f'<td class="share" style="background:rgba({rgb},{share**0.5:.2f})">{text}</td>'
