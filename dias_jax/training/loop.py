"""The training loop: the only place that owns files, clocks and signals."""

import contextlib
import functools
import itertools
import logging
import math
import signal
import time
from typing import NamedTuple

import jax
import numpy as np
from etils import epath
from tqdm import tqdm

from dias_jax import devices, feeding
from dias_jax.errors import NonFiniteLoss, Stopped
from dias_jax.runs.checkpoints import Checkpoints, latest_step
from dias_jax.runs.config_file import check_continuation, save_config
from dias_jax.runs.lock import only_run_in
from dias_jax.runs.start_from import start_from
from dias_jax.runs.state import create_state
from dias_jax.runs.writers import Writer
from dias_jax.steps.training import train_steps
from dias_jax.training.accumulation import parts_of
from dias_jax.training.optimizer import build_optimizer, learning_rate_schedule
from dias_jax.training.tracing import Tracer

log = logging.getLogger(__name__)

FINISHED, STOPPED = "finished", "stopped"
DIVERGED = "diverged"  # folder of the last parameters of a run that gave up
TRACE = "trace"  # folder of a profile


class FitResult(NamedTuple):
    """How a run ended."""

    status: str  # FINISHED, or STOPPED by a signal: the same command continues
    step: int  # optimiser steps that are done
    metrics: dict | None  # of the last evaluation in this process, if there was one


def fit(task, config, workdir, allow_change=False, trace=False):
    """Train `task` in `workdir` to its last step, continuing what is there: -> FitResult.

    allow_change: whether the continuation may follow another schedule
    (`dias_jax.runs.config_file`); trace: whether a profile of some steps is written into
    `workdir`/trace. When a signal stops the run, a checkpoint is saved first.
    Nothing is written before the first step has been done. Raises UserError on bad input, or where
    another process trains in `workdir`; NonFiniteLoss when training diverges.
    """
    held = only_run_in(workdir) if devices.is_main_process() else contextlib.nullcontext()
    with held:
        changes = check_continuation(config, workdir, allow_change)
        with contextlib.closing(Run(task, config, workdir, changes, trace)) as run:
            return run.to_the_end()


def finish(task, config, workdir, allow_change=False, trace=False):
    """`fit` for those who need the last step: raises Stopped when a signal comes before it."""
    result = fit(task, config, workdir, allow_change, trace)
    if result.status == STOPPED:
        raise Stopped(f"{workdir} was stopped at step {result.step}: the same command continues")


class Run:
    """One process's part of a training run."""

    def __init__(self, task, config, workdir, changes, trace):
        self.task, self.config, self.workdir = task, config, epath.Path(workdir)
        optimizer = build_optimizer(config)
        self.learning_rate = learning_rate_schedule(config)
        self.changes = changes  # {key: value} in the config of the run that is continued
        state, self.identity = create_state(config, task.model, optimizer)
        if config.start_from and not latest_step(workdir):
            state = state.replace(params=start_from(config.start_from, state.params))
        self.checkpoints = Checkpoints(workdir, self.identity)
        self.checkpoints.check_room(state)
        state = self.checkpoints.continued(state)
        self.state = devices.place(state)
        self.start = int(self.state.step)
        self.train_steps = compile_training(config, task, optimizer)
        self.writer = None  # until the first step is done, and on other hosts than the main one
        is_traced = trace and devices.is_main_process()
        self.tracer = Tracer(self.workdir / TRACE) if is_traced else None
        # Of each call sample ids (K, B), whether they replace damaged ones, metrics on the devices.
        self.window = []  # since the last log line
        self.num_replaced = 0  # damaged samples of this host since its start
        self.num_skipped = 0  # steps without a finite loss and gradient since its start
        self.clock = time.perf_counter(), self.start  # time and step from which speed is measured

    def to_the_end(self):
        """Run the remaining steps: -> FitResult."""
        config, rng, metrics = self.config, jax.random.key(self.config.seed), None
        length = call_length(config, self.start)
        steps = range(self.start + length, config.steps + 1, length)
        batches = itertools.islice(self.task.train_batches(self.start), len(steps) * length)
        calls = feeding.ahead(feeding.stack(batches, length), axis=1)
        hidden = None if devices.is_main_process() else True  # None: without a terminal
        bar = tqdm(total=config.steps, initial=self.start, unit="step", disable=hidden)
        with contextlib.closing(calls), bar, stop_signal() as stop:
            for step, (batch, fed) in zip(steps, calls):
                with jax.profiler.StepTraceAnnotation("train", step_num=step):
                    self.state, values = self.train_steps(self.state, fed, rng)
                if step == steps[0]:
                    self.begin(step)
                if self.tracer is not None:
                    self.tracer.after_call(values)
                self.window.append((batch["index"], batch["replaced"], values))
                if step % config.log_every == 0 or step == config.steps:
                    self.log_window(step, bar)
                stopping = jax.process_count() == 1 or step % config.log_every == 0
                stopping = stopping and devices.any_host(stop.is_set)
                if step % config.evaluation.every == 0 or step == config.steps:
                    self.log_window(step, bar)
                    metrics = self.validate(step)
                    self.checkpoints.save(self.state, self.task.quality(metrics))
                elif stopping:
                    self.log_window(step, bar)
                    self.checkpoints.save(self.state)
                if stopping and step < config.steps:
                    return FitResult(STOPPED, step, metrics)
        return FitResult(FINISHED, config.steps, metrics)

    def begin(self, step):
        """Write down what is trained here: the first call, to `step`, has shown that it can be."""
        jax.block_until_ready(self.state)
        if devices.is_main_process():
            save_config(self.config, self.workdir)
            self.writer = Writer(self.workdir, self.start)
            if self.changes:
                self.writer.line(self.start, "config", values=self.changes)
        self.clock = time.perf_counter(), step  # compilation is not speed

    def log_window(self, step, bar):
        """Fetch, check and write the metrics of the steps since the last log line, up to `step`."""
        if not self.window:
            return
        window, self.window = jax.device_get(self.window), []
        samples, replaced, values = jax.tree.map(lambda *parts: np.concatenate(parts), *window)
        steps, is_sound = range(step - len(samples) + 1, step + 1), values.pop("skipped") == 0
        self.count_skipped(steps, samples, ~is_sound)
        shown = is_sound if is_sound.any() else ~is_sound
        mean = {name: value[shown].mean(0).tolist() for name, value in values.items()}
        mean["skipped_steps"] = int((~is_sound).sum())
        mean["replaced_samples"] = int(replaced.sum())  # of this host
        self.num_replaced += mean["replaced_samples"]
        mean["learning_rate"] = float(self.learning_rate(step - 1))
        (start, first), self.clock = self.clock, (time.perf_counter(), step)
        speed = (step - first) * self.config.batch_size / (self.clock[0] - start)
        bar.update(step - bar.n)
        summary = f"loss {mean['loss']:.4f}"
        if step > first:  # the first call, which compiles, may be all there was
            summary += f", {speed:.0f} {self.task.unit}/s"
        bar.set_postfix_str(summary)
        if self.writer is not None:
            if bar.disable:
                print(f"step {step} {summary}", flush=True)
            self.writer.scalars(step, "train", mean)

    def count_skipped(self, steps, samples, skipped):
        """Name the steps that were skipped. Raises NonFiniteLoss where they are too many."""
        for step, ids, is_skipped in zip(steps, samples, skipped):
            if not is_skipped:
                continue
            self.num_skipped += 1
            log.warning(
                "step %d was skipped: its loss or gradient is not finite; samples %s",
                step,
                ids.tolist(),
            )
            if self.num_skipped > self.config.optimizer.skip_limit:
                self.give_up(step, ids)

    def give_up(self, step, samples):
        """Leave the last parameters as a work directory of their own, and raise NonFiniteLoss."""
        folder = self.workdir / DIVERGED
        if devices.is_main_process() and folder.exists():  # of an earlier try
            folder.rmtree()
        with contextlib.closing(Checkpoints(folder, self.identity)) as checkpoints:
            checkpoints.save(self.state)
        if devices.is_main_process():
            save_config(self.config, folder)
        raise NonFiniteLoss(
            f"loss or gradient of {self.num_skipped} steps is not finite, the last is step {step} "
            f"with samples {samples.tolist()}; for inspection the parameters are in {folder}; "
            f"{self.workdir} keeps the last checkpoint: continue it with, say, a smaller "
            "--config.optimizer.learning_rate and --allow_change"
        )

    def validate(self, step):
        """Evaluate, write metrics and a picture: -> {name: value}."""
        split = self.config.evaluation.split

        def write_picture(picture):
            if self.writer is not None:
                self.writer.picture(step, split, picture)

        metrics = self.task.evaluate(self.state.variables, write_picture)
        if self.writer is not None:
            self.writer.scalars(step, split, metrics, self.task.protocol)
            for line in self.task.summary(metrics):
                tqdm.write(f"step {step} {split} {line}")
        self.clock = time.perf_counter(), step  # the time of an evaluation is not that of steps
        return metrics

    def close(self):
        """Wait for the checkpoint that is being written, close the files, report damage."""
        if self.num_replaced:
            log.warning("%d times a damaged training sample was replaced", self.num_replaced)
        self.checkpoints.close()
        if self.writer is not None:
            self.writer.close()
        if self.tracer is not None:  # last: a profile is worth less than what is above
            self.tracer.close()


def call_length(config, start):
    """Steps of each call: at most `steps_per_call`, and every log line at the end of one."""
    ends = config.log_every, config.evaluation.every, config.steps, start
    return math.gcd(config.steps_per_call, *ends)


def compile_training(config, task, optimizer):
    """`train_steps` for a task, compiled for all devices."""
    step = functools.partial(
        train_steps,
        loss_fn=task.loss_fn,
        optimizer=optimizer,
        accumulation=parts_of(config, config.batch_size // jax.device_count()),
    )
    return devices.compile_step(step, donate=True)


@contextlib.contextmanager
def stop_signal():
    """An object whose `is_set` turns true on SIGTERM, SIGHUP or the first Ctrl-C."""

    class Stop:
        is_set = False

    stop = Stop()

    def request(number, frame):
        stop.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second Ctrl-C is heard

    numbers = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
