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
    share is made in this process. samples: what pickle can send, of classes that can be imported.
    """

    def __init__(self, samples, count):
        self.samples, self.idle, self.warnings = samples, queue.SimpleQueue(), set()
        for _ in range(count):
            self.idle.put(None)  # one that has not started

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        worker, usable = self.idle.get(), None
        try:
            worker = worker or Worker(self.samples)
            succeeded, value, warnings = worker.make(int(index))
            usable = worker
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            log.warning("a process that reads samples was lost (%r): this one does its part", error)
            usable = Here(self.samples)
            succeeded, value, warnings = usable.make(int(index))
        finally:
            self.idle.put(usable)  # None, after an error that nobody knows: a new one starts
        for text in warnings:
            if text not in self.warnings:  # every process says it
                self.warnings.add(text)
                log.warning("%s", text)
        if not succeeded:
            raise value
        return value


class Worker:
    """A process that makes samples. Raises OSError or EOFError when it is lost."""

    def __init__(self, samples):
        receiving, sending = os.pipe()
        self.answers = os.fdopen(receiving, "rb")
        # Not multiprocessing, whose processes run the main program's file again; -P: nor does the
        # current directory come before the program's import path. A session of its own: Ctrl-C is
        # for the program. No accelerator: the program has it.
        path = os.pathsep.join(part or os.getcwd() for part in sys.path)
        program = f"import {__name__} as workers; workers.serve({sending})"
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", program],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
                pass_fds=(sending,),
                start_new_session=True,
            )
        finally:
            os.close(sending)
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
        """Whether samples[index] could be made, it or the error, and texts of warnings."""
        self.send(index)
        return pickle.load(self.answers)


class Here:
    """Makes samples in this process, as a Worker does."""

    def __init__(self, samples):
        self.samples = samples

    def make(self, index):
        """As of Worker, but what is warned of is said at once."""
        try:
            return True, self.samples[index], ()
        except Exception as error:
            return False, error, ()


class Kept(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        """Keep a record's text."""
        self.texts.append(record.getMessage())

    def take(self):
        """The texts since the last time."""
        texts, self.texts = self.texts, []
        return texts


def serve(descriptor):
    """Make what is asked for on the standard input, until that ends; answer to a descriptor."""
    answers, requests, kept = os.fdopen(descriptor, "wb"), sys.stdin.buffer, Kept()
    logger = logging.getLogger(__name__.split(".")[0])
    logger.addHandler(kept)
    logger.propagate = False
    try:
        samples = Here(pickle.load(requests))
        while True:
            succeeded, value, _ = samples.make(pickle.load(requests))
            answers.write(pickle.dumps((succeeded, value, kept.take()), pickle.HIGHEST_PROTOCOL))
            answers.flush()
    except (EOFError, BrokenPipeError):
        os._exit(0)  # the program has ended: nothing is to be done, or said
