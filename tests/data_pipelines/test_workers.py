"""Processes that read: the same errors, and none is left behind; batches: `test_pipeline`."""

import logging
import signal
import subprocess
import sys

import pytest

from data_pipelines import pipeline
from data_pipelines.workers import InProcesses
from dias_jax.errors import UserError
from tests.data_pipelines.test_damage import damage_one, edit_records

PROGRAM = """
from data_pipelines.workers import InProcesses
made = InProcesses(range(10, 20), 1)
print(made[3], flush=True)
input()
"""


def test_an_error_is_that_of_the_sample(coco, coco_config, tmp_path):
    edit_records(coco, coco_config, tmp_path / "damaged", "train", damage_one)
    batches = pipeline.train_batches(coco_config, 11, seed=0, num_processes=1)
    with pytest.raises(UserError, match="prepare the data set again"):
        next(batches)


def test_a_lost_process_is_replaced_by_this_one(caplog):
    made = InProcesses(range(10, 20), 1)
    assert made[3] == 13
    worker = made.idle.get()
    made.idle.put(worker)
    worker.process.kill()
    worker.process.wait()
    assert [made[4], made[5]] == [14, 15]
    assert len(caplog.records) == 1 and "was lost" in caplog.text


class Noisy:
    """Samples of which one is warned of."""

    def __getitem__(self, index):
        print("no answer")
        logging.getLogger("data_pipelines.damage").warning("sample 3 is damaged")
        return index


def test_a_warning_of_all_processes_is_said_once(caplog):
    made = InProcesses(Noisy(), 2)
    first, second = made.idle.get(), made.idle.get()
    for worker in (first, second):  # not started yet: each makes one
        made.idle.put(worker)
        assert made[3] == 3
        started = made.idle.get()
        assert hasattr(started, "process")
    assert [record.getMessage() for record in caplog.records] == ["sample 3 is damaged"]


def test_what_python_prints_at_its_start_is_no_answer(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("print('This machine is for staff')")
    (tmp_path / "pickle.py").write_text("raise ImportError('not the one that is meant')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    made = InProcesses(range(10, 20), 1)
    assert made[3] == 13
    assert hasattr(made.idle.get(), "process")


def test_processes_end_with_what_they_are_for():
    made = InProcesses(range(10, 20), 1)
    assert made[3] == 13
    worker = made.idle.get()
    made.idle.put(worker)
    process = worker.process
    del made, worker
    assert process.poll() is not None


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_processes_end_with_the_program(end):
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
        assert program.stdout.readline() == "13\n"
        program.send_signal(end)
        assert program.stderr.read() == ""  # the worker had it too: ended when that has ended
        assert program.wait() == -end
