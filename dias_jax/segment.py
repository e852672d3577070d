"""Segment your own images: python -m dias_jax.segment --out=DIR IMAGE_OR_FOLDER...

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME. Any size
and format; EXIF orientation is honoured, of animated files the first frame is taken. The whole
image is squeezed into the model's square and the masks are stretched back. For every image NAME:
NAME.png (the masks of decoder and aggregator painted over it) and NAME.npz ("decoder", "aggregator"
(H, W) uint8 slot indices, "slots" (S, D), "slot_mask" (S,), "decoder_attention" and
"aggregator_attention" (S, h, w)). A damaged image is named and left out; the exit code is 2 then.
"""

import pathlib
import sys

import jax
import numpy as np
from absl import flags
from PIL import Image, ImageDraw

from data_pipelines.images import count_frames, decode_upright, is_image_name, read_bytes
from data_pipelines.resize import resize_image
from dias_jax.cli import require
from dias_jax.errors import UserError
from dias_jax.models.prediction import predict
from dias_jax.pictures.overlays import TITLE, overlay
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.segmentation import MASKS
from dias_jax.steps.scoring import predict_masks

OUT = flags.DEFINE_string("out", None, "directory for the results")
TOY = (
    'note: the model "{}" that ships has seen drawn scenes only, in a photograph it finds colours; '
    "for things train one on DINOv2 features (README, Your own images) and name it with --workdir"
)
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")


def find_images(arguments):
    """Files named or inside folders named, in order. Raises UserError when there is none."""
    paths = []
    for path in map(pathlib.Path, arguments):
        if path.is_dir():
            inside = sorted(filter(is_image_name, path.rglob("*")))
            if not inside:
                raise UserError(f"folder {path} holds no image")
            paths += inside
        elif path.is_file():
            paths.append(path)
        else:
            raise UserError(f"{path} does not exist")
    if not paths:
        raise UserError("name at least one image or folder (see --help)")
    return paths


def output_names(paths):
    """One distinct name a path: the stem, numbered where it repeats."""
    seen, names = {}, []
    for path in paths:
        count = seen[path.stem] = seen.get(path.stem, 0) + 1
        names.append(path.stem if count == 1 else f"{path.stem}_{count}")
    return names


def segment_image(trained, image):
    """Both segmentations of one image (H, W, 3) at its own resolution, slots and attention."""
    size = trained.config.data.image_size
    square, key = resize_image(image, size)[None], jax.random.key(trained.config.seed)
    output = predict(trained.model, trained.variables, square, key)
    found = jax.device_get(predict_masks(output, image.shape[:2]) | {"slots": output.slots})
    return {name: value[0] for name, value in found.items()}


def main(arguments):
    """Segment every image named."""
    require("out")
    paths = find_images(arguments[1:])
    trained = open_model(CHECKPOINT.value)
    if flags.FLAGS.workdir is None:
        print(TOY.format(flags.FLAGS.model), file=sys.stderr)
    out = pathlib.Path(OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    damaged = 0
    for path, name in zip(paths, output_names(paths)):
        try:
            encoded = read_bytes(path)
            image = decode_upright(encoded, path, "replace it, or save it as PNG or JPEG")
        except UserError as error:
            print(f"left out: {error}", file=sys.stderr)
            damaged += 1
            continue
        result = segment_image(trained, image)
        np.savez_compressed(out / f"{name}.npz", **result)
        draw_panels(image, result).save(out / f"{name}.png")
        num_frames = count_frames(encoded)
        frames = f" (the first of {num_frames} frames)" if num_frames > 1 else ""
        print(f"{path}{frames} -> {out / name}.png, {name}.npz")
    if damaged:
        raise UserError(f"{damaged} of {len(paths)} images could not be read; they are named above")


def draw_panels(image, result):
    """The image and both segmentations side by side, each under its name: -> PIL image."""
    views = [image, *(overlay(image, result[masks].astype(int)) for masks in MASKS)]
    height, width = image.shape[:2]
    canvas = Image.new("RGB", (len(views) * width, TITLE + height), "white")
    draw = ImageDraw.Draw(canvas)
    for number, (view, title) in enumerate(zip(views, ("image", *MASKS))):
        draw.text((number * width + 2, 1), title, fill="black")
        canvas.paste(Image.fromarray(view), (number * width, TITLE))
    return canvas


if __name__ == "__main__":
    run_on_model(main, takes_words=True)
