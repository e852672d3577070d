"""One picture of several scenes and what every slot did in them."""

from PIL import Image, ImageDraw, ImageFont

from dias_jax.gallery.scenes import large_views
from dias_jax.pictures.overlays import colours, spotlight

TILE, GAP, TEXT = 76, 3, 17  # pixels: one slot's attention, between tiles, height of a line
LABELS = 92  # pixels, width of the names of the iterations
MARGIN = 14  # pixels, around everything
MERGED = 0.35  # how much of a merged slot's tile is left of white
INK, PALE = (30, 30, 30), (150, 150, 150)


def draw_poster(scenes, title):
    """A block a scene under a title: list of Scenes, str -> PIL image."""
    return stack_blocks([draw_scene(scene) for scene in scenes], title)


def stack_blocks(blocks, title):
    """Pictures below each other under a title: list of PIL images, str -> PIL image."""
    font = ImageFont.load_default(18)
    widths = [int(font.getlength(title)) + 1, *(block.width for block in blocks)]
    head = MARGIN + 2 * TEXT
    height = head + sum(block.height + MARGIN for block in blocks)
    poster = Image.new("RGB", (max(widths) + 2 * MARGIN, height), "white")
    ImageDraw.Draw(poster).text((MARGIN, MARGIN - 2), title, INK, font)
    top = head
    for block in blocks:
        poster.paste(block, (MARGIN, top))
        top += block.height + MARGIN
    return poster


def draw_scene(scene):
    """The large views; then a column a slot, a row an iteration: -> PIL image."""
    views, num_rows, num_slots = large_views(scene), len(scene.attention) + 1, len(scene.cluster)
    body = num_rows * (TILE + GAP) - GAP
    left = len(views) * (body + GAP) + LABELS
    block = Image.new("RGB", (left + num_slots * (TILE + GAP), 2 * TEXT + body), "white")
    for number, (name, view) in enumerate(views.items()):
        paste(block, view, (number * (body + GAP), 2 * TEXT), body, name)
    rows = [*(f"iteration {t + 1}" for t in range(num_rows - 1)), "re-initialised"]
    write = ImageDraw.Draw(block).text
    for row, name in enumerate(rows):
        place = (left - LABELS + 6, 2 * TEXT + row * (TILE + GAP) + TILE // 2 - 8)
        write(place, name, INK, ImageFont.load_default(12))
    for slot in range(num_slots):
        draw_slot(block, scene, slot, left + slot * (TILE + GAP))
    return block


def draw_slot(block, scene, slot, x):
    """One slot's column: its cluster's colour, then its attention from top to bottom."""
    colour = tuple(int(c) for c in colours(scene.num_clusters)[scene.cluster[slot]])
    draw, is_kept = ImageDraw.Draw(block), scene.is_kept[slot]
    draw.rectangle((x, TEXT + 3, x + TILE - 1, 2 * TEXT - 4), colour)
    if not is_kept:  # the bar goes on over all slots of a cluster
        draw.rectangle((x - GAP, TEXT + 3, x, 2 * TEXT - 4), colour)
    name = f"slot {scene.slot[slot]}" if is_kept else "merged"
    draw.text((x, 0), name, INK if is_kept else PALE, ImageFont.load_default(12))
    maps = [*scene.attention[:, slot], scene.final_attention[slot] if is_kept else None]
    for row, attention in enumerate(maps):
        top = 2 * TEXT + row * (TILE + GAP)
        if attention is None:
            draw.rectangle((x, top, x + TILE - 1, top + TILE - 1), (236, 236, 236))
            draw.line((x + 8, top + TILE - 9, x + TILE - 9, top + 8), PALE, 2)
            continue
        tile = Image.fromarray(spotlight(scene.image, attention)).resize((TILE, TILE))
        if not is_kept:
            tile = Image.blend(Image.new("RGB", tile.size, "white"), tile, 1 - MERGED)
        block.paste(tile, (x, top))


def paste(block, view, place, side, name):
    """A large view with its name above it."""
    block.paste(Image.fromarray(view).resize((side, side), Image.Resampling.BICUBIC), place)
    ImageDraw.Draw(block).text((place[0], place[1] - TEXT), name, INK, ImageFont.load_default(13))
