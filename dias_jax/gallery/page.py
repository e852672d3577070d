"""The same scenes as one HTML page that needs no other file."""

import base64
import html
import io

import numpy as np
from PIL import Image

from dias_jax.gallery.scenes import large_views
from dias_jax.pictures import colours, spotlight

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 1500px;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } p { max-width: 60rem; }
section { border-top: 1px solid #ddd; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; } h2 span { color: #777; font-weight: normal; }
.views { display: flex; gap: 10px; } figure { margin: 0; } figcaption { color: #777; }
.views img { width: 260px; height: 260px; image-rendering: auto; border-radius: 4px; }
.slots { display: grid; gap: 3px; overflow-x: auto; margin-top: .6rem; align-items: center;
  font-size: 12px; }
.slots img { width: 72px; height: 72px; display: block; border-radius: 2px; }
.merged img { opacity: .4; } .merged { color: #999; }
.bar { height: 6px; border-radius: 3px; }
.gone { height: 72px; border-radius: 2px;
  background: repeating-linear-gradient(135deg, #eee 0 6px, #f8f8f8 6px 12px); }
"""
NAMES = {"ari": "ARI", "fg_ari": "FG-ARI", "mbo": "mBO", "miou": "mIoU"}
INTRODUCTION = """Every column is a slot, every row an iteration of the attention by which slots
compete for the image. Slots under one bar were found redundant after the first aggregation: the
pale ones were merged into the first, and aggregation started again from those that remain (last
row). Colours are those of the prediction."""


def write_page(path, scenes, title, facts):
    """Write all scenes to one .html file; `facts`: lines of text under the title."""
    parts = [f"<h1>{html.escape(title)}</h1>"]
    parts += [f"<p>{html.escape(fact)}</p>" for fact in [*facts, INTRODUCTION]]
    parts += [scene_section(scene) for scene in scenes]
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )
    path.write_text(page, encoding="utf-8")


def scene_section(scene):
    """One scene: three large views, then the grid of slots and iterations."""
    figures = "".join(
        f"<figure>{tag(view, name, 3)}<figcaption>{name}</figcaption></figure>"
        for name, view in large_views(scene).items()
    )
    scores = ", ".join(f"{NAMES[name]} {value:.0f}" for name, value in scene.scores.items())
    head = f"scene {scene.index} <span>{scene.num_clusters} slots in use; {scores}</span>"
    return f'<section><h2>{head}</h2><div class="views">{figures}</div>{slot_grid(scene)}</section>'


def slot_grid(scene):
    """Rows: the clusters' colours, names, iterations; columns: slots."""
    num_slots, num_clusters = len(scene.cluster), scene.num_clusters
    sizes = np.bincount(scene.cluster, minlength=num_clusters)
    kinds = ["kept" if kept else "merged" for kept in scene.is_kept]
    cells = ["<span></span>"] + [bar(*pair) for pair in zip(colours(num_clusters), sizes)]
    cells.append("<span></span>")
    for slot, kind in enumerate(kinds, 1):
        name = f"slot {slot}" if kind == "kept" else "merged"
        cells.append(f'<span class="{kind}">{name}</span>')
    for iteration, maps in enumerate(scene.attention, 1):
        cells.append(f"<span>iteration {iteration}</span>")
        for slot, (kind, attention) in enumerate(zip(kinds, maps), 1):
            picture = tag(spotlight(scene.image, attention), f"slot {slot}, iteration {iteration}")
            cells.append(f'<div class="{kind}">{picture}</div>')
    cells.append("<span>re-initialised</span>")
    for slot, (kind, attention) in enumerate(zip(kinds, scene.final_attention), 1):
        picture = tag(spotlight(scene.image, attention), f"slot {slot}, re-initialised")
        cells.append(picture if kind == "kept" else '<div class="gone"></div>')
    columns = f"grid-template-columns:6rem repeat({num_slots}, 72px)"
    return f'<div class="slots" style="{columns}">{"".join(cells)}</div>'


def bar(colour, count):
    """The coloured line over the `count` slots of one cluster."""
    rgb = ",".join(map(str, colour))
    return f'<div class="bar" style="grid-column:span {count};background:rgb({rgb})"></div>'


def tag(view, name, zoom=1):
    """An <img> with the picture (H, W, 3) uint8 inside; enlarged smoothly before it is packed."""
    picture = Image.fromarray(view)
    picture = picture.resize(
        (zoom * picture.width, zoom * picture.height), Image.Resampling.BICUBIC
    )
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=85)
    data = base64.b64encode(stream.getvalue()).decode()
    name = html.escape(name)
    return f'<img alt="{name}" title="{name}" src="data:image/jpeg;base64,{data}">'
