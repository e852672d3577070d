"""Samples that other processes make: Python threads draw and decode little at the same time."""

import logging
import os
import pickle
import queue
import subprocess
import sys

log = logging.getLogger(__name__)


class InProcesses:
    """Random access to `samples` of any kind that `count` other processes make, one at a time each.

    `made[i]` is samples[i], and raises what that raises; for as many threads as there are
    processes. These start with the first requests, know nothing of the program that asks but its
    import path, and end with this object or that program, however it ends. Where one is lost, its
    share is made in this process. samples: what pickle can send.
    """

    def __init__(self, samples, count):
        self.samples, self.idle = samples, queue.SimpleQueue()
        for _ in range(count):
            self.idle.put(None)  # one that has not started

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        worker = self.idle.get()
        try:
            worker = worker or Worker(self.samples)
            succeeded, value = worker.make(int(index))
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            log.warning("a process that reads samples was lost (%r): this one does its part", error)
            worker = Here(self.samples)
            succeeded, value = worker.make(int(index))
        finally:
            self.idle.put(worker)
        if not succeeded:
            raise value
        return value


class Worker:
    """A process that makes samples. Raises OSError or EOFError when it is lost."""

    def __init__(self, samples):
        # Not multiprocessing, whose processes run the main program's file again. A session of its
        # own: Ctrl-C is for the program. No accelerator: that has one.
        path = os.pathsep.join(filter(None, sys.path))
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"import {__name__} as workers; workers.serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
            start_new_session=True,
        )
        self.send(samples)

    def __del__(self):
        if hasattr(self, "process"):
            self.process.kill()  # it has nothing to save
            self.process.communicate()

    def send(self, value):
        """Give the process something."""
        pickle.dump(value, self.process.stdin, pickle.HIGHEST_PROTOCOL)
        self.process.stdin.flush()

    def make(self, index):
        """Whether samples[index] could be made, and it or the error."""
        self.send(index)
        return pickle.load(self.process.stdout)


class Here:
    """Makes samples in this process, as a Worker does."""

    def __init__(self, samples):
        self.samples = samples

    def make(self, index):
        """As of Worker."""
        try:
            return True, self.samples[index]
        except Exception as error:
            return False, error


def serve():
    """Make what is asked for on the standard input, until that ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else is printed is no answer
    requests = sys.stdin.buffer
    try:
        samples = Here(pickle.load(requests))
        while True:
            answer = samples.make(pickle.load(requests))
            answers.write(pickle.dumps(answer, pickle.HIGHEST_PROTOCOL))
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the program has ended: nothing is to be done, or said
