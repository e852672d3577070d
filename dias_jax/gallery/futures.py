"""True and predicted futures side by side: a picture, and one that moves."""

import numpy as np
from PIL import Image

from dias_jax.evaluation import futures
from dias_jax.evaluation.prediction import observed_frames
from dias_jax.evaluation.split import read_evaluation
from dias_jax.gallery.writing import write_files
from dias_jax.pictures.animation import save_animation
from dias_jax.pictures.overlays import grid, overlay
from dias_jax.pictures.strips import spread_frames
from dias_jax.runs.trained_model import restore
from dias_jax.tasks.prediction import build_rollout, open_clips, open_decoder, place_of

SHOWN = ("oracle", "roll_out")  # over the frames, in this order
TILE = 160  # pixels, side of a frame that moves
FRAMES_PER_SECOND = 6


def write_futures(config, workdir, split, out, count):
    """Draw the first `count` videos of a split, and what a roll-out expects: -> the paths.

    config: that of the run in `workdir`. futures.png has evenly spread frames from the last
    observed one on, three rows a video: the frame, slots of the true future over it, predicted
    slots over it. futures.webp has the same as columns, moving.
    """
    trained = restore(workdir, config, build_rollout(config), "best")
    video, video_config = open_decoder(config, split)
    count = min(count, len(open_clips(config, split)))
    video_config.evaluation.batch_size = min(count, 4)
    name, first = place_of(config, split)
    batches = read_evaluation(video_config, name, first, first + count)
    rows = [row for batch in batches for row in draw_batch(config, video, trained, batch)]
    writers = {
        "futures.png": lambda path: draw_strips(rows).save(path),
        "futures.webp": lambda path: save_animation(path, animate(rows), FRAMES_PER_SECOND),
    }
    return write_files(out, writers)


def draw_batch(config, video, trained, batch):
    """Views of each video of a batch: -> a list of (3, F, H, W, 3) uint8."""
    observed, offset = observed_frames(config.rollout), config.rollout.frame_offset
    variables, key = (video.variables, trained.variables), futures.key_of(video.config)
    told = futures.tell_futures(video.model, trained.model, variables, batch, observed, offset, key)
    frames = batch["image"][:, observed - 1 :]
    maps = [
        futures.decode_alone(
            video.model, video.variables, told[name], told["slot_mask"], frames.shape[2:4]
        )[0]
        for name in SHOWN
    ]
    painted = [
        [[overlay(*pair) for pair in zip(*clip)] for clip in zip(frames, np.asarray(x))]
        for x in maps
    ]
    views = [np.stack([clip, *map(np.array, drawn)]) for clip, *drawn in zip(frames, *painted)]
    return [view for view, valid in zip(views, batch["valid"]) if valid]


def draw_strips(views):
    """Evenly spread frames of every view below each other: -> PIL image."""
    length = views[0].shape[1]
    times = spread_frames(np.ones(length, bool))
    titles = ["last observed", *(f"predicted {time}" for time in times[1:])]
    return grid([row[times] for view in views for row in view], titles)


def animate(views):
    """The views of a video beside each other, videos below each other: -> list of frames."""
    return [
        np.concatenate([np.concatenate([enlarge(row[t]) for row in view], 1) for view in views])
        for t in range(views[0].shape[1])
    ]


def enlarge(frame):
    """A frame as a tile, with a margin."""
    tile = Image.fromarray(frame).resize((TILE, TILE), Image.Resampling.NEAREST)
    return np.pad(np.asarray(tile), [(0, 4), (0, 4), (0, 0)], constant_values=255)
