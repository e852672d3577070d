"""Segment your own images and videos: python -m dias_jax.segment --out=DIR IMAGE_OR_FOLDER...

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

With a model of videos, config.model.kind="video", videos: python -m dias_jax.segment --workdir=DIR
--out=DIR VIDEO_OR_FOLDER_OF_FRAMES... A video is a file (of MP4 and the like: pip install
'dias_jax[video]'), an animated GIF, WebP or PNG, or a folder, whose images are the frames in the
order of their names, 2 before 10. Its frames are read a few at a time, however many they are.

a.mp4 becomes DIR/a.mp4.segments.webp, a moving picture of at most 512 pixels a side with the masks
painted over, where a slot keeps its colour, and DIR/a.mp4.segments.npz, the tracks: "decoder" and
"aggregator" (F, H, W) at the size of the moving picture, "slots" (F, S, D), "slot_mask" (F, S),
"boxes" (F, S, 4), left, top, right and bottom in widths and heights, and "area" (F, S), shares of
the pixels. --animation=mp4 is for long videos: it is written as it is found, the others at the end.
"""

import sys

from absl import flags

from dias_jax.cli import require
from dias_jax.own_images import segment_files
from dias_jax.own_videos import ANIMATIONS, segment_videos
from dias_jax.runs.flags import open_model, run_on_model

OUT = flags.DEFINE_string("out", None, "directory for the results")
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "which checkpoint")
ANIMATION = flags.DEFINE_enum("animation", "webp", [*ANIMATIONS], "picture of a video")
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
    """Segment every image named, or with a model of videos every video."""
    require("out")
    if flags.FLAGS.config.model.kind == "video":
        segment_videos(arguments[1:], open_with_note, OUT.value, ANIMATION.value)
    else:
        segment_files(arguments[1:], open_with_note, OUT.value)


if __name__ == "__main__":
    run_on_model(main, takes_words=True)
