"""Anybody's videos segmented into files: a few frames at a time, however long they are.

DIR/NAME.segments.npz holds the tracks of a video of F frames. The slot of one index is the same
thing in all of them. (H, W) is the size of the animation beside it, not of the video.

  decoder, aggregator  (F, H, W) uint8 slot indices
  slots                (F, S, D) float32
  slot_mask            (F, S) bool, False: not in use
  boxes                (F, S, 4) float32 around what a slot owns in the masks that
                       config.evaluation.masks names: left, top, right and bottom in widths and
                       heights, zeros where it owns nothing
  area                 (F, S) float32, its share of the pixels
"""

import collections
import itertools
import os
import pathlib
import sys
import zipfile
import zlib

import jax
import numpy as np
from PIL import Image

from data_pipelines.building.masks import boxes_of
from data_pipelines.resize import resize_image
from data_pipelines.video_files import import_av, open_video, save_mp4
from dias_jax.errors import UserError
from dias_jax.files import appearing_file
from dias_jax.models.streaming import begin, step
from dias_jax.own_images import ARRAYS, PICTURE, claim, identity, naming_result, stretch
from dias_jax.pictures.animation import save_animation
from dias_jax.pictures.overlays import overlay
from dias_jax.steps.scoring import attentions

ANIMATIONS = {"webp": save_animation, "gif": save_animation, "mp4": save_mp4}
RESULTS = (PICTURE, ARRAYS, *(f".segments.{kind}" for kind in ANIMATIONS))
SLICE = 4  # frames that the model is given at a time
LONGEST = 512  # pixels of an animation's longer side


def find_videos(arguments):
    """Video files and folders of frames: -> {name of its results: path}, number left out.

    Left out are results of earlier runs. Raises UserError when one is missing, there is none, or
    two would share a result.
    """
    videos, num_results = {}, 0
    for argument in arguments:
        path = pathlib.Path(argument)
        if not argument or not os.path.exists(path):
            raise UserError(f"{argument or 'a video of no name'} does not exist")
        name = os.path.basename(os.path.abspath(path))
        if name.lower().endswith(RESULTS):
            num_results += 1
            continue
        claim(videos, name, path, ARRAYS, "rename one")
    if not videos:
        raise UserError("name at least one video, or a folder of frames (see --help)")
    return videos, num_results


def check_streams(config):
    """Raise UserError where a model cannot be given a few frames at a time, and nothing else."""
    if config.model.video.boxes:
        raise UserError(
            "config.model.video.boxes=True: this model starts from boxes on the first frame, which "
            "videos of one's own do not have: name the --workdir of a model that needs none"
        )
    if config.model.video.reduce_at == "clip":
        raise UserError(
            'config.model.video.reduce_at="clip" needs a whole video at once, here it is read a '
            "few frames at a time: add --config.model.video.reduce_at=first"
        )


class Tracks:
    """Arrays of every frame of a video, compressed: index maps hardly take memory then."""

    def __init__(self):
        self.packed, self.like = collections.defaultdict(list), {}

    def add(self, arrays):
        """The arrays of one more frame, {name: array}; shapes and types do not change."""
        self.like = arrays
        for name, array in arrays.items():
            self.packed[name].append(zlib.compress(np.ascontiguousarray(array), 1))

    def save(self, path):
        """Write a .npz of {name: (F, ...)}, one frame after the other."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, frames in self.packed.items():
                like = np.lib.format.header_data_from_array_1_0(np.asarray(self.like[name]))
                header = like | {"fortran_order": False, "shape": (len(frames), *like["shape"])}
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    for frame in frames:
                        file.write(zlib.decompress(frame))


def segment_frames(trained, frames, size):
    """Segment the frames of a video: iterator of (H, W, 3), size (H', W') -> iterator.

    It gives for every frame: its picture (H', W', 3), and what the tracks hold of it.
    """
    model, variables, config, _ = trained
    stream = begin(jax.random.key(config.seed), [0])
    views = ((resize_image(x, config.data.image_size), shrink(x, size)) for x in frames)
    while part := list(itertools.islice(views, SLICE)):
        squares, pictures = zip(*part)
        stream, output = step(model, variables, stream, np.stack(squares)[None])
        slots, slot_mask, maps = jax.device_get(
            (output.slots[0], output.slot_mask[0], attentions(output))
        )
        for number, picture in enumerate(pictures):
            found = {name: stretch(attention[0, number], size) for name, attention in maps.items()}
            found |= measure(found[config.evaluation.masks], slots.shape[1])
            yield picture, found | {"slots": slots[number], "slot_mask": slot_mask[number]}


def shrink(frame, size):
    """A smaller picture: (H, W, 3) uint8 -> (H', W', 3) uint8."""
    return np.asarray(Image.fromarray(frame).resize(size[::-1], Image.BILINEAR))


def measure(segments, num_slots):
    """Where slots are in an index map, and how much they own: (H, W) uint8 -> {name: (S, ...)}."""
    counts = np.bincount(segments.ravel(), minlength=num_slots)
    return {
        "boxes": boxes_of(segments.astype(np.int32) + 2, num_slots),  # it counts objects from 2
        "area": (counts / segments.size).astype(np.float32),
    }


def fit(size, step):
    """The size (H, W) of an animation of frames of this size, in multiples of `step` pixels."""
    scale = min(LONGEST / max(size), 1)
    return tuple(max(round(scale * side) // step, 1) * step for side in size)


def paint(segmented, tracks, masks):
    """Keep what is found in `tracks`, give the pictures with `masks` painted over, one by one."""
    for picture, found in segmented:
        tracks.add(found)
        yield overlay(picture, found[masks].astype(int))


def segment_video(trained, path, moving, arrays):
    """Segment one video and write the animation `moving` and the tracks `arrays`.

    Both appear when the whole video is done. -> number of frames.
    """
    kind, masks = moving.suffix[1:], trained.config.evaluation.masks
    frames, rate = open_video(path, ignored=RESULTS)
    first, tracks = next(frames), Tracks()
    size = fit(first.shape[:2], step=2 if kind == "mp4" else 1)
    segmented = segment_frames(trained, itertools.chain([first], frames), size)
    with naming_result(moving), appearing_file(moving) as incomplete:
        ANIMATIONS[kind](incomplete, paint(segmented, tracks, masks), rate)
        with appearing_file(arrays) as other:
            tracks.save(other)
    return len(tracks.packed["slots"])


def segment_videos(arguments, open_trained, out, animation="webp"):
    """Segment the videos named and write the results into `out`.

    arguments: video files and folders of frames; open_trained: () -> TrainedModel of a video model,
    called when there is something to do; animation: "webp", "gif" or "mp4". Raises UserError where
    nothing is found or the model cannot do it, and at the end where videos were left out.
    """
    videos, num_results = find_videos(arguments)
    if animation == "mp4":
        import_av("--animation=mp4")
    trained, out = open_trained(), pathlib.Path(out)
    check_streams(trained.config)
    if num_results:
        print(f"note: {num_results} files are results of earlier runs, left out", file=sys.stderr)
    written, num_left_out = set(), 0
    for name, path in videos.items():
        moving, arrays = out / f"{name}.segments.{animation}", out / f"{name}{ARRAYS}"
        try:
            if identity(moving) in written:
                raise UserError(f"{path}: another video's results have that name here: rename it")
            num_frames = segment_video(trained, path, moving, arrays)
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            num_left_out += 1
            continue
        written.add(identity(moving))
        print(f"{path} ({num_frames} frames) -> {moving}, {arrays.name}")
    if num_left_out:
        raise UserError(
            f"{num_left_out} of {len(videos)} videos are left out; they are named above"
        )
