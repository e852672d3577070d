"""Compare with the PyTorch reference: python -m dias_jax.compare --reference=DIR.

DIR is a checkout of github.com/Genera1Z/DIAS; it is imported as it is and needs PyTorch, timm,
einops and scipy in this environment. The result is Markdown on the standard output.

parts: stages, every stage's difference on the same images, weights and sampled quantities;
training, how fast two runs from the same start drift apart; speed, images per second.
"""

import os
import tempfile

import jax
from absl import flags

from dias_jax.cli import run
from dias_jax.compare import speed
from dias_jax.compare.case import MODELS, build_case
from dias_jax.compare.fixture import write_fixture
from dias_jax.compare.reference import build_reference, import_reference, load_weights
from dias_jax.compare.stages import compare_stages
from dias_jax.compare.table import markdown
from dias_jax.compare.training import compare_training
from dias_jax.errors import UserError
from dias_jax.interop import save_torch_dias
from dias_jax.interop.tensors import read_tensors
from dias_jax.models.build import DTYPES

PARTS = ("stages", "training", "speed")
OPTIMIZER_STEPS = 3  # of stages and of the fixture

REFERENCE = flags.DEFINE_string("reference", None, "checkout of github.com/Genera1Z/DIAS")
PART = flags.DEFINE_list("parts", ["stages"], f"what to compare, of {', '.join(PARTS)}")
SIZE = flags.DEFINE_enum("size", "full", list(MODELS), "of the model: as published, or tiny")
CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "weights in the reference's layout instead of random ones"
)
NUM_SLOTS = flags.DEFINE_integer("num_slots", 7, "of --checkpoint, which does not tell", 1)
SEED = flags.DEFINE_integer("seed", 0, "of random weights and sampled quantities")
IMAGES = flags.DEFINE_integer("images", 2, "how many, for stages and training", 1)
STEPS = flags.DEFINE_integer("steps", 50, "of training", 1)
BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["16"], "for speed")
REPEATS = flags.DEFINE_integer("repeats", 5, "timings of each implementation, for speed", 1)
DTYPE = flags.DEFINE_enum(
    "dtype", "float32", list(DTYPES), "for speed; bfloat16: against the reference's autocast"
)
TRACE = flags.DEFINE_string("trace", None, "directory for a profile of our steps, for speed")
FIXTURE = flags.DEFINE_string(
    "write_fixture", None, "only write golden numbers to this .npz file and a .safetensors beside"
)


def main(arguments):
    """Check the flags, import the reference, print the tables."""
    batch_sizes = check_flags()
    # Both implementations have to fit on one GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    library = import_reference(REFERENCE.value)
    if FIXTURE.value:
        write_fixture(FIXTURE.value, *build_both(library, IMAGES.value, OPTIMIZER_STEPS))
        return
    if "stages" in PART.value:
        case, wrapper = build_both(library, IMAGES.value, OPTIMIZER_STEPS)
        print(f"## Stages\n\n{compare_stages(case, wrapper)}\n", flush=True)
    if "training" in PART.value:
        case, wrapper = build_both(library, IMAGES.value, STEPS.value)
        print(f"## Training\n\n{compare_training(case, wrapper)}\n", flush=True)
    if "speed" in PART.value:
        rows = []
        for size in batch_sizes:
            case, wrapper = build_both(library, size, 1, DTYPE.value)
            rows += speed.compare_speed(case, wrapper, DTYPE.value, REPEATS.value, TRACE.value)
        title = f"## Speed, {DTYPE.value}, {jax.devices()[0].device_kind}"
        print(f"{title}\n\n{markdown(speed.HEADER, rows)}\n")


def check_flags():
    """Batch sizes; raises UserError on a flag that makes no sense."""
    if REFERENCE.value is None:
        raise UserError("--reference is missing: a checkout of github.com/Genera1Z/DIAS")
    unknown = [part for part in PART.value if part not in PARTS]
    if unknown:
        raise UserError(f"--parts={','.join(unknown)} is unknown: use {', '.join(PARTS)}")
    if not all(size.isdigit() and int(size) for size in BATCH_SIZES.value):
        raise UserError(f"--batch_sizes={','.join(BATCH_SIZES.value)}: use numbers, like 16,32")
    return [int(size) for size in BATCH_SIZES.value]


def build_both(library, batch_size, num_steps, dtype="float32"):
    """A Case and the reference with the same weights, handed over in its own layout."""
    case = build_case(
        SIZE.value, dtype, batch_size, num_steps, SEED.value, CHECKPOINT.value, NUM_SLOTS.value
    )
    wrapper = build_reference(library, case.model)
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "weights.safetensors")
        save_torch_dias(case.model, case.variables, path)
        load_weights(wrapper, read_tensors(path))
    return case, wrapper


if __name__ == "__main__":
    run(main)
