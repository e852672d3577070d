"""Compare with the PyTorch reference: python -m dias_jax.compare --reference=DIR --out=DIR.

The reference is a checkout of github.com/Genera1Z/DIAS; it is imported as it is. Every part needs
it, and with it PyTorch, timm and einops (the extra compare). Only `stages` can do without:
--fixture=golden in place of --reference compares with numbers of a tiny model that the reference
computed earlier (compare/golden/tiny.npz, which comes with this package; another such file by its
path) and needs no PyTorch, for TPUs and Colab.

parts: stages, every stage's difference on the same images, weights and sampled quantities;
metrics, both evaluated on the same samples of a data set; training, how fast two runs from the same
start drift apart; speed, images per second and memory; independent, both trained on drawn scenes
with several seeds and random numbers of their own (half an hour on two cores; continued where it
was stopped).
The result is report.html, one file, and report.md, and its tables on the standard output.
"""

import os
import pathlib
import sys

from absl import flags

from dias_jax.cli import run
from dias_jax.compare.case import MODELS
from dias_jax.compare.facts import list_facts
from dias_jax.compare.fixture import fixture_path, read_fixture, write_fixture
from dias_jax.compare.independent import compare_independent
from dias_jax.compare.metrics import compare_metrics
from dias_jax.compare.pair import Pair
from dias_jax.compare.reference.imported import import_reference
from dias_jax.compare.report import markdown, write_report
from dias_jax.compare.speed import compare_speed
from dias_jax.compare.stages import compare_stages, record_ours, record_reference
from dias_jax.compare.training import compare_training
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError
from dias_jax.models.build import DTYPES

SIDE_BY_SIDE = "shapes:side_by_side"  # the experiment of independent
TITLE = "dias_jax beside the PyTorch reference"
OPTIMIZER_STEPS = 3  # of stages and of the fixture

REFERENCE = flags.DEFINE_string("reference", None, "checkout of github.com/Genera1Z/DIAS")
FIXTURE = flags.DEFINE_string(
    "fixture",
    None,
    "in place of --reference, for stages: golden, the package's compare/golden/tiny.npz, or "
    "another file that --write_fixture wrote",
)
OUT = flags.DEFINE_string("out", "runs/compare", "directory for report.html and report.md")
CHOSEN_PARTS = flags.DEFINE_list(
    "parts", ["stages"], "what to compare: stages, metrics, training, speed, independent"
)
SIZE = flags.DEFINE_enum("size", "full", list(MODELS), "of the model: as published, or tiny")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "weights of a run, or of what dias_jax.convert made, instead of random ones"
)
SEED = flags.DEFINE_integer("seed", 0, "of random weights and sampled quantities")
IMAGES = flags.DEFINE_integer("images", 2, "batch size of stages and training", 1)
DATA = flags.DEFINE_string("data", "shapes", "data set of metrics: shapes, coco, voc ...")
DATA_DIR = flags.DEFINE_string("data_dir", "data", "where data_pipelines.prepare has put it")
SPLIT = flags.DEFINE_string("split", "validation", "of that data set")
SAMPLES = flags.DEFINE_integer("samples", 100, "of the split, for metrics; 0: all", 0)
SEEDS = flags.DEFINE_list("seeds", ["42", "43", "44"], "for independent")
STEPS = flags.DEFINE_integer("steps", 50, "of training", 1)
BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["4", "16"], "for speed")
REPEATS = flags.DEFINE_integer("repeats", 5, "timings of each implementation, for speed", 1)
CHOSEN_DTYPES = flags.DEFINE_list(
    "dtypes", list(DTYPES), "for training and speed; bfloat16: against the reference's autocast"
)
TRACE = flags.DEFINE_string("trace", None, "directory for a profile of our steps, for speed")
WRITE_FIXTURE = flags.DEFINE_string(
    "write_fixture", None, "only write golden numbers to this .npz file and a .safetensors beside"
)


def stages(pair):
    """The part `stages`, with the reference or with what it computed earlier."""
    if FIXTURE.value is not None:
        case, theirs = read_fixture(fixture_path(FIXTURE.value))
    else:
        case = pair.case("float32", IMAGES.value, OPTIMIZER_STEPS)
        theirs = record_reference(case, pair.theirs(case))
    return compare_stages(record_ours(case), theirs)


def metrics(pair):
    """The part `metrics`."""
    return compare_metrics(pair, DATA.value, DATA_DIR.value, SPLIT.value, SAMPLES.value)


def training(pair):
    """The part `training`."""
    return compare_training(pair, CHOSEN_DTYPES.value, IMAGES.value, STEPS.value)


def speed(pair):
    """The part `speed`."""
    sizes = [int(size) for size in BATCH_SIZES.value]
    return compare_speed(pair, CHOSEN_DTYPES.value, sizes, REPEATS.value, TRACE.value)


def independent(pair):
    """The part `independent`, which has a model of its own."""
    directory = pathlib.Path(OUT.value) / "independent"
    return compare_independent(
        load_experiment(SIDE_BY_SIDE), list(map(int, SEEDS.value)), directory
    )


PARTS = {  # name: Pair -> Section
    "stages": stages,
    "metrics": metrics,
    "training": training,
    "speed": speed,
    "independent": independent,
}


def main(arguments):
    """Check the flags, run the parts, write the report after each."""
    check_flags()
    # Both implementations have to fit on one GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    pair = Pair(REFERENCE.value, SIZE.value, SEED.value, WORKDIR.value)
    if REFERENCE.value is not None:
        import_reference(REFERENCE.value)  # whatever is missing is said now
    if WRITE_FIXTURE.value is not None:
        case = pair.case("float32", IMAGES.value, OPTIMIZER_STEPS)
        write_fixture(WRITE_FIXTURE.value, case, pair.theirs(case))
        return
    facts, sections = [*list_facts(sys.argv[1:], REFERENCE.value), subject()], []
    paths = write_report(OUT.value, TITLE, facts, sections)
    for name in (name for name in PARTS if name in CHOSEN_PARTS.value):
        sections.append(PARTS[name](pair))
        print(markdown(sections[-1]), end="\n\n", flush=True)
        write_report(OUT.value, TITLE, facts, sections)
    print(*paths, sep="\n")


def subject():
    """A line of text: which model, with which weights."""
    if FIXTURE.value is not None:
        return f"Model, weights and the reference's numbers: {fixture_path(FIXTURE.value).name}"
    if WORKDIR.value is not None:
        weights = f"weights of the run {os.path.basename(WORKDIR.value)}, without what is ours only"
    else:
        weights = f"{SIZE.value} size, random weights"
    dtypes = ", ".join(CHOSEN_DTYPES.value)
    return (
        f"Model: {weights}, seed {SEED.value}; stages and metrics in float32, training and speed "
        f"in {dtypes}; independent: experiment {SIDE_BY_SIDE} in float32"
    )


def check_flags():
    """Raises UserError on a flag that makes no sense."""
    if (REFERENCE.value is None) == (FIXTURE.value is None):
        raise UserError(
            "use --reference=DIR, a checkout of github.com/Genera1Z/DIAS, or --fixture=golden"
        )
    check_list("parts", CHOSEN_PARTS.value, PARTS)
    check_list("dtypes", CHOSEN_DTYPES.value, DTYPES)
    if FIXTURE.value is not None and (
        CHOSEN_PARTS.value != ["stages"] or WRITE_FIXTURE.value is not None
    ):
        raise UserError("--fixture has numbers for --parts=stages only: use --reference for more")
    for flag, values in (("batch_sizes", BATCH_SIZES.value), ("seeds", SEEDS.value)):
        if not values or not all(value.isdigit() and int(value) for value in values):
            raise UserError(f"--{flag}={','.join(values)}: use positive numbers, like 16,32")
    if "independent" in CHOSEN_PARTS.value and len(set(SEEDS.value)) < 2:
        raise UserError("--seeds: name at least two, a deviation needs them")


def check_list(flag, values, allowed):
    """Raise UserError unless there are values, all of them among `allowed`."""
    if not values or set(values) - set(allowed):
        raise UserError(f"--{flag}={','.join(values)} is unknown: use {', '.join(allowed)}")


if __name__ == "__main__":
    run(main)
