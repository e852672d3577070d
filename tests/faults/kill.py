"""Disturb runs at random moments, again and again: each must end as if nothing had happened.

python -m tests.faults.kill --kills=200 [--hosts=4] [--steps=150] [--seed=0] [--out=DIR]

A tiny run of several processes loses one of them, or all, or has one stopped for a while; often
while a checkpoint is being written. It is started again until it ends, and everything in its last
checkpoint is compared, bit for bit, with that of a run that was left alone. Then comes another one,
until the kills are done.
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

FAULTS = {"kill one": 2, "kill all": 2, "stop one": 1}  # and how often of five
PAUSE = 3  # seconds that a stopped process stands still
START = 15  # seconds in which most starts have not come to their first step


def flags_of(steps):
    """The command line of a tiny run that writes a checkpoint every few steps."""
    values = TINY | {"steps": steps, "evaluation.every": 5, "evaluation.limit": 8}
    values["model.decoder.num_layers"] = 1  # most of the time goes into starting
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
    if chance.random() < 0.5:  # while it starts
        time.sleep(chance.uniform(0, START))
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


def run_to_the_end(workdir, flags, kills, hosts=2, seed=0):
    """Run in `workdir`, killed `kills` times at most: -> what happened, counted.

    `slowest`: seconds until the others had noticed that one was gone, at most.
    """
    chance = random.Random(seed)
    counts = collections.Counter(kills=0, stops=0, starts=0, while_writing=0)
    codes, slowest = None, 0.0
    while codes != [0] * hosts:
        run, codes = Run(workdir, flags, hosts), None
        counts["starts"] += 1
        while codes is None:
            if counts["kills"] >= kills:
                codes = run.wait()
                assert codes == [0] * hosts, run.output(0)[-3000:]
                break
            writing = await_moment(run, chance)
            (fault,) = chance.choices(list(FAULTS), FAULTS.values())
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
    return dict(counts) | {"slowest": round(slowest, 1)}


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


def compare(disturbed, alone):
    """Compare what two runs have left."""
    different = differences(final_state(disturbed), final_state(alone))
    assert not different, (disturbed, different)
    assert steps_logged(disturbed) == steps_logged(alone), disturbed


def main():
    """Print what was done to each run, and whether anything came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="of all runs together")
    parser.add_argument("--hosts", type=int, default=4)
    parser.add_argument("--steps", type=int, default=150, help="of each run")
    parser.add_argument("--seed", type=int, default=0, help="of what is done, and when")
    parser.add_argument("--out", type=pathlib.Path, help="empty folder; default: a temporary one")
    options = parser.parse_args()
    out = options.out or pathlib.Path(tempfile.mkdtemp(prefix="faults_"))
    out.mkdir(parents=True, exist_ok=True)
    flags, total, runs, slowest = flags_of(options.steps), collections.Counter(), 0, 0.0
    print(f"left alone: {run_to_the_end(out / 'alone', flags, 0, options.hosts)}", flush=True)
    while total["kills"] < options.kills:
        disturbed, runs = out / f"disturbed_{runs}", runs + 1
        left, seed = options.kills - total["kills"], options.seed + runs
        counts = run_to_the_end(disturbed, flags, left, options.hosts, seed)
        compare(disturbed, out / "alone")
        slowest = max(slowest, counts.pop("slowest"))
        total.update(counts)
        print(
            f"run {runs} ended as the one left alone; {total['kills']} kills: {counts}", flush=True
        )
    print(f"{runs} runs disturbed: {dict(total)}; a lost host noticed within {slowest} s")
    print("their last checkpoints are equal bit for bit, and the metrics have the same lines")


if __name__ == "__main__":
    main()
