"""What a step costs on TPUs or GPUs that one does not have: compiled ahead of time for them.

python -m dias_jax.experiments.benchmarks.ahead --config=coco --topology=v5e:2x4 \
  [--images=32] [--step=training] [--config.model.dtype=bfloat16] [--text=FILE]

Needs libtpu (the extra `tpu`) on any x86 machine, or the extra `cuda13` for GPUs (h200:8 are those
of one machine); no TPU, no GPU and, but for videos that are not drawn, no data; minutes on two
cores. Cycles are the TPU compiler's own estimate, added up over all instructions; bytes are those
of whole arrays that lie in HBM, without the padding of tiles: too many where a part is read, or
where a GPU's cache still holds them. How long it really takes only the device tells.
"""

import functools
import pathlib

import jax
import numpy as np
from absl import flags
from jax.sharding import Mesh, PartitionSpec
from tabulate import tabulate

from dias_jax import devices
from dias_jax.cli import require, run
from dias_jax.config.checks import check_config
from dias_jax.config.experiments import define_config_flag
from dias_jax.errors import UserError
from dias_jax.models.parts import fitting_parts
from dias_jax.training.accumulation import parts_of

from .chips import describe_topology
from .compiled_text import summarize
from .step_shapes import count_operations, evaluation_of, training_of

STEPS = ("training", "evaluation")
MOST_EXPENSIVE = 20  # rows of the second table
COLUMNS = ("an image", "instructions", "kind", "module")

TOPOLOGY = flags.DEFINE_string(
    "topology", "v5e:2x4", "TPUs: v5e:2x4 ... v5e:16x16, v5p:2x2x1 ...; GPUs: a100:1, h200:8 ..."
)
IMAGES = flags.DEFINE_integer("images", None, "images (or clips) a chip; default: the config's", 1)
STEP = flags.DEFINE_enum("step", "training", STEPS, "what is compiled")
TEXT = flags.DEFINE_string("text", None, "a file for the compiled text, to be read")


def compile_ahead(step, shapes, chips, split_results=False):
    """Compile `step(state, batch, rng, *, axis_name)` for chips that need not be there.

    As `dias_jax.devices.compile_step` spreads it: the batch is split, all else is everywhere.
    """
    everywhere, split = PartitionSpec(), PartitionSpec(devices.AXIS)
    parallel = jax.shard_map(
        functools.partial(step, axis_name=devices.AXIS),
        mesh=Mesh(np.array(chips), (devices.AXIS,)),
        in_specs=(everywhere, split, everywhere),
        out_specs=(everywhere, split if split_results else everywhere),
        check_vma=False,
    )
    donated = () if split_results else (0,)
    return jax.jit(parallel, donate_argnums=donated).lower(*shapes).compile()


def peak_memory(compiled):
    """Bytes that a chip needs at most: arguments, results, temporary arrays and the program."""
    memory = compiled.memory_analysis()
    arrays = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return arrays + memory.generated_code_size_in_bytes - memory.alias_size_in_bytes


def operations_of(compiled, step, shapes, images, parts=1):
    """Floating point operations an image; of GPUs, where the compiler tells none, as traced."""
    told = compiled.cost_analysis()  # counts once what a loop over parts repeats
    if told:
        return told["flops"] * parts / images
    return count_operations(step, shapes) * parts / len(shapes[1]["image"])


def table(compiled, program, chip, images, flops):
    """Rows (what, number, unit, images a second that it allows) of a step of `images` a chip."""
    cycles, moved = program.cycles / images, program.hbm_bytes / images
    peak = peak_memory(compiled)
    names = ", ".join(f"{n} {kind}" for kind, n in program.collectives.items()) or "no collective"
    rows = [["arithmetic", flops / 1e9, "GFLOP an image", chip.flops / flops]]
    if cycles:  # told by compilers for TPUs
        rows += [["cycles, estimated", cycles / 1e3, "thousand an image", chip.clock / cycles]]
    return rows + [
        ["HBM traffic", moved / 1e6, "MB an image", chip.bandwidth / moved if moved else None],
        ["peak memory", peak / 1e9, f"GB a chip, of {chip.memory / 1e9:.0f}", None],
        ["collectives", program.collective_bytes / 1e6, f"MB a step, {names}", None],
    ]


def report(compiled, chip, images, flops, parts=1):
    """Both tables and what bounds the step, as text; flops: operations an image."""
    program = summarize(compiled.as_text(), parts)
    rows = table(compiled, program, chip, images, flops)
    slowest = min((row for row in rows if row[3]), key=lambda row: row[3])
    unit, total = ("cycles", program.cycles) if program.cycles else ("traffic", program.hbm_bytes)
    costs = [
        [f"{100 * cost / total:.1f}", cost / images, count, kind, module]
        for cost, count, module, kind in program.costs[:MOST_EXPENSIVE]
    ]
    lines = [
        tabulate(rows, ["", "", "", "images/s a chip, at most"], floatfmt=",.2f"),
        f"bound by: {slowest[0]}",
        tabulate(costs, (f"% of {unit}", *COLUMNS), floatfmt=",.0f", disable_numparse=[0]),
    ]
    if peak_memory(compiled) > chip.memory:
        more = f"in training, a larger --config.accumulation than {parts}"
        lines.insert(1, f"DOES NOT FIT: give a smaller --images, or {more}")
    if program.unknown_loops:
        count = max(program.unknown_loops - (parts > 1), 0)  # that over parts may be told
        lines.append(f"parts of a batch: {parts}; loops of unknown length, counted once: {count}")
    return "\n\n".join(lines)


def main(arguments):
    """Compile the step and print what is known of it."""
    require("config")
    config = flags.FLAGS.config
    if TEXT.value and not pathlib.Path(TEXT.value).absolute().parent.is_dir():
        raise UserError(f"--text={TEXT.value}: its folder is missing, make it first")
    chips, chip = describe_topology(TOPOLOGY.value)
    config.model.backbone.weights = "random"  # their values make no difference
    config.batch_size = (IMAGES.value or -(-config.batch_size // len(chips))) * len(chips)
    check_config(config)
    is_training = STEP.value == "training"
    images, platform = config.batch_size // len(chips), chips[0].platform
    parts = parts_of(config, images, platform) if is_training else fitting_parts(images, platform)
    step, shapes = (training_of if is_training else evaluation_of)(config, parts)
    compiled = compile_ahead(step, shapes, chips, split_results=not is_training)
    if TEXT.value:
        pathlib.Path(TEXT.value).write_text(compiled.as_text())
    print(
        f"{STEP.value} step in {config.model.dtype}, {images} images on each of {len(chips)} chips "
        f"({TOPOLOGY.value})\n"
    )
    flops = operations_of(compiled, step, shapes, images, parts)
    print(report(compiled, chip, images, flops, parts))


if __name__ == "__main__":
    run(main, define_config_flag)
