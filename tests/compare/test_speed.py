"""Speed and memory: what is made of the timings, and that memory is measured."""

import io
import os

import numpy as np
import pytest

from dias_jax.compare.memory import STATUS, measure_peak, resident_growth, resident_now
from dias_jax.compare.pair import Pair
from dias_jax.compare.speed import HEADER, Measurement, take_turns
from dias_jax.compare.speed_plot import plot_memory, plot_ratios
from dias_jax.errors import UserError

MEGABYTE = 2**20
needs_linux = pytest.mark.skipif(not STATUS.exists(), reason="needs /proc of Linux")


def measurement(name="training", batch_size=4, peaks=(2**30, 2**31)):
    seconds = np.array([[1.0, 2.0, 1.0], [2.0, 2.0, 3.0]])
    return Measurement(name, "float32", batch_size, seconds, peaks)


def test_ratio_above_one_means_ours_is_faster():
    cells = measurement(peaks=(2**30, None)).cells()
    assert cells[:5] == ["training", "float32", "4", "4.00", "2.00"]
    assert cells[5:] == ["2.00 (1.00 to 3.00)", "1.00", "not measured"]
    assert len(cells) == len(HEADER)


def test_the_two_take_turns():
    calls = []
    seconds = take_turns([lambda n: calls.append("ours"), lambda n: calls.append("theirs")], 3, 1)
    assert calls == ["ours", "theirs"] * 4  # one to warm up
    assert seconds.shape == (2, 3) and (seconds > 0).all()


def test_plots_have_a_panel_a_pass_and_show_what_was_measured():
    def pixels(plot, measured):
        figure, stream = plot(measured), io.BytesIO()
        figure.savefig(stream, format="png")
        return [axis.get_title() for axis in figure.axes], stream.getvalue()

    measured = [measurement(name, size) for name in ("training", "evaluation") for size in (2, 8)]
    greedy = [measurement(name, size, (2**30, 2**32)) for name in ("training",) for size in (2, 8)]
    titles, ratios = pixels(plot_ratios, measured)
    assert titles == ["training", "evaluation"]
    assert ratios != pixels(plot_ratios, measured[:3])[1]
    assert pixels(plot_memory, measured[:2])[1] != pixels(plot_memory, greedy)[1]


@needs_linux
def test_memory_grows_by_what_a_step_takes_at_its_peak():
    def run(count):
        for _ in range(count):
            np.ones(64 * MEGABYTE, np.uint8)

    assert 60 * MEGABYTE < resident_growth(run, resident_now()) < 100 * MEGABYTE


@needs_linux
def test_what_only_the_first_step_takes_does_not_count():
    sizes = iter([256, 1, 1])

    def run(count):
        for _ in range(count):
            np.ones(next(sizes) * MEGABYTE, np.uint8)

    assert resident_growth(run, resident_now()) < 100 * MEGABYTE


class Fatal:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_process_that_was_ended_is_reported_in_one_line():
    with pytest.raises(UserError, match="batch size 7 .* smaller --batch_sizes"):
        measure_peak("ours", "training", Fatal(), "float32", 7)


@pytest.mark.slow
@needs_linux
def test_ours_is_measured_in_a_process_of_its_own():
    peak = measure_peak("ours", "evaluation", Pair(None, "tiny", 0), "float32", 2)
    assert 0 < peak < 2**31
