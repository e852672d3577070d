"""Opening a run with another config than it was trained with."""

import pytest

from dias_jax.config import save_config
from dias_jax.errors import UserError
from dias_jax.runs import open_run


def test_a_gaussian_for_each_slot_fixes_their_number(tiny_config, tmp_path):
    tiny_config.model.initializer = "separate"
    save_config(tiny_config, tmp_path)
    tiny_config.model.num_slots = 9
    with pytest.raises(UserError, match="model.num_slots=9: .* each of 4 slots"):
        open_run(tmp_path, tiny_config)
