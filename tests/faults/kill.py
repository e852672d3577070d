"""Disturb a run at random moments, again and again: it must end as if nothing had happened.

python -m tests.faults.kill --kills=200 [--hosts=4] [--seed=0] [--minutes=15] [--out=DIR]

A tiny run of several processes loses one of them, or all, or has one stopped for a while; half of
the time while a checkpoint is being written. It is started again until it ends, and everything in
its last checkpoint is compared, bit for bit, with that of a run that was left alone.
"""

import argparse
import collections
import contextlib
import json
import pathlib
import random
import signal
import tempfile
import time

import numpy as np

from tests.faults.processes import Run, final_state
from tests.tiny import TINY

FAULTS = ("kill one", "kill all", "stop one")
PAUSE = 3  # seconds that a stopped process stands still


def flags_of(steps):
    """The command line of a tiny run that writes a checkpoint every few steps."""
    values = TINY | {"steps": steps, "evaluation.every": 5, "evaluation.limit": 8}
    return [
        "--config=dias_jax/config/defaults.py",
        *(f"--config.{key}={value}" for key, value in values.items()),
    ]


def is_writing(run):
    """Whether a checkpoint of `run` is being written; what earlier starts left does not count."""
    for path in run.workdir.glob("checkpoints/*tmp*"):
        with contextlib.suppress(FileNotFoundError):  # it is complete by now
            if path.stat().st_mtime > run.started:
                return True
    return False


def await_moment(run, chance):
    """Wait for a random moment of `run`: -> whether a checkpoint is being written in it."""
    start = run.latest_step()
    if chance.random() < 0.2:  # while it starts
        time.sleep(chance.uniform(0, 5))
    else:
        while run.is_running() and run.latest_step() == start:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 3))
        if chance.random() < 0.6:
            while run.is_running() and not is_writing(run):
                time.sleep(0.001)
    return is_writing(run)


def disturb(run, fault, chance):
    """Do `fault` to `run`: -> (exit codes, None while it runs; seconds until the others ended)."""
    victim = chance.choice(run.processes)
    if fault == "stop one":
        victim.send_signal(signal.SIGSTOP)
        time.sleep(PAUSE)
        victim.send_signal(signal.SIGCONT)
        return None, 0.0
    start = time.monotonic()
    for process in run.processes if fault == "kill all" else [victim]:
        process.kill()
    return run.wait(), time.monotonic() - start


def run_to_the_end(workdir, flags, kills, hosts=2, seed=0, seconds=float("inf")):
    """Run in `workdir`, disturbed `kills` times at most: -> what happened, counted."""
    chance, deadline = random.Random(seed), time.monotonic() + seconds
    counts = collections.Counter(kills=0, stops=0, starts=0, while_writing=0)
    codes, slowest = None, 0.0
    while codes != [0] * hosts:
        run, codes = Run(workdir, flags, hosts), None
        counts["starts"] += 1
        while codes is None:
            if counts["kills"] >= kills or time.monotonic() > deadline:
                codes = run.wait()
                assert codes == [0] * hosts, run.output(0)[-3000:]
                break
            writing, fault = await_moment(run, chance), chance.choice(FAULTS)
            if not run.is_running():
                codes = run.wait()
                assert codes == [0] * hosts, run.output(0)[-3000:]
                break
            codes, waited = disturb(run, fault, chance)
            slowest = max(slowest, waited)
            counts["stops" if fault == "stop one" else "kills"] += 1
            counts[fault] += 1
            counts["while_writing"] += writing
            print(f"{fault} at step {run.latest_step()}, writing {writing}: {codes}", flush=True)
            assert codes is None or set(codes) <= {-9, 75}, run.output(0)[-3000:]
    return dict(counts) | {"seconds_until_the_others_ended": round(slowest, 1)}


def differences(found, expected):
    """Names of the arrays in which two checkpoints differ."""
    return [
        name
        for name in sorted(found.keys() | expected.keys())
        if not np.array_equal(found.get(name), expected.get(name))
    ]


def steps_logged(workdir):
    """(step, split) of every line in the metrics of a run."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    return [(line["step"], line["split"]) for line in map(json.loads, lines)]


def main():
    """Print what was done to the run, and whether anything came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--steps", type=int, help="of the run; default: 15 for each kill")
    parser.add_argument("--seed", type=int, default=0, help="of what is done, and when")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="then leave it alone")
    parser.add_argument("--out", type=pathlib.Path, help="empty folder; default: a temporary one")
    options = parser.parse_args()
    out = options.out or pathlib.Path(tempfile.mkdtemp(prefix="faults_"))
    out.mkdir(parents=True, exist_ok=True)
    flags = flags_of(options.steps or 15 * options.kills)
    alone = run_to_the_end(out / "alone", flags, 0, options.hosts)
    print(f"left alone: {alone}", flush=True)
    disturbed = run_to_the_end(
        *(out / "disturbed", flags, options.kills, options.hosts, options.seed),
        seconds=60 * options.minutes,
    )
    print(f"disturbed: {disturbed}")
    different = differences(final_state(out / "disturbed"), final_state(out / "alone"))
    assert not different, different
    assert steps_logged(out / "disturbed") == steps_logged(out / "alone")
    print("the last checkpoints are equal bit for bit, and the metrics have the same lines")


if __name__ == "__main__":
    main()
