"""Video files, animations and folders of frames: read, and written, one frame after the other."""

import contextlib
import fractions
import itertools
import os
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageSequence

from data_pipelines.images import (
    MAX_PIXELS,
    decode_upright,
    is_image_name,
    is_too_large,
    read_bytes,
    readable_formats,
    upright,
)
from dias_jax.errors import UserError, reason

RATE = 8  # frames per second where nothing says it
MOST_RATE = 1000  # what says more is a clock's rate, not one of frames
REMEDY = "replace it, or convert it to MP4 or to a folder of images"


class Video(NamedTuple):
    """A video that has been opened."""

    frames: Iterator  # of (H, W, 3) uint8, all of one size, read when they are asked for
    frames_per_second: float


def open_video(path, ignored=()):
    """A video file, an animated image or a folder of frames: -> Video.

    Frames are upright as in `decode_upright`. Those of a folder are the images directly in it, in
    the order of their names, 2 before 10, without names that end in one of `ignored`. Raises
    UserError, also while frames are read, when something cannot be read or sizes differ.
    """
    path = pathlib.Path(path)
    if path.is_dir():
        frames, rate = read_folder(list_frames(path, ignored)), RATE
    elif not path.is_file():  # a pipe would never end
        raise UserError(f"cannot read {path}: it is no file")
    elif is_image_name(path):
        frames, rate = open_animation(path)
    else:
        frames, rate = open_stream(path)
    rate = float(rate or 0)
    return Video(check_frames(frames, path), rate if 0 < rate <= MOST_RATE else RATE)


def check_frames(frames, path):
    """Raise UserError where frames, pairs of name and array, differ in size or there is none."""
    size = None
    for name, frame in frames:
        size = size or frame.shape
        if frame.shape != size:
            raise UserError(
                f"{name} has {frame.shape[1]} x {frame.shape[0]} pixels, the frames before it "
                f"{size[1]} x {size[0]}: give the frames of a video one size, or leave it out"
            )
        yield frame
    if size is None:
        raise UserError(f"{path} holds no frame: {REMEDY}")


def list_frames(folder, ignored):
    """The images directly in a folder, in natural order: -> list of paths, not empty."""
    try:
        names = [name for name in os.listdir(folder) if is_image_name(name)]
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror}") from error
    names = [name for name in names if not name.lower().endswith(tuple(ignored))]
    if not names:
        raise UserError(
            f"{folder} holds no images, so it is no video: name a folder of frames, or the video "
            "files in it"
        )
    return [folder / name for name in sorted(names, key=natural_order)]


def natural_order(name):
    """A key by which 2 comes before 10."""
    parts = re.split(r"(\d+)", name)
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], name


def read_folder(paths):
    """Frames that are files: -> iterator of (path, frame)."""
    for path in paths:
        yield path, decode_upright(read_bytes(path), path)


def open_animation(path):
    """What Pillow reads: -> iterator of (name, frame), rate by the first frame or None."""
    with naming_damage(path):
        image = Image.open(path, formats=readable_formats())
        check_size(path, image.height, image.width)
        image.load()  # WebP tells durations only then
        duration = image.info.get("duration")
    return read_animation(image, path), 1000 / duration if duration else None


def read_animation(image, path):
    """The frames of an opened image: -> iterator of (name, frame)."""
    with image, naming_damage(path):
        frames = ImageSequence.Iterator(image)
        if image.format == "MPO":  # the further pictures are no frames
            frames = itertools.islice(frames, 1)
        for number, frame in enumerate(frames):
            check_size(path, frame.height, frame.width)
            yield f"{path}, frame {number},", upright(frame, path)


def open_stream(path):
    """What PyAV reads: -> iterator of (name, frame), rate or None."""
    av = import_av(path)
    # Newer ones take tags of any encoding.
    options = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
    with naming_damage(path):
        container = av.open(f"file:{path}", **options)
        if not container.streams.video:
            raise UserError(f"{path} has no pictures in it: name a video")
        stream = container.streams.video[0]
        check_size(path, stream.codec_context.height, stream.codec_context.width)
        return read_stream(container, path), stream.average_rate or stream.guessed_rate


def read_stream(container, path):
    """The frames of an opened container: -> iterator of (name, frame)."""
    with container, naming_damage(path):
        for number, frame in enumerate(container.decode(video=0)):
            check_size(path, frame.height, frame.width)
            yield f"{path}, frame {number},", turn(frame.to_ndarray(format="rgb24"), frame)


def turn(image, frame):
    """An image of PyAV's frame as its display matrix, if any, has it: (H, W, 3) -> (H, W, 3)."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32)  # x' = a x + c y, y' = b x + d y
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    image = image[:, ::-1] if a < 0 else image
    return image[::-1] if d < 0 else image


def save_mp4(path, frames, frames_per_second):
    """Write frames, an iterator of (H, W, 3) uint8, H and W even, as H.264 that every player takes.

    None stays in memory.
    """
    av, frames = import_av(path), iter(frames)
    first = next(frames)
    with av.open(f"file:{path}", "w", format="mp4") as container:
        rate = fractions.Fraction(frames_per_second).limit_denominator(1001)
        stream = container.add_stream("h264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        for frame in itertools.chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def import_av(path):
    """PyAV, which `path` needs."""
    try:
        import av  # an extra: only those who have video files need it
    except ImportError as error:
        raise UserError(f"{path}: video files need PyAV: pip install 'dias_jax[video]'") from error
    return av


def check_size(path, height, width):
    """Raise UserError where frames are too large to be read."""
    if is_too_large(height, width):
        raise UserError(
            f"{path} is too large a video ({width} x {height} pixels): store it smaller, with at "
            f"most {MAX_PIXELS:,} pixels a frame"
        )


@contextlib.contextmanager
def naming_damage(path):
    """Turn whatever goes wrong while a video is read into a UserError that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged file may fail in any way
        why = getattr(error, "strerror", None) or reason(error)
        raise UserError(f"{path} is a damaged video ({why}): {REMEDY}") from error
