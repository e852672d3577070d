"""Batches: the same for any number of threads, hosts and restarts; errors are one clear line."""

import io
import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from data_pipelines import images, pipeline, records, sources
from dias_jax.errors import UserError


@pytest.fixture(params=["shapes", "coco"])
def config(request):
    return request.getfixturevalue(f"{request.param}_config")


def take(batches, count):
    return list(itertools.islice(batches, count))


def assert_batches_equal(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def join(shards):
    """Puts the samples of several hosts' batches back into the order of a single host's."""
    return [
        {
            name: np.stack([part[name] for part in parts], axis=1).reshape(
                -1, *parts[0][name].shape[1:]
            )
            for name in parts[0]
        }
        for parts in zip(*shards, strict=True)
    ]


def test_samples_kept_in_memory_are_the_same_and_read_once(config):
    expected = take(pipeline.train_batches(config, 4, seed=1), 8)  # coco's 11 samples come again
    config.keep_in_memory = True
    assert_batches_equal(take(pipeline.train_batches(config, 4, seed=1), 8), expected)
    source = sources.open_split(config, "train", with_masks=False)
    assert source.num_masks == sources.open_split(config, "validation").num_masks
    kept = sources.open_split(config, "train", with_masks=False)[expected[0]["index"][0]]
    assert kept is source[expected[0]["index"][0]]


def test_training_batches(config):
    batches = take(pipeline.train_batches(config, 4, seed=1), 3)
    for batch in batches:
        assert set(batch) == {"image", "index", "replaced"}
        assert batch["replaced"].tolist() == [False] * 4
        assert batch["image"].shape == (4, config.image_size, config.image_size, 3)
        assert batch["image"].dtype == np.uint8
        assert batch["index"].shape == (4,) and batch["index"].dtype == np.int32


def test_training_does_not_depend_on_threads(config):
    reference = take(pipeline.train_batches(config, 4, seed=1, num_threads=1), 6)
    assert_batches_equal(
        reference, take(pipeline.train_batches(config, 4, seed=1, num_threads=2), 6)
    )


def test_training_does_not_depend_on_processes(config):
    options = {"seed": 1, "start_step": 2, "shard": (1, 2), "num_threads": 1}
    reference = take(pipeline.train_batches(config, 4, **options), 5)
    assert_batches_equal(
        reference, take(pipeline.train_batches(config, 4, **options, num_processes=2), 5)
    )


def test_training_continues_where_it_stopped(config):
    reference = take(pipeline.train_batches(config, 4, seed=1), 8)
    continued = take(pipeline.train_batches(config, 4, seed=1, start_step=5), 3)
    assert_batches_equal(reference[5:], continued)


@pytest.mark.parametrize("num_hosts", [2, 4])
def test_hosts_share_the_training_batch(config, num_hosts):
    reference = take(pipeline.train_batches(config, 4, seed=1, start_step=2), 5)
    shards = [
        take(pipeline.train_batches(config, 4, seed=1, start_step=2, shard=(host, num_hosts)), 5)
        for host in range(num_hosts)
    ]
    assert_batches_equal(reference, join(shards))


def test_a_run_goes_on_with_another_number_of_hosts(config):
    expected = take(pipeline.train_batches(config, 4, seed=1), 6)
    found = []
    for num_hosts, start_step in ((1, 0), (4, 2), (2, 4)):  # two steps each
        shards = [
            take(
                pipeline.train_batches(
                    config, 4, seed=1, start_step=start_step, shard=(host, num_hosts), num_threads=1
                ),
                2,
            )
            for host in range(num_hosts)
        ]
        found += join(shards)
    assert_batches_equal(expected, found)


def test_seeds_decide_order_and_views(coco_config):
    first, second = (next(pipeline.train_batches(coco_config, 11, seed=seed)) for seed in (1, 2))
    assert first["index"].tolist() != second["index"].tolist()
    by_index = [
        dict(zip(batch["index"].tolist(), batch["image"], strict=True)) for batch in (first, second)
    ]
    same = [np.array_equal(by_index[0][i], by_index[1][i]) for i in range(11)]
    assert not any(same)


def test_every_epoch_is_complete_and_shuffled_anew(coco_config):
    batches = take(pipeline.train_batches(coco_config, 5, seed=0), 11)  # 5 epochs of 11 samples
    order = np.concatenate([batch["index"] for batch in batches]).reshape(5, 11)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(11), (5, 1)))
    assert len({tuple(epoch) for epoch in order}) == 5


def test_repeated_samples_get_new_views(coco_config):
    batches = take(pipeline.train_batches(coco_config, 11, seed=0), 2)
    for index in range(11):
        views = [batch["image"][batch["index"] == index][0] for batch in batches]
        assert not np.array_equal(*views)


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
@pytest.mark.parametrize("num_threads", [1, 2])
def test_evaluation_shows_each_sample_once(coco_config, num_hosts, num_threads):
    shards = [
        list(
            pipeline.evaluation_batches(
                coco_config, "validation", 4, shard=(host, num_hosts), num_threads=num_threads
            )
        )
        for host in range(num_hosts)
    ]
    batches = join(shards)
    assert [len(shard) for shard in shards] == [2] * num_hosts
    for batch in batches:
        assert batch["image"].shape == (4, 24, 24, 3) and batch["image"].dtype == np.uint8
        assert batch["mask"].shape == (4, 24, 24) and batch["mask"].dtype == np.uint8
        assert batch["index"].dtype == np.int32 and batch["valid"].dtype == bool
    index = np.concatenate([batch["index"] for batch in batches])
    valid = np.concatenate([batch["valid"] for batch in batches])
    assert index[valid].tolist() == list(range(7))
    assert valid.tolist() == [True] * 7 + [False]
    single = list(pipeline.evaluation_batches(coco_config, "validation", 4))
    assert_batches_equal(single, batches)


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
def test_evaluation_limit(shapes_config, num_hosts):
    batches = join(
        pipeline.evaluation_batches(
            shapes_config, "validation", 4, shard=(host, num_hosts), limit=6
        )
        for host in range(num_hosts)
    )
    index, valid = (
        np.concatenate([batch[name] for batch in batches]) for name in ("index", "valid")
    )
    assert index[valid].tolist() == list(range(6)) and len(batches) == 2


def test_views_instead_of_the_evaluations(coco_config):
    """Two random views an image: unlike each other, the same again, with their own labels."""
    (first,) = pipeline.evaluation_batches(coco_config, "train", 4, limit=4, views=2)
    (again,) = pipeline.evaluation_batches(coco_config, "train", 2, start=2, limit=4, views=2)
    assert first["index"].tolist() == [0, 1, 2, 3]
    assert (first["image"][0] != first["image"][1]).any()
    np.testing.assert_array_equal(first["image"][2:], again["image"])
    for mask, classes in zip(first["mask"], first["classes"]):
        shown = set(np.unique(mask)) - {0, 1}
        assert shown == {2 + i for i, number in enumerate(classes) if number >= 0}
    batches = list(pipeline.evaluation_batches(coco_config, "train", 8, views=2))
    assert sum(batch["valid"].sum() for batch in batches) == 22


class Numbers:
    """In place of features, three views of each sample: which one, of what."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return 3 * self.size

    def __getitem__(self, number):
        index, view = divmod(number, 3)
        return {"index": np.int32(index), "replaced": np.bool_(False), "features": np.int32(view)}


def test_features_come_in_the_order_of_images_and_change_view_with_the_epoch(coco_config):
    expected = take(pipeline.train_batches(coco_config, 4, seed=1), 12)
    found = take(pipeline.feature_batches(Numbers(11), 3, 4, 1, 0, (0, 1), 2), 12)
    for batch, whole in zip(found, expected, strict=True):
        assert set(batch) == {"features", "index", "replaced"}
        np.testing.assert_array_equal(batch["index"], whole["index"])
    views = np.concatenate([batch["features"] for batch in found])
    np.testing.assert_array_equal(views, np.arange(48) // 11 % 3)

    shards = [
        take(pipeline.feature_batches(Numbers(11), 3, 4, 1, 5, (host, 2), 1), 7)
        for host in range(2)
    ]
    assert_batches_equal(found[5:], join(shards))
    with pytest.raises(UserError, match="a batch of 12 is larger than .* 11 samples"):
        pipeline.feature_batches(Numbers(11), 3, 12, 1, 0, (0, 1), 1)


@pytest.mark.parametrize("views", [0, 3])
def test_views_alone_are_those_of_an_evaluation(coco_config, views):
    arguments = coco_config, "validation", 4
    expected = list(pipeline.evaluation_batches(*arguments, views=views))
    found = list(pipeline.view_batches(*arguments, views=views))
    for batch, whole in zip(found, expected, strict=True):
        assert set(batch) == {"image", "index", "replaced", "valid"}
        np.testing.assert_array_equal(batch["image"], whole["image"])
        np.testing.assert_array_equal(batch["valid"], whole["valid"])
        np.testing.assert_array_equal(batch["index"], whole["index"] // max(views, 1))
    part = list(pipeline.view_batches(*arguments, views=views, start=4, limit=8))
    assert_batches_equal(part, found[1:2])


def test_features_come_beside_what_an_evaluation_has(coco_config):
    arguments = coco_config, "validation", 4
    expected = list(pipeline.evaluation_batches(*arguments))
    found = list(pipeline.evaluation_batches(*arguments, features=Numbers(3)))
    features = np.concatenate([batch.pop("features") for batch in found])
    np.testing.assert_array_equal(features, [0, 1, 2, 0, 1, 2, 0, 0])  # the last one only fills
    assert_batches_equal(found, expected)


def test_shapes_are_not_cropped(shapes_config):
    source = sources.open_split(shapes_config, "train")
    batch = next(pipeline.train_batches(shapes_config, 3, seed=4))
    for index, image in zip(batch["index"], batch["image"], strict=True):
        np.testing.assert_array_equal(image, source[index]["image"])


def test_masks_stay_below_the_recorded_bound(config):
    bound = sources.open_split(config, "validation").num_masks
    for batch in pipeline.evaluation_batches(config, "validation", 4, limit=7):
        assert batch["mask"].max() <= bound


def test_protocol(shapes_config, coco_config):
    drawn = sources.open_split(shapes_config, "validation").protocol(32)
    assert drawn == "whole scene drawn at 32, background counted"
    prepared = sources.open_split(coco_config, "validation").protocol(24)
    assert prepared == "centre square crop, resize 24, background counted"


def test_unknown_and_missing_data_sets(shapes_config, tmp_path):
    shapes_config.data_dir = str(tmp_path)
    for name, message in [
        (
            "imagenet",
            "unknown data set 'imagenet': choose one of shapes, moving_shapes, bouncing, coco",
        ),
        ("voc", "'voc' is not prepared in"),
        ("clevrtex", "'clevrtex' is not prepared in"),
        ("coco", "python -m data_pipelines.prepare coco --source=DIR --data_dir="),
    ]:
        shapes_config.name = name
        with pytest.raises(UserError, match=message) as caught:
            sources.open_split(shapes_config, "train")
        assert "\n" not in str(caught.value)


def test_unknown_splits(config):
    with pytest.raises(UserError, match="no split 'val': choose one of train"):
        sources.open_split(config, "val")


def test_an_unfinished_preparation_is_not_prepared(coco, shapes_config, tmp_path):
    finished = coco.data_dir / records.PREPARED["coco"]
    shutil.copytree(finished, tmp_path / "coco" / "incomplete.AB12CD_2.0.0")
    shapes_config.name, shapes_config.data_dir = "coco", str(tmp_path)
    with pytest.raises(UserError, match="not prepared"):
        sources.open_split(shapes_config, "train")


def test_batches_that_cannot_be(coco_config):
    with pytest.raises(UserError, match="a batch of 12 is larger than .* 11 samples"):
        pipeline.train_batches(coco_config, 12, seed=0)
    with pytest.raises(UserError, match="batch size 4 is not divisible by the 3 hosts"):
        pipeline.train_batches(coco_config, 4, seed=0, shard=(0, 3))
    with pytest.raises(UserError, match="batch size 4 is not divisible by the 3 hosts"):
        pipeline.evaluation_batches(coco_config, "validation", 4, shard=(0, 3))


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_every_colour_mode_becomes_rgb(mode):
    picture = Image.fromarray(np.full((5, 4, 3), 204, np.uint8)).convert(mode)
    encoded = io.BytesIO()
    picture.save(encoded, format="TIFF")
    image = images.decode(encoded.getvalue(), "picture")
    assert image.shape == (5, 4, 3)
    np.testing.assert_array_equal(image, 204)


@pytest.mark.parametrize("encoded", [b"", b"not an image"])
def test_what_is_no_image_is_named(encoded):
    with pytest.raises(UserError, match="x.jpg is a damaged image"):
        images.decode(encoded, "x.jpg")
