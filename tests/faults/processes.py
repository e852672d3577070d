"""Training runs of several processes on loopback, to be watched and disturbed."""

import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import orbax.checkpoint as ocp

from dias_jax.runs.checkpoints import DIRECTORY, latest_step
from tests.quickly import quick_environment

REPOSITORY = pathlib.Path(__file__).parents[2]


def free_port():
    """A port of this machine that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Run:
    """`dias_jax.train` in so many processes, started at once; see `processes`."""

    def __init__(self, workdir, flags, hosts=1, devices=1):
        self.workdir = pathlib.Path(workdir)
        command = [sys.executable, "-m", "dias_jax.train", *flags, f"--workdir={workdir}"]
        self.started = time.time()
        together = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_hosts={hosts}"]
        together.append("--join_timeout=60")
        environment = quick_environment(devices)
        self.logs = [self.workdir.with_name(f"{self.workdir.name}.host{h}") for h in range(hosts)]
        self.processes = []
        for host, log in enumerate(self.logs):
            more = [*together, f"--host={host}"] if hosts > 1 else []
            with log.open("w") as file:
                self.processes.append(
                    subprocess.Popen(
                        [*command, *more],
                        cwd=REPOSITORY,
                        env=environment,
                        stdout=file,
                        stderr=file,
                    )
                )

    def output(self, host):
        """What a host has printed."""
        return self.logs[host].read_text()

    def is_running(self):
        """Whether every process runs."""
        return all(process.poll() is None for process in self.processes)

    def latest_step(self):
        """The step of the latest checkpoint, 0 without one."""
        return latest_step(self.workdir)

    def wait_for_step(self, step):
        """Wait until the checkpoint of `step` or a later one is there, or a process ends."""
        while self.latest_step() < step:
            assert self.is_running(), self.output(0)[-3000:]
            time.sleep(0.05)

    def wait(self):
        """Wait for the end: -> exit codes."""
        return [process.wait() for process in self.processes]

    def kill(self):
        """End all processes at once, without a word to them."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
        self.wait()


def final_state(workdir):
    """Everything that the latest checkpoint holds: {name: numpy array}."""
    folder = pathlib.Path(workdir).resolve() / DIRECTORY / str(latest_step(workdir)) / "state"
    leaves = jax.tree_util.tree_leaves_with_path(ocp.PyTreeCheckpointer().restore(folder))
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
