"""Everything that is to be measured on a GPU, by one command.

python -m dias_jax.experiments.benchmarks.gpu --reference=DIR --out=runs/gpu

Runs in turn, each in a process of its own: the embedded default from start to end, and both
implementations in bfloat16 at several batch sizes (`dias_jax.compare`), with the instructions that
its profiles name as the longest. OUT holds a log of each and speed/report.html; speed.log has every
line as soon as it is measured. A part that fails is named at the end and does not stop the others.
"""

import os
import pathlib
import subprocess
import sys
import time

from absl import flags

from dias_jax.cli import require, run
from dias_jax.errors import UserError
from dias_jax.pictures.tables import markdown_table

from .profiles import longest_instructions

REFERENCE = flags.DEFINE_string("reference", None, "checkout of github.com/Genera1Z/DIAS")
OUT = flags.DEFINE_string("out", None, "directory for logs, profiles and the report")
BATCH_SIZES = flags.DEFINE_multi_integer("batch_size", [32, 256], "of both implementations", 1)
SIZE = flags.DEFINE_enum("size", "full", ["full", "tiny"], "of the model that is compared")
STEPS = flags.DEFINE_integer("steps", 0, "of the embedded default; 0: its own number", 0)


def commands(out):
    """{name of a part: arguments after `python -m`}."""
    sizes = ",".join(map(str, BATCH_SIZES.value))
    steps = [f"--config.steps={STEPS.value}"] * bool(STEPS.value)
    return {
        "shapes": ["dias_jax.train", "--config=shapes", f"--workdir={out / 'shapes'}", *steps],
        "speed": [
            *("dias_jax.compare", "--parts=speed", "--dtypes=bfloat16", f"--size={SIZE.value}"),
            *(f"--reference={REFERENCE.value}", f"--batch_sizes={sizes}"),
            *(f"--out={out / 'speed'}", f"--trace={out / 'profile'}"),
        ],
    }


def run_part(name, arguments, out):
    """Run one part with its output in OUT/NAME.log: -> seconds, exit code."""
    # The processes that measure memory compile the same programs as the one that measures time.
    environment = {"JAX_COMPILATION_CACHE_DIR": str(out.absolute() / "compiled")} | os.environ
    start = time.perf_counter()
    with open(out / f"{name}.log", "w") as log:
        command = [sys.executable, "-m", *arguments]
        ended = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    return time.perf_counter() - start, ended.returncode


def main(arguments):
    """Run all parts, then print what they took, the report and the longest instructions."""
    require("reference", "out")
    if not pathlib.Path(REFERENCE.value).is_dir():
        raise UserError(f"--reference={REFERENCE.value}: there is no such folder")
    out = pathlib.Path(OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, command in commands(out).items():
        seconds, code = run_part(name, command, out)
        rows.append([name, f"{seconds:.0f}", "done" if code == 0 else f"exit code {code}"])
        print(" ".join(map(str, rows[-1])), flush=True)
    print(markdown_table(["part", "seconds", "how it ended"], rows))
    report = out / "speed" / "report.md"
    if report.exists():
        print(report.read_text())
    header = ["instruction", "calls", "milliseconds", "%"]
    for folder in sorted((out / "profile").glob("*")):
        print(f"\n{folder.name}\n\n{markdown_table(header, longest_instructions(folder))}")
    failed = [name for name, _, end in rows if end != "done"]
    if failed:
        logs = ", ".join(str(out / f"{name}.log") for name in failed)
        raise UserError(f"failed: {', '.join(failed)}; what they said is in {logs}")


if __name__ == "__main__":
    run(main)
