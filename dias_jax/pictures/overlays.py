"""Pictures of what slots have found."""

import matplotlib
import numpy as np
from PIL import Image, ImageDraw

TILE = 128  # pixels, side of one picture in an overview
TITLE = 14  # pixels, height of a column's title
GAP = 2  # pixels between tiles
UNUSED = 190  # grey level of a slot that is not in use


def colours(count):
    """`count` distinct colours: (count, 3) uint8; more than 20 repeat."""
    table = np.asarray(matplotlib.colormaps["tab20"].colors)
    order = [*range(0, 20, 2), *range(1, 20, 2)]  # strong colours first
    return (table[order][np.arange(count) % 20] * 255).astype(np.uint8)


def overlay(image, segments, strength=0.6):
    """Paint segments over an image: (H, W, 3) uint8, (H, W) int -> (H, W, 3) uint8.

    Segment -1 stays unpainted; borders between segments are white.
    """
    painted = colours(segments.max() + 1)[segments] if segments.max() >= 0 else image
    mixed = (1 - strength) * image + strength * painted
    mixed = np.where(segments[..., None] < 0, image, mixed)
    border = np.zeros(segments.shape, bool)
    border[1:] |= segments[1:] != segments[:-1]
    border[:, 1:] |= segments[:, 1:] != segments[:, :-1]
    mixed[border] = 255
    return mixed.astype(np.uint8)


def spotlight(image, attention):
    """Light an image by one slot's attention: (H, W, 3) uint8, (h, w) in [0, 1] -> uint8.

    By its square root, so that a share among many slots can still be seen.
    """
    height, width = image.shape[:2]
    light = Image.fromarray((255 * np.sqrt(np.clip(attention, 0, 1))).astype(np.uint8))
    light = np.asarray(light.resize((width, height), Image.BILINEAR), np.float32) / 255
    return (image * (0.15 + 0.85 * light[..., None])).astype(np.uint8)


def overview(batch, segmentations, attention, slot_mask, count):
    """One row a sample: image, ground truth where there is any, segmentations, slots' attention.

    batch: "image" (B, H, W, 3) uint8 and perhaps "mask" (B, H, W) uint8, 1 the background;
    segmentations: {name: (B, H, W) int}; attention (B, S, h, w); slot_mask (B, S): a slot that was
    merged into another is plain grey -> PIL image of the first `count` samples.
    """
    truth = {"ground truth": batch["mask"].astype(int) - 1} if "mask" in batch else {}
    maps = truth | {name: x.astype(int) for name, x in segmentations.items()}
    rows = []
    for i, image in enumerate(batch["image"][:count]):
        slots = [
            spotlight(image, slot) if used else np.full_like(image, UNUSED)
            for slot, used in zip(attention[i], slot_mask[i])
        ]
        rows.append([image, *(overlay(image, segments[i]) for segments in maps.values()), *slots])
    titles = ["image", *maps, *(f"slot {i}" for i in range(attention.shape[1]))]
    return grid(rows, titles)


def grid(rows, titles):
    """Tiles with a title over each column: lists of (H, W, 3) uint8 -> PIL image."""
    step = TILE + GAP
    canvas = Image.new("RGB", (step * len(titles) - GAP, TITLE + step * len(rows)), "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(titles):
        draw.text((column * step + 2, 1), title, fill="black")
        for line, row in enumerate(rows):
            tile = Image.fromarray(row[column]).resize((TILE, TILE), Image.BILINEAR)
            canvas.paste(tile, (column * step, TITLE + line * step))
    return canvas
