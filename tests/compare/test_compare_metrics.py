"""Metrics of both implementations side by side."""

import numpy as np
import pytest

from dias_jax.compare.case import as_released
from dias_jax.compare.metrics import (
    COLUMNS,
    compare_metrics,
    metric_row,
    overflows,
    section,
    select,
)
from dias_jax.compare.pair import Pair
from dias_jax.config.defaults import released
from dias_jax.models import Reinit, load
from dias_jax.training.train_model import train_model

SHARES = {"decoder": 0.25, "aggregator": 0.0}
NONE_LEFT_OUT = dict.fromkeys(COLUMNS, 0)


def pair(values, valid):
    return np.array(values), np.array(valid, bool)


def test_what_the_reference_lacks_is_switched_off():
    model = load("shapes")[0]
    assert model.reinit.threshold > 0 and model.token_stride == 3
    stripped = as_released(model)
    assert stripped.reinit == Reinit() and stripped.token_stride == 1
    assert stripped.evaluation_sees_tokens == model.evaluation_sees_tokens


def test_padding_is_left_out_and_percent_is_given():
    ours, theirs = pair([0.5, 0.25, 0.1], [1, 1, 0]), pair([0.5, 0.5, 0.2], [1, 1, 0])
    valid = np.array([True, False, True])
    np.testing.assert_array_equal(select(ours, theirs, valid), [[50.0], [50.0]])


def test_a_sample_that_counts_for_one_only_is_no_agreement():
    chosen = select(pair([0.5], [True]), pair([0.0], [False]), np.array([True]))
    assert chosen.shape == (2, 1) and np.isnan(chosen[1, 0])
    assert metric_row("decoder/ari", chosen)[-1] == "nan"


def test_row_and_section():
    values = np.array([[50.0, 40.0], [50.0, 41.0]])
    assert metric_row("aggregator/fg_ari", values) == [
        "aggregator",
        "FG-ARI",
        "2",
        "45.0000",
        "45.5000",
        "-5.0e-01",
        "1.0e+00",
    ]
    made = section(dict.fromkeys(COLUMNS, values), SHARES, NONE_LEFT_OUT, "shapes")
    assert len(made.tables[0].rows) == 8 and "decoder 2.5e-01" in made.text
    assert len(made.figures[0][1].axes) == 8 and "overflow" not in made.text


def test_samples_are_left_out_where_the_reference_overflows():
    """At 256x256 pixels, where one segment covers most of both maps."""
    true = np.zeros((3, 256 * 256, 4), bool)
    prediction = np.zeros((3, 256, 256), int)
    for index, share in enumerate((0.8, 0.9)):
        start = round(share * 256)
        prediction[index, start:] = 2
        true[index, : start * 256, 0], true[index, start * 256 :, 3] = True, True
    true[2, :10_000, 0] = True  # all in one mask, but little is annotated
    np.testing.assert_array_equal(overflows(prediction, true), [False, True, False])
    np.testing.assert_array_equal(overflows(prediction, true[..., 1:]), [False] * 3)
    values = dict.fromkeys(COLUMNS, np.full((2, 1), 50.0)) | {"decoder/ari": np.zeros((2, 0))}
    made = section(values, SHARES, NONE_LEFT_OUT | {"decoder/ari": 7}, "shapes")
    assert "left out for that: decoder/ari 7." in made.text
    assert made.tables[0].rows[0] == ["decoder", "ARI", "0", "-", "-", "-", "-"]


@pytest.mark.parametrize("sees_tokens", [True, False])
def test_a_run_gets_the_same_metrics_from_both(sees_tokens, checkout, tiny_config, tmp_path):
    """Trained on a backbone that the reference does not have."""
    config = released(tiny_config.unlock())
    config.steps, config.model.decoder.evaluation_sees_tokens = 3, sees_tokens
    train_model(config, tmp_path)
    pair = Pair(checkout, "tiny", 0, str(tmp_path))
    made = compare_metrics(pair, "shapes", "nowhere", "validation", 20)
    rows = made.tables[0].rows
    assert len(rows) == 8 and all(float(row[-1]) < 0.05 for row in rows), rows
