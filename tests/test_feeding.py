"""Batches come in order, one of them ahead, and what goes wrong comes in its turn."""

import jax
import numpy as np
import pytest

from dias_jax import devices, feeding


def count_up(stop, read):
    """Batches 0 ... `stop` - 1, then something wrong; `read` gets what was read."""
    for number in range(stop):
        read.append(number)
        yield {"image": np.full((2, 3), number, np.uint8)}
    raise ValueError("no more")


@pytest.mark.parametrize(
    "backend, cores, expected", [("cpu", 64, 0), ("gpu", 3, 0), ("gpu", 4, 3), ("tpu", 112, 16)]
)
def test_processes_read_for_accelerators(monkeypatch, backend, cores, expected):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(devices, "cpu_threads", lambda: cores)
    assert feeding.reading_processes(-1) == expected
    assert [feeding.reading_processes(wanted) for wanted in (0, 5)] == [0, 5]


def test_one_batch_is_read_ahead_and_no_more():
    read = []
    fed = feeding.ahead(count_up(9, read))
    batch, copy = next(fed)
    fed.close()  # waits for the thread
    assert read == [0, 1]
    assert isinstance(copy["image"], jax.Array) and copy["image"].dtype == np.uint8
    np.testing.assert_array_equal(copy["image"], batch["image"])


def test_what_reading_raises_comes_after_the_batches_before_it():
    seen = []
    with pytest.raises(ValueError, match="no more"):
        seen.extend(int(batch["image"][0, 0]) for batch, _ in feeding.ahead(count_up(3, [])))
    assert seen == [0, 1, 2]


def test_the_end_of_the_batches_is_the_end():
    assert len(list(feeding.ahead([{"index": np.arange(2)}] * 3))) == 3


def test_batches_are_stacked_and_the_last_ones_are_not_lost():
    batches = [{"index": np.full(2, number)} for number in range(5)]
    stacked = [batch["index"][:, 0].tolist() for batch in feeding.stack(batches, 2)]
    assert stacked == [[0, 1], [2, 3], [4]]
