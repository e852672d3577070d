"""The study of kept views: scenes as photographs, and a run on images and on features of these."""

import json

import numpy as np
import pytest

from data_pipelines.sources import open_split
from experiments.studies import arms, views
from tests.tiny import make_tiny_config

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.slow
def test_arms_differ_in_where_views_come_from(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "SIZES", {"train": 12, "validation": 8})
    monkeypatch.setattr(views, "SIDE", 48)
    monkeypatch.setattr(views, "load_experiment", lambda name: make_tiny_config())
    views.prepare_scenes(tmp_path)
    views.prepare_scenes(tmp_path)  # is there already
    found = {}
    for name in ("new views", "2 views"):
        config = views.arm_config(name, 7, tmp_path, steps=3)
        views.run_arm(config, tmp_path / name / "7")
        found[name] = json.loads((tmp_path / name / "7" / arms.RESULT).read_text())
    source = open_split(config.data, "train")
    assert len(source) == 12 and source[0]["image"].shape == (48, 48, 3)
    assert set(np.unique(source[0]["mask"])) >= {1, 2, 3, 4}
    one, other = found.values()
    assert one["protocol"] == other["protocol"] and "scenes validation" in one["protocol"]
    assert one["metrics"] != other["metrics"]
    assert (tmp_path / "features_2/train/cache.json").exists()
    results = arms.read_results(tmp_path, views.VIEWS)
    assert list(results) == ["new views", "2 views"]
