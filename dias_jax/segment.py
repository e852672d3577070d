"""Segment your own images: python -m dias_jax.segment --out=DIR IMAGE_OR_FOLDER...

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME. Any size
and format; EXIF orientation is honoured. The whole image is squeezed into the model's square and
the masks are stretched back. For every image NAME: NAME.png (the masks of decoder and aggregator
painted over it) and NAME.npz ("decoder", "aggregator" (H, W) uint8 slot indices, "slots" (S, D),
"slot_mask" (S,), "decoder_attention" and "aggregator_attention" (S, h, w)).
"""

import pathlib

import jax
import numpy as np
from absl import flags
from PIL import Image, ImageOps, UnidentifiedImageError

from data_pipelines.resize import resize_image
from dias_jax.cli import require
from dias_jax.errors import UserError
from dias_jax.models.prediction import predict
from dias_jax.pictures.overlays import overlay
from dias_jax.runs.flags import open_model, run_on_model
from dias_jax.segmentation import MASKS
from dias_jax.steps.scoring import predict_masks

OUT = flags.DEFINE_string("out", None, "directory for the results")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")


def find_images(arguments):
    """Files named or inside folders named, in order. Raises UserError when there is none."""
    supported = set(Image.registered_extensions())
    paths = []
    for path in map(pathlib.Path, arguments):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in supported)
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


def read_image(path):
    """An upright RGB image of any format: (H, W, 3) uint8."""
    try:
        with Image.open(path) as image:
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise UserError(f"{path} is not an image that can be read: {error}") from error


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
    out = pathlib.Path(OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    for path, name in zip(paths, output_names(paths)):
        image = read_image(path)
        result = segment_image(trained, image)
        np.savez_compressed(out / f"{name}.npz", **result)
        views = [image, *(overlay(image, result[m].astype(int)) for m in MASKS)]
        Image.fromarray(np.concatenate(views, axis=1)).save(out / f"{name}.png")
        print(f"{path} -> {out / name}.png, {name}.npz")


if __name__ == "__main__":
    run_on_model(main)
