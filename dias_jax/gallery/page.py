"""The same scenes as one HTML page that needs no other file."""

import io

import numpy as np
from PIL import Image

from dias_jax.gallery.scenes import large_views
from dias_jax.metrics import METRIC_TITLES
from dias_jax.pictures.overlays import colours, spotlight
from dias_jax.pictures.page import picture, web_page

STYLE = """
.views { display: flex; flex-wrap: wrap; gap: 10px; }
.views img { width: min(260px, 90vw); height: auto; image-rendering: auto; border-radius: 4px; }
.slots { overflow-x: auto; } table { border-spacing: 3px; font-size: 12px; margin-top: .5rem; }
td, th { padding: 0; text-align: left; font-weight: normal; white-space: nowrap; }
td img { width: 72px; height: 72px; display: block; border-radius: 2px; }
.merged img { opacity: .4; } .merged { color: #999; } .bar { height: 6px; border-radius: 3px; }
.gone { height: 72px; border-radius: 2px; background: #eee; }
"""
INTRODUCTION = """Every column is a slot, every row an iteration of the attention by which slots
compete for the image. Slots under one bar were found redundant after the first aggregation: the
pale ones were merged into the first, and aggregation started again from those that remain (last
row). Bars have the pure colours of the slots in the last large picture."""


def write_page(path, scenes, title, facts):
    """Write all scenes to one .html file; `facts`: lines of text under the title."""
    sections = [scene_section(scene) for scene in scenes]
    path.write_text(web_page(title, [*facts, INTRODUCTION], sections, STYLE), encoding="utf-8")


def scene_section(scene):
    """One scene: its large views, then the table of slots and iterations."""
    figures = "".join(
        f"<figure>{tag(view, name, 3)}<figcaption>{name}</figcaption></figure>"
        for name, view in large_views(scene).items()
    )
    scores = ", ".join(f"{METRIC_TITLES[name]} {value:.0f}" for name, value in scene.scores.items())
    head = f"scene {scene.index} <span>{scene.num_segments} slots own pixels; {scores}</span>"
    return f'<h2>{head}</h2><div class="views">{figures}</div>{slot_table(scene)}'


def slot_table(scene):
    """Rows: the clusters' colours, names, iterations; columns: slots."""
    sizes = np.bincount(scene.cluster, minlength=scene.num_clusters)
    kinds = ["kept" if kept else "merged" for kept in scene.is_kept]
    bars = [bar(*pair) for pair in zip(colours(scene.num_clusters), sizes)]
    names = [f"slot {slot}" if kept else "merged" for slot, kept in zip(scene.slot, scene.is_kept)]
    rows = [table_row("", bars), table_row("", map(cell, kinds, names))]
    last = "re-initialised"
    steps = [(f"iteration {t}", maps) for t, maps in enumerate(scene.attention, 1)]
    for name, maps in [*steps, (last, scene.final_attention)]:
        pictures = [
            tag(spotlight(scene.image, attention), f"slot {slot}, {name}")
            if kept or name != last
            else '<div class="gone"></div>'
            for slot, kept, attention in zip(scene.slot, scene.is_kept, maps)
        ]
        rows.append(table_row(name, map(cell, kinds, pictures)))
    return f'<div class="slots"><table>{"".join(rows)}</table></div>'


def table_row(name, cells):
    """One line of the table."""
    return f"<tr><th>{name}</th>{''.join(cells)}</tr>"


def cell(kind, content):
    """One slot's cell; `kind`: "kept" or "merged"."""
    return f'<td class="{kind}">{content}</td>'


def bar(colour, count):
    """The coloured line over the `count` slots of one cluster."""
    rgb = ",".join(map(str, colour))
    return f'<td colspan="{count}"><div class="bar" style="background:rgb({rgb})"></div></td>'


def tag(view, name, zoom=1):
    """An <img> with the picture (H, W, 3) uint8 inside; enlarged smoothly before it is packed."""
    image = Image.fromarray(view)
    image = image.resize((zoom * image.width, zoom * image.height), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return picture(stream.getvalue(), "jpeg", name)
