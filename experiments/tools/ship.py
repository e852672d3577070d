"""Put a run's model into the package.

python -m dias_jax.experiments.tools.ship --workdir=DIR --name=shapes

Evaluates it on the whole test split, and on its first samples so that a test can check the file,
then writes dias_jax/models/checkpoints/NAME.safetensors and NAME.json. Train and ship from the
same commit of a clean checkout: its hash is recorded.
"""

import pathlib
import subprocess

import jax
import jax.numpy as jnp
from absl import flags

from dias_jax.cli import require
from dias_jax.errors import UserError
from dias_jax.evaluation.split import (
    compile_evaluation,
    evaluate_split,
    open_evaluation,
    protocol_line,
)
from dias_jax.models import shipped
from dias_jax.runs.flags import open_model, run_on_model

NAME = flags.DEFINE_string("name", None, "name for dias_jax.models.load")
HALF = flags.DEFINE_bool("half", False, "store float16: half the size, and what is evaluated")
LARGEST = 3_000_000  # bytes
FIRST = 64  # images that a test evaluates, or frames of videos
SPLIT = "test"


def current_commit():
    """The hash of the checkout's commit. Raises UserError where files differ from it."""
    folder = pathlib.Path(__file__).parent

    def git(*arguments):
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    if git("status", "--porcelain", "--untracked-files=no"):
        raise UserError("the checkout has uncommitted changes: commit them, train, then ship")
    return git("rev-parse", "HEAD")


def main(arguments):
    """Evaluate and write."""
    require("workdir", "name")
    commit, trained = current_commit(), open_model("latest")
    config, variables = trained.config.copy_and_resolve_references(), trained.variables
    if HALF.value:
        variables = jax.tree.map(lambda x: x.astype(jnp.float16), variables)
        trained = trained._replace(
            variables=jax.tree.map(lambda x: x.astype(jnp.float32), variables)
        )
    size = sum(x.nbytes for x in jax.tree.leaves(variables))
    if size > LARGEST:
        raise UserError(f"{size:,} bytes of variables: at most {LARGEST:,} may ship")
    source = open_evaluation(config, SPLIT)
    step = compile_evaluation(config, trained.model, source.num_masks)
    results = []
    for limit in (0, FIRST // max(source.max_frames, 1)):
        config.evaluation.limit = limit
        metrics, count = evaluate_split(step, trained.variables, config, SPLIT)
        results.append({"num_samples": count, "metrics": metrics})
    whole, first = results
    record = {
        "config": trained.config.to_dict(),
        "commit": commit,
        "step": trained.step,
        "split": SPLIT,
        "protocol": protocol_line(config, SPLIT),
        **whole,
        "first": first,
    }
    shipped.save(NAME.value, variables, record)
    print(f"{shipped.FOLDER / NAME.value}.safetensors, .json: {size:,} bytes, {whole['metrics']}")


if __name__ == "__main__":
    run_on_model(main)
