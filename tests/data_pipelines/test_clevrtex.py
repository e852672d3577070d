"""ClevrTex: scenes by number, masks with forms, depth of 8 or 16 bits."""

import json

import numpy as np
import pytest
from layouts import write_clevrtex
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.properties import Properties
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets.clevrtex import SHAPES, SIZES, Clevrtex
from dias_jax.errors import UserError
from experiments import clevrtex as experiment


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    directory = tmp_path_factory.mktemp("clevrtex")
    return directory, write_clevrtex(directory)


def test_samples_are_the_published_ones(published, tmp_path):
    source, expected = published
    summary = build(Clevrtex(source=source, data_dir=tmp_path))
    assert summary.startswith("clevrtex: 4 of 50000 published train, 3 of 10000 published valid")
    assert "2 of 20000 published camo images" in summary
    for split, variant, count in [
        ("train", "full", 4),
        ("validation", "outd", 3),
        ("camo",) * 2 + (2,),
    ]:
        samples = PreparedSplit(tmp_path / PREPARED["clevrtex"], split, with_depth=True)
        assert len(samples) == count
        for number in range(count):
            name = f"CLEVRTEX_{variant}_{number:06d}.png"
            mask, told, depth = expected[name]
            (path,) = source.rglob(name)
            sample = samples[number]
            np.testing.assert_array_equal(sample["image"], np.array(Image.open(path))[..., :3])
            np.testing.assert_array_equal(sample["mask"], mask)
            np.testing.assert_array_equal(sample["depth"], depth)
            forms = [item and item["shape"] for item in told]
            known = [SHAPES.index(form) if form in SHAPES else 0 for form in forms]
            assert sample["classes"].tolist() == known
    assert "every record is intact" in verify(tmp_path / PREPARED["clevrtex"])


NAMES = {"shape": SHAPES[1:], "material": ("brick", "moss", "wood"), "size": SIZES}


def number_of(item, key):
    """What a scene tells of an object, or None, as a number."""
    name = item and item[key]
    return NAMES[key].index(name) if name in NAMES[key] else -1


def test_forms_materials_and_sizes(published, tmp_path):
    source, expected = published
    build(Clevrtex(source=source, data_dir=tmp_path))
    seen = set()
    for split, variant in (("train", "full"), ("validation", "outd"), ("camo", "camo")):
        samples = PreparedSplit(tmp_path / PREPARED["clevrtex"], split)
        assert samples.properties == Properties({"form": 8, "material": 3, "size": 3})
        for number in range(len(samples)):
            told = expected[f"CLEVRTEX_{variant}_{number:06d}.png"][1]
            rows = [[number_of(item, key) for key in NAMES] for item in told]
            sample = samples[number]
            assert sample["kinds"].dtype == np.int32 and sample["kinds"].tolist() == rows
            assert sample["numbers"].shape == (len(rows), 0)
            seen |= {(key, value) for row in rows for key, value in zip(NAMES, row)}
    assert {("shape", -1), ("size", -1), ("size", 2), ("material", 0)} <= seen

    config = experiment.get_config().data
    config.data_dir, config.image_size = str(tmp_path), 32
    batch = next(pipeline.evaluation_batches(config, "validation", 3))
    assert batch["kinds"].shape == (*batch["classes"].shape, 3) and batch["numbers"].shape[2] == 0
    is_seen = batch["classes"] >= 0
    np.testing.assert_array_equal(batch["kinds"][is_seen][:, 0], batch["classes"][is_seen] - 1)
    assert is_seen.any() and (batch["kinds"][~is_seen] == -1).all()


def test_an_object_that_is_lost_takes_its_properties_along(published, tmp_path):
    """Stored much smaller, scenes lose objects; those that stay keep what is told of them."""
    source, expected = published
    build(Clevrtex(source=source, data_dir=tmp_path, max_side=4))
    samples = PreparedSplit(tmp_path / PREPARED["clevrtex"], "train")
    num_lost = 0
    for number in range(len(samples)):
        told = expected[f"CLEVRTEX_full_{number:06d}.png"][1]
        rows = iter([number_of(item, key) for key in NAMES] for item in told)
        found = samples[number]["kinds"].tolist()
        assert all(row in rows for row in found)  # in their order
        num_lost += len(told) - len(found)
    assert num_lost


def test_data_sets_prepared_before_tell_no_properties(published, tmp_path):
    build(Clevrtex(source=published[0], data_dir=tmp_path))
    directory = tmp_path / PREPARED["clevrtex"]
    metadata, features = (
        json.loads((directory / f"{name}.json").read_text()) for name in ("metadata", "features")
    )
    del metadata["kinds"], features["featuresDict"]["features"]["kinds"]  # as it was then
    (directory / "metadata.json").write_text(json.dumps(metadata))
    (directory / "features.json").write_text(json.dumps(features))
    samples = PreparedSplit(directory, "train")
    assert samples.properties == Properties() and "kinds" not in samples[0]
    config = experiment.get_config().data
    config.data_dir, config.image_size = str(tmp_path), 32
    assert "kinds" not in next(pipeline.evaluation_batches(config, "validation", 3))
    assert "4 of 50000" in build(Clevrtex(source=published[0], data_dir=tmp_path))
    assert "every record is intact" in verify(directory)


def test_kinds_that_are_not_listed_are_damage(published, tmp_path):
    build(Clevrtex(source=published[0], data_dir=tmp_path))
    path = tmp_path / PREPARED["clevrtex"] / "metadata.json"
    path.write_text(path.read_text().replace('"moss", ', ""))
    with pytest.raises(UserError, match="contradicts its mask"):
        verify(path.parent)


def test_batches_of_the_experiment(published, tmp_path):
    build(Clevrtex(source=published[0], data_dir=tmp_path))
    config = experiment.get_config().data
    config.data_dir, config.image_size = str(tmp_path), 32
    batch = next(pipeline.train_batches(config, 4, seed=0))
    assert batch["image"].shape == (4, 32, 32, 3)
    batch = next(pipeline.evaluation_batches(config, "validation", 4))
    assert batch["valid"].tolist() == [True, True, True, False]
    assert batch["mask"].max() >= 3


def test_camo_is_not_needed(tmp_path):
    write_clevrtex(tmp_path, [("full", 1), ("outd", 1)])
    assert " camo images" not in build(Clevrtex(source=tmp_path, data_dir=tmp_path / "data"))


def remove_depth(path):
    path.with_name(f"{path.stem}_depth_0001.png").unlink()


def shrink_depth(path):
    depth = path.with_name(f"{path.stem}_depth_0001.png")
    Image.open(depth).resize((20, 20)).save(depth)


def remove_scene(path):
    path.unlink()


def break_json(path):
    path.with_suffix(".json").write_text('{"objects": [{"shape": "cube"}]}')


def show_too_many(path):
    indices = np.arange(48 * 48, dtype=np.uint32).reshape(48, 48) % 256
    Image.fromarray(indices.astype(np.uint8)).save(path.with_name(f"{path.stem}_flat.png"))


def remove_folder(path):
    (path.parents[1]).rename(path.parents[1].with_name("elsewhere"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_depth, "cannot read .*CLEVRTEX_full_000001_depth_0001.png"),
        (shrink_depth, r"the depth of .*_000001.png is \(20, 20\) pixels"),
        (remove_scene, "clevrtex_full lacks scene 1: unpack all parts"),
        (break_json, "CLEVRTEX_full_000001.json is not a ClevrTex scene"),
        (show_too_many, "CLEVRTEX_full_000001_flat.png has 255 objects; at most 254"),
        (remove_folder, "clevrtex_full has no scenes CLEVRTEX_full_000000.png"),
    ],
)
def test_a_bad_source_is_named_and_leaves_nothing(tmp_path, damage, message):
    write_clevrtex(tmp_path, [("full", 3), ("outd", 1)])
    damage(next(tmp_path.rglob("CLEVRTEX_full_000001.png")))
    with pytest.raises(UserError, match=message) as caught:
        build(Clevrtex(source=tmp_path, data_dir=tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / PREPARED["clevrtex"]).exists()
