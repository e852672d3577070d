"""Segment your own images: python -m dias_jax.segment --out=DIR IMAGE_OR_FOLDER...

With the run of --workdir=DIR, otherwise with a checkpoint of the package, --model=NAME. Any format
and size (BUILD.md: up to 179 megapixels); EXIF orientation is honoured, of animated files the first
frame is taken. The whole image is squeezed into the model's square and the masks are stretched
back. An image that cannot be read is named and left out; the exit code is 2 then.

a.jpg becomes DIR/a.jpg.segments.png (the masks of decoder and aggregator painted over it) and
DIR/a.jpg.segments.npz ("decoder", "aggregator" (H, W) uint8 slot indices, "slots" (S, D),
"slot_mask" (S,), "decoder_attention" and "aggregator_attention" (S, h, w)). The sub-folders of a
folder are kept: FOLDER/b/a.jpg becomes DIR/b/a.jpg.segments.png. Running it again replaces results,
and nothing else: what ends in .segments.png is a result and never taken for an image, wherever it
lies. An image that is named twice is done once; two that would share a result are refused.
"""

import sys

from absl import flags

from dias_jax.cli import require
from dias_jax.own_images import segment_files
from dias_jax.runs.flags import open_model, run_on_model

OUT = flags.DEFINE_string("out", None, "directory for the results")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
TOY = (
    'note: the model "{}" that ships has seen drawn scenes only, in a photograph it finds colours; '
    "for things train one on DINOv2 features (README, Your own images) and name it with --workdir"
)


def open_with_note():
    """The model, and a word on what the one that ships is good for."""
    trained = open_model(CHECKPOINT.value)
    if flags.FLAGS.workdir is None:
        print(TOY.format(flags.FLAGS.model), file=sys.stderr)
    return trained


def main(arguments):
    """Segment every image named."""
    require("out")
    segment_files(arguments[1:], open_with_note, OUT.value)


if __name__ == "__main__":
    run_on_model(main, takes_words=True)
