"""Recognition on real photographs of COCO, through its whole path."""

import pytest

from data_pipelines.building.build import build as prepare
from data_pipelines.sets.coco import Coco
from dias_jax.config.experiments import load_experiment
from dias_jax.downstream.slot_cache import SlotCache
from dias_jax.errors import UserError
from dias_jax.evaluation.extraction import extract_split
from dias_jax.gallery.probe import write_probe_report
from dias_jax.models.build import build
from dias_jax.runs.state import start_variables
from dias_jax.runs.trained_model import TrainedModel
from dias_jax.tasks import recognition
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from tests.tiny import make_tiny_config


@pytest.mark.slow
def test_from_photographs_to_a_report(tmp_path, quick_compilation, shared_data):
    """Views to learn from, evaluation views to be asked about; and the page."""
    prepare(Coco(source=shared_data("coco_mini"), data_dir=tmp_path / "data"))
    config = make_tiny_config()
    config.data.update(name="coco", data_dir=str(tmp_path / "data"))
    model = build(config.model)
    trained = TrainedModel(model, start_variables(config, model)[0], config, 0)
    config.evaluation.limit = 24
    extract_split(trained, "train", tmp_path / "slots", "aggregator", views=2)
    extract_split(trained, "validation", tmp_path / "slots", "aggregator")
    cache = SlotCache(tmp_path / "slots", "train")
    assert len(cache) == 48 and cache.header["class_names"][1] == "person"

    config = load_experiment("recognition_coco")
    config.probe.slots, config.steps, config.batch_size = str(tmp_path / "slots"), 4, 8
    config.evaluation.every = 4
    fit(task_of(config), config, tmp_path / "probe")
    report = recognition.report(config, tmp_path / "probe", "validation", "best")
    assert report["num_samples"] == 24 and report["metrics"]["things"] > 50
    assert {"ap_50", "recognised", "majority_top1"} <= report["metrics"].keys()
    with pytest.raises(UserError, match="holds random views"):
        write_probe_report(config, tmp_path / "probe", "train", tmp_path / "page", 4)
    config.data.data_dir = str(tmp_path / "data")
    paths = write_probe_report(config, tmp_path / "probe", "validation", tmp_path / "page", 4)
    assert [path.name for path in paths][-1] == "index.html"
    assert "person" in paths[-1].read_text(encoding="utf-8")
