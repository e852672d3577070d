"""Frames of a video side by side: as they are, with the truth, and with what slots have found."""

import numpy as np

from dias_jax.pictures.overlays import grid, overlay

COLUMNS = 8  # frames of a video that are shown, evenly spread


def spread_frames(valid, count=COLUMNS):
    """Numbers of at most `count` frames, evenly spread over the valid ones: (F,) bool -> (n,)."""
    length = int(valid.sum())
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(int))


def draw_strips(videos, truth, found, valid, count):
    """Three rows a video, of the first `count` videos: -> PIL image.

    videos (B, F, H, W, 3) uint8; truth (B, F, H, W) uint8 index maps, 1 the background, or None;
    found (B, F, H, W) int slot indices; valid (B, F) bool, False for frames that only fill. Colours
    stay with a slot, and with a thing.
    """
    rows, titles = [], []
    for i in range(count):
        times = spread_frames(valid[i])
        titles = max(titles, [f"frame {time}" for time in times], key=len)
        rows.append([videos[i, time] for time in times])
        if truth is not None:
            maps = truth[i].astype(int) - 1
            rows.append([overlay(videos[i, time], maps[time]) for time in times])
        rows.append([overlay(videos[i, time], found[i, time].astype(int)) for time in times])
    return grid(rows, titles)
