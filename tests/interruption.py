"""A signal that comes while a run is at work."""

import itertools
import signal

from dias_jax.training import loop


def interrupt_at(monkeypatch, number):
    """Make the `number`-th call of a run's training step raise SIGTERM."""
    original = loop.compile_training

    def compile_training(*arguments):
        train_steps, numbers = original(*arguments), itertools.count(1)

        def run(*arguments):
            if next(numbers) == number:
                signal.raise_signal(signal.SIGTERM)
            return train_steps(*arguments)

        return run

    monkeypatch.setattr(loop, "compile_training", compile_training)
