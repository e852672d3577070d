"""The gallery: scenes in order, a poster, and a page that needs no other file."""

import base64
import html.parser
import io

import jax
import numpy as np
import pytest
from PIL import Image

from dias_jax import gallery
from dias_jax.errors import UserError
from dias_jax.gallery import write_gallery
from dias_jax.gallery.scenes import match_labels, study_scenes
from dias_jax.models import build
from dias_jax.models.inputs import initialize
from dias_jax.runs.trained_model import TrainedModel

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def trained(tiny_config):
    """An untrained model of nine slots, some of which merge."""
    tiny_config.model.num_slots = 9
    tiny_config.model.reinit.threshold, tiny_config.model.reinit.min_clusters = 0.1, 1
    tiny_config.evaluation.masks = "aggregator"
    model = build(tiny_config.model)
    variables = jax.jit(initialize, static_argnums=(0, 2))(model, jax.random.key(0), 32)
    return TrainedModel(model, variables, tiny_config, 7)


def test_slots_stand_by_cluster_and_the_largest_first(trained):
    scenes = study_scenes(trained, "test", 4)
    assert [scene.index for scene in scenes] == [0, 1, 2, 3]
    assert any(1 < scene.num_clusters < 9 for scene in scenes)
    for scene in scenes:
        assert scene.attention.shape == (3, 9, 4, 4) and (np.diff(scene.cluster) >= 0).all()
        first = np.flatnonzero(np.diff(scene.cluster, prepend=-1))
        np.testing.assert_array_equal(np.flatnonzero(scene.is_kept), first)
        sizes = np.bincount(scene.prediction.ravel(), minlength=scene.num_clusters)
        assert (np.diff(sizes) <= 0).all() and len(sizes) == scene.num_clusters
        np.testing.assert_allclose(scene.final_attention.sum(0), 1, rtol=1e-5)
        assert (scene.final_attention[~scene.is_kept] == 0).all()
        # The prediction is that of the final attention, whose slots were put in order with it.
        middle = scene.final_attention[:, 2, 1].argmax()
        assert scene.cluster[middle] in scene.prediction[16:24, 8:16]
        assert set(scene.scores) == {"ari", "fg_ari", "mbo", "miou"}


def test_true_masks_take_the_number_of_what_covers_them():
    truth = np.array([[0, 0, 0, 1, 1, 2, -1]])
    prediction = np.array([[2, 2, 2, 0, 1, 1, 1]])
    np.testing.assert_array_equal(match_labels(truth, prediction), [[2, 2, 2, 0, 0, 1, -1]])
    np.testing.assert_array_equal(match_labels(truth, 0 * truth), [[0, 0, 0, 1, 1, 2, -1]])


class Pictures(html.parser.HTMLParser):
    """Collects the pictures and the marks of a page."""

    def __init__(self):
        super().__init__()
        self.pictures, self.classes = [], []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.classes.append(attributes.get("class"))
        if tag == "img":
            head, data = attributes["src"].split(",")
            assert head in ("data:image/jpeg;base64", "data:image/png;base64")
            self.pictures.append(Image.open(io.BytesIO(base64.b64decode(data))))
        assert tag not in ("link", "script")


@pytest.mark.parametrize("out", ["file", "/proc/x"])
def test_where_nothing_can_be_written(trained, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(gallery, "study_scenes", lambda *arguments: [])
    monkeypatch.setattr(gallery, "draw_poster", lambda scenes, title: Image.new("RGB", (2, 2)))
    with pytest.raises(UserError, match=f"cannot write {out} .*: make room, or name another dir"):
        write_gallery(trained, "test", out, count=1, poster=1)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.slow
def test_poster_and_page_show_every_slot(trained, tmp_path):
    picture, page = write_gallery(trained, "test", tmp_path / "out", count=3, poster=2)
    poster = np.asarray(Image.open(picture))
    assert poster.shape[1] > 9 * 70 and poster.std() > 20
    parser, scenes = Pictures(), study_scenes(trained, "test", 3)
    parser.feed(page.read_text())
    merged = sum(int((~scene.is_kept).sum()) for scene in scenes)
    assert merged > 0 and parser.classes.count("gone") == merged
    assert len(parser.pictures) == 3 * (4 + 3 * 9 + 9) - merged
    assert parser.classes.count("bar") == sum(scene.num_clusters for scene in scenes)
    assert parser.pictures[0].size == (96, 96)  # enlarged
