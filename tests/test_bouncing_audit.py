"""What can be guessed of the answers to the questions of `bouncing`."""

import sys

import numpy as np
import pytest

from dias_jax.errors import UserError
from experiments.studies import bouncing_audit


@pytest.mark.slow
def test_shortcuts_do_not_answer_the_questions():
    said, answers, ghost = bouncing_audit.audit(bouncing_audit.draw_worlds(800))
    right = {name: 100 * (values == answers).mean() for name, values in said.items()}
    # Half of the questions either way, and the ghost right on half of them, by construction.
    assert answers.mean() == 0.5 and right["the ghost"] == 50
    assert right["a simulation"] == 100  # everything that decides is in the last observed frame
    # 6,000 questions give 57, 67, 68, 70 and 74; with 800 the standard error is 1.8.
    assert 45 < right["all discs in the first frame"] < 62
    assert right["gap between the two"] < 73 and right["both discs' states"] < 73
    assert 60 < right["both discs' states and the ghost's answer"] < 76
    assert 62 < right["all discs' states"] < 81


def test_relation_is_of_two_discs():
    states = np.zeros((1, 5, 5))
    states[0, :2] = [0.2, 0.5, 0.01, 0, 0.1], [0.6, 0.5, -0.02, 0, 0.05]
    found = bouncing_audit.relation(states, 0, 1)
    np.testing.assert_allclose(found, [[0.4, 0, -0.03, 0, 0.25, 0.03]], atol=1e-12)


def test_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(UserError, match="pip install scikit-learn"):
        bouncing_audit.learn(np.zeros((2, 1)), np.zeros(2, bool))
