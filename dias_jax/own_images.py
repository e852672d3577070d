"""Anybody's images segmented into files: which ones, under which names, in bounded memory."""

import contextlib
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw

from data_pipelines.building.listing import list_files
from data_pipelines.images import SEGMENTS, count_frames, decode_upright, read_bytes
from data_pipelines.resize import resize_image
from dias_jax.errors import UserError
from dias_jax.files import appearing_file
from dias_jax.models.prediction import predict
from dias_jax.models.resize import bilinear_upsample
from dias_jax.pictures.overlays import TITLE, overlay
from dias_jax.segmentation import MASKS
from dias_jax.steps.scoring import attentions

PICTURE, ARRAYS = SEGMENTS, ".segments.npz"  # what a result's name has after its image's
BLOCK = 2**20  # pixels that are worked on at a time where every slot, or float, counts


def find_images(arguments):
    """Files named and images in folders named: -> {name of its results: path}, number left out.

    Left out are results of earlier runs that are named, as photographs/* does. Raises UserError
    when a file or a folder is missing, there is no image, or two would share a result.
    """
    images, seen, num_results = {}, set(), 0
    for path, name in (pair for argument in arguments for pair in list_images(argument)):
        entry = os.path.realpath(path.parent), path.name
        if entry in seen:
            continue
        seen.add(entry)
        if name.lower().endswith((PICTURE, ARRAYS)):
            num_results += 1
            continue
        claim(images, name, path, PICTURE, "name a folder that holds both")
    if not images:
        raise UserError("name at least one image, or a folder that holds one (see --help)")
    return images, num_results


def claim(found, name, path, suffix, remedy):
    """Note in {name: path} whose results have a name. Raises UserError where it is taken."""
    other = found.setdefault(name, path)
    if os.path.realpath(other) != os.path.realpath(path):
        raise UserError(
            f"{other} and {path} would both become {name}{suffix}: {remedy}, or segment them one "
            "after the other with another --out"
        )


def list_images(argument):
    """A file, or the images in a folder: -> list of (path, name relative to what was named)."""
    path = pathlib.Path(argument)
    if os.path.isdir(path) and argument:
        return [(path / name, name) for name in list_files(path)[0]]
    if not os.path.exists(argument):
        raise UserError(f"{argument or 'an image of no name'} does not exist")
    return [(path, path.name)]


def segment_image(trained, image):
    """Both segmentations of one image (H, W, 3) at its own resolution, slots and attention."""
    size = trained.config.data.image_size
    square, key = resize_image(image, size)[None], jax.random.key(trained.config.seed)
    output = predict(trained.model, trained.variables, square, key)
    found = {"slots": output.slots[0], "slot_mask": output.slot_mask[0]}
    for name, attention in attentions(output).items():
        found[f"{name}_attention"] = attention[0]
        found[name] = stretch(attention[0], image.shape[:2])
    return jax.device_get(found)


def stretch(attention, size):
    """`slot_map` in bounded memory: (S, h, w) float32, size (H, W) -> (H, W) uint8."""
    height, width = size
    down, across = (  # what each token gives to each pixel, (h, H) and (w, W)
        bilinear_upsample(jnp.eye(tokens), (tokens, pixels))
        for tokens, pixels in zip(attention.shape[1:], size)
    )
    segments = np.empty(size, np.uint8)
    num_rows = max(BLOCK // width, 1)
    for top in range(0, height, num_rows):
        rows = slice(top, top + num_rows)
        shares = jnp.einsum("shw,hy,wx->syx", attention, down[:, rows], across, precision="highest")
        segments[rows] = shares.argmax(0)
    return segments


def draw_panels(image, result):
    """The image and both segmentations side by side, each under its name: -> PIL image."""
    height, width = image.shape[:2]
    titles = ("image", *MASKS)
    canvas = Image.new("RGB", (len(titles) * width, TITLE + height), "white")
    for number, title in enumerate(titles):
        ImageDraw.Draw(canvas).text((number * width + 2, 1), title, fill="black")
    num_rows = max(BLOCK // width, 1)
    for top in range(0, height, num_rows):
        first = max(top - 1, 0)  # the row above says where borders are
        rows = slice(first, top + num_rows)
        views = [overlay(image[rows], result[masks][rows].astype(int)) for masks in MASKS]
        for number, view in enumerate([image[rows], *views]):
            part = Image.fromarray(np.ascontiguousarray(view[top - first :]))
            canvas.paste(part, (number * width, TITLE + top))
    return canvas


def write_results(picture, arrays, image, result):
    """Write both results of an image. Raises UserError where there is no room, or no right to."""
    with naming_result(picture):
        with appearing_file(arrays) as path:
            np.savez_compressed(path, **result)
        with appearing_file(picture) as path:
            draw_panels(image, result).save(path)


@contextlib.contextmanager
def naming_result(picture):
    """Turn what the system refuses while `picture` is written into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {picture} ({error.strerror or error}): make room, or name another --out"
        ) from error


def identity(path):
    """What tells files apart, also where large and small letters are one; None: there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def segment_files(arguments, open_trained, out):
    """Segment the images named and write the results below `out`.

    arguments: files and folders; open_trained: () -> TrainedModel, called when there is something
    to do. Raises UserError where nothing is found, and at the end where images were left out.
    """
    images, num_results = find_images(arguments)
    trained, out = open_trained(), pathlib.Path(out)
    if num_results:
        print(f"note: {num_results} files are results of earlier runs, left out", file=sys.stderr)
    written, num_left_out = set(), 0
    for name, path in images.items():
        picture, arrays = out / f"{name}{PICTURE}", out / f"{name}{ARRAYS}"
        try:
            if identity(picture) in written:
                raise UserError(f"{path}: another image's results have that name here: rename it")
            encoded = read_bytes(path)
            image = decode_upright(encoded, path, "replace it, or save it as PNG or JPEG")
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            num_left_out += 1
            continue
        write_results(picture, arrays, image, segment_image(trained, image))
        written.add(identity(picture))
        num_frames = count_frames(encoded)
        frames = f" (the first of {num_frames} frames)" if num_frames > 1 else ""
        print(f"{path}{frames} -> {picture}, {arrays.name}")
    if num_left_out:
        raise UserError(
            f"{num_left_out} of {len(images)} images are left out; they are named above"
        )
