"""The training loop: the only place that owns files, clocks and signals."""

import contextlib
import functools
import logging
import pathlib
import signal
import time

import jax
import numpy as np
from tqdm import tqdm

from data_pipelines import pipeline, sources
from dias_jax import devices, pictures
from dias_jax.checkpoint import Checkpoints
from dias_jax.config import check_config, check_continuation, save_config
from dias_jax.evaluation import compile_evaluation, evaluate, protocol, score
from dias_jax.metrics import METRICS
from dias_jax.models import build
from dias_jax.optimizer import build_optimizer, learning_rate_schedule
from dias_jax.schedules import half_cosine_rise
from dias_jax.state import create_state
from dias_jax.steps import train_step
from dias_jax.writers import Writer

log = logging.getLogger(__name__)


def train(config, workdir):
    """Train `config` in `workdir` to its last step, continuing what is there.

    Returns the last evaluation's metrics, or None when a signal stopped the run (a checkpoint
    is saved then). Raises UserError on bad input, FloatingPointError on a non-finite loss.
    """
    check_config(config)
    check_continuation(config, workdir)
    run = Run(config, workdir)
    try:
        return run.to_the_end()
    finally:
        run.close()


def compile_training(config, model, optimizer):
    """`train_step` for a config, compiled for all devices."""
    loss, reinit = config.loss, config.model.reinit
    step = functools.partial(
        train_step,
        model=model,
        optimizer=optimizer,
        distillation_weight=half_cosine_rise(loss.distillation_weight, config.steps),
        reduce_probability=half_cosine_rise(
            reinit.probability, reinit.probability_rise * config.steps
        ),
        distillation=loss.distillation,
        teacher=loss.distillation_teacher,
        accumulation=config.accumulation,
    )
    return devices.compile_step(step, donate=True)


class Run:
    """One process's part of a training run."""

    def __init__(self, config, workdir):
        self.config, self.workdir = config, pathlib.Path(workdir)
        num_masks = sources.open_split(config.data, config.evaluation.split).num_masks
        sources.open_split(config.data, "train")
        model, optimizer = build(config.model), build_optimizer(config)
        self.learning_rate = learning_rate_schedule(config)
        state, identity = create_state(config, model, optimizer)
        self.workdir.mkdir(parents=True, exist_ok=True)
        self.checkpoints = Checkpoints(workdir, identity)
        steps = self.checkpoints.steps()
        state = self.checkpoints.restore(state, steps["latest"]) if steps else state
        self.state = devices.place(state)
        self.start = int(self.state.step)
        self.train_step = compile_training(config, model, optimizer)
        self.eval_step = compile_evaluation(config, model, num_masks)
        self.writer = None
        if devices.is_main_process():
            save_config(config, workdir)
            self.writer = Writer(workdir, self.start)
        # (step, sample ids, number of damaged ones replaced, metrics on the device), a step each
        self.window = []  # since the last log line
        self.num_replaced = 0  # damaged samples of this host since its start
        self.clock = time.perf_counter()  # when the window began

    def to_the_end(self):
        """Run the remaining steps."""
        config, rng, metrics = self.config, jax.random.key(self.config.seed), None
        batches = pipeline.train_batches(
            config.data,
            config.batch_size,
            config.seed,
            start_step=self.start,
            shard=devices.host_shard(),
            num_threads=config.data.threads,
        )
        hidden = not devices.is_main_process()
        bar = tqdm(total=config.steps, initial=self.start, unit="step", disable=hidden)
        with bar, stop_signal() as stop:
            for step in range(self.start + 1, config.steps + 1):
                batch = next(batches)
                self.state, values = self.train_step(self.state, batch, rng)
                self.window.append((step, batch["index"], batch["replaced"].sum(), values))
                if step % config.log_every == 0 or step == config.steps:
                    self.log_window(bar)
                stopping = jax.process_count() == 1 or step % config.log_every == 0
                stopping = stopping and devices.any_host(stop.is_set)
                if step % config.evaluation.every == 0 or step == config.steps:
                    self.log_window(bar)
                    metrics = self.evaluate(step)
                    self.checkpoints.save(
                        self.state, {"score": score(metrics, config.evaluation.best)}
                    )
                elif stopping:
                    self.log_window(bar)
                    self.checkpoints.save(self.state)
                if stopping and step < config.steps:
                    log.warning("stopped by a signal at step %d; run again to continue", step)
                    return None
        return metrics

    def log_window(self, bar):
        """Fetch, check and write the metrics of the steps since the last log line."""
        if not self.window:
            return
        steps, samples, replaced, values = zip(*self.window)
        self.window = []
        values = jax.device_get(values)
        for step, ids, value in zip(steps, samples, values):
            if not np.isfinite(value["loss"]):
                raise FloatingPointError(
                    f"loss is {value['loss']} at step {step}; samples {ids.tolist()}; "
                    f"the last checkpoint before it is kept in {self.workdir}"
                )
        mean = {name: np.mean([v[name] for v in values], axis=0).tolist() for name in values[0]}
        mean["replaced_samples"] = int(sum(replaced))  # of this host
        self.num_replaced += mean["replaced_samples"]
        mean["learning_rate"] = float(self.learning_rate(steps[-1] - 1))
        speed = len(steps) * self.config.batch_size / (time.perf_counter() - self.clock)
        self.clock = time.perf_counter()
        bar.update(steps[-1] - bar.n)
        bar.set_postfix_str(f"loss {mean['loss']:.4f}, {speed:.0f} images/s")
        if self.writer is not None:
            self.writer.scalars(steps[-1], "train", mean)

    def evaluate(self, step):
        """Evaluate, write metrics and pictures of the first batch."""
        config, split = self.config, self.config.evaluation.split

        def draw(number, batch, predictions):
            if number == 0 and self.writer is not None and config.evaluation.pictures:
                found, best = devices.to_host(predictions), config.evaluation.best
                picture = pictures.overview(batch, found, config.evaluation.pictures, best)
                self.writer.picture(step, split, picture)

        metrics, _ = evaluate(self.eval_step, self.state.variables, config, split, draw)
        if self.writer is not None:
            self.writer.scalars(step, split, metrics, protocol(config, split))
            for masks in ("decoder", "aggregator"):
                scores = " ".join(f"{name} {metrics[f'{masks}/{name}']:.1f}" for name in METRICS)
                tqdm.write(f"step {step} {split} {masks}: {scores}")
            found = f"{metrics['active_slots']:.1f} of {config.model.num_slots} slots in use"
            tqdm.write(f"step {step} {split} {found}")
        self.clock = time.perf_counter()  # the time of an evaluation is not that of steps
        return metrics

    def close(self):
        """Wait for the checkpoint that is being written, close the files, report damage."""
        if self.num_replaced:
            log.warning("%d times a damaged training sample was replaced", self.num_replaced)
        self.checkpoints.close()
        if self.writer is not None:
            self.writer.close()


@contextlib.contextmanager
def stop_signal():
    """An object whose `is_set` turns true on SIGTERM or the first Ctrl-C."""

    class Stop:
        is_set = False

    stop = Stop()

    def request(number, frame):
        stop.is_set = True
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the second Ctrl-C is heard

    before = {number: signal.signal(number, request) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
