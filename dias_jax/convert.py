"""Checkpoints of the PyTorch reference in and out: python -m dias_jax.convert SRC DST.

SRC a checkpoint (.pth, .pt, .bin, .safetensors): DST becomes a work directory for evaluate,
segment, gallery and train. Sizes are read off; the rest of the config is that of --config, with
changes like --config.data.data_dir=DIR. What a checkpoint does not tell: --num_slots,
--backbone_heads and --decoder_heads, by default as published for its widths, and --step.

SRC a work directory: DST becomes a checkpoint that the reference loads.
"""

import pathlib

from absl import flags, logging

from dias_jax.cli import run
from dias_jax.config.experiments import define_config_flag
from dias_jax.errors import UserError
from dias_jax.interop.work_directory import Untold, export_checkpoint, import_checkpoint

DEFAULT_CONFIG = "coco:released"
NUM_SLOTS = flags.DEFINE_integer("num_slots", None, "slots of an image; default: the config's", 1)
BACKBONE_HEADS = flags.DEFINE_integer("backbone_heads", None, "of the vision transformer", 1)
DECODER_HEADS = flags.DEFINE_integer("decoder_heads", None, "of the decoder", 1)
STEP = flags.DEFINE_integer("step", 0, "optimiser steps that SRC was trained for", 0)
CHECKPOINT = flags.DEFINE_enum("checkpoint", "best", ["best", "latest"], "of a work directory")


def define_config(arguments):
    """--config of an experiment, by name or file."""
    meaning = f"experiment, by name or file; default: {DEFAULT_CONFIG}"
    return define_config_flag(arguments, DEFAULT_CONFIG, meaning)


def main(arguments):
    """Convert in the direction that SRC implies."""
    if len(arguments) != 3:
        raise UserError("name SRC and DST: a checkpoint and a work directory (see --help)")
    logging.set_verbosity(logging.ERROR)  # orbax warns of a checkpoint without metrics
    source, target = map(pathlib.Path, arguments[1:])
    if source.is_dir():
        for note in export_checkpoint(source, target, CHECKPOINT.value):
            print(f"note: {note}")
    else:
        untold = Untold(NUM_SLOTS.value, BACKBONE_HEADS.value, DECODER_HEADS.value, STEP.value)
        import_checkpoint(source, target, flags.FLAGS.config, untold)
        print(f"python -m dias_jax.evaluate --workdir={target}")
    print(f"{source} -> {target}")


if __name__ == "__main__":
    run(main, define_config, takes_words=True)
