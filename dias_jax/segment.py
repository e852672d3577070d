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

from dias_jax.cli import open_model, require, run
from dias_jax.errors import UserError
from dias_jax.pictures import overlay
from dias_jax.segmentation import segment
from dias_jax.steps import normalize, random_streams

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


def compile_forward(trained):
    """A function (1, size, size, 3) uint8 -> DIASOutput."""
    model, streams = trained.model, random_streams(jax.random.key(trained.config.seed))

    @jax.jit
    def forward(variables, images):
        return model.apply(variables, normalize(images), rngs=streams)

    return lambda images: forward(trained.variables, images)


def segment_image(forward, image, size):
    """Both segmentations of one image (H, W, 3) at its own resolution, slots and attention."""
    square = np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR))
    output = forward(square[None])
    result = {name: np.asarray(getattr(output, name)[0]) for name in ("slots", "slot_mask")}
    attentions = {"decoder": output.decoder_attention, "aggregator": output.final_attention}
    for name, attention in attentions.items():
        result[name] = np.asarray(segment(attention, image.shape[:2])[0]).astype(np.uint8)
        result[f"{name}_attention"] = np.asarray(attention[0])
    return result


def main(arguments):
    """Segment every image named."""
    require("out")
    paths = find_images(arguments[1:])
    trained = open_model(CHECKPOINT.value)
    forward, size = compile_forward(trained), trained.config.data.image_size
    out = pathlib.Path(OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    for path, name in zip(paths, output_names(paths)):
        image = read_image(path)
        result = segment_image(forward, image, size)
        np.savez_compressed(out / f"{name}.npz", **result)
        views = [image, *(overlay(image, result[m].astype(int)) for m in ("decoder", "aggregator"))]
        Image.fromarray(np.concatenate(views, axis=1)).save(out / f"{name}.png")
        print(f"{path} -> {out / name}.png, {name}.npz")


if __name__ == "__main__":
    run(main, on_a_run=True)
