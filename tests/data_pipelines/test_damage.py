"""Damage is named; in training a neighbour stands in where that is allowed, in evaluation never."""

import itertools
import logging
import shutil

import numpy as np
import pytest

from data_pipelines import pipeline, records
from data_pipelines.damage import MAX_NEIGHBOURS, ReadableSamples
from dias_jax.errors import UserError


def take(config, count, **options):
    return list(itertools.islice(pipeline.train_batches(config, 11, seed=0, **options), count))


def edit_records(coco, config, directory, split, edit):
    """Points the config at a copy of the data set in which the bytes of a split are edited."""
    shutil.copytree(coco.data_dir, directory)
    config.data_dir = str(directory)
    (record_file,) = directory.rglob(f"*-{split}.array_record*")
    content = bytearray(record_file.read_bytes())
    edit(content)
    record_file.write_bytes(content)


def damage_one(content):
    content[10_000:10_200] = bytes(200)  # the files are padded to 64 KiB and more; data come first


def cut_short(content):
    del content[len(content) // 2 :]


class Damaged:
    """A split of drawn numbers in which some samples cannot be read."""

    def __init__(self, length, damaged):
        self.length, self.damaged = length, damaged

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.damaged:
            raise UserError(f"sample {index} is damaged")
        return {"index": index}


def test_the_next_readable_sample_stands_in(caplog):
    samples = ReadableSamples(Damaged(10, {3, 4, 9}), MAX_NEIGHBOURS)
    for _ in range(2):
        found = [samples[index] for index in range(10)]
        assert [sample["index"] for sample in found] == [0, 1, 2, 5, 5, 5, 6, 7, 8, 0]
        replaced = [i for i, sample in enumerate(found) if sample["replaced"]]
        assert replaced == [3, 4, 9]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3  # once each
    for index, record in zip((3, 4, 9), caplog.records, strict=True):
        assert f"sample {index} is damaged" in record.getMessage()
        assert "\n" not in record.getMessage()


def test_too_much_damage_in_a_row_stops():
    neighbours = set(range(20, 20 + MAX_NEIGHBOURS))
    assert (
        ReadableSamples(Damaged(99, neighbours), MAX_NEIGHBOURS)[20]["index"] == max(neighbours) + 1
    )
    with pytest.raises(UserError, match="damaged"):
        ReadableSamples(Damaged(99, neighbours | {19}), MAX_NEIGHBOURS)[19]
    with pytest.raises(UserError, match="sample 20 is damaged"):
        ReadableSamples(Damaged(99, {20}), 0)[20]


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_damaged_record_is_named(coco, coco_config, tmp_path, num_threads):
    edit_records(coco, coco_config, tmp_path / "copy", "train", damage_one)
    with pytest.raises(UserError, match="of train in .*copy.* cannot be read.*prepare") as caught:
        take(coco_config, 1, num_threads=num_threads)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_a_damaged_image_is_named(coco, coco_config, monkeypatch, num_threads):
    encoded = (coco.source / "train2017" / "train_004.jpg").read_bytes()[:1000]

    def decode_truncated(_, name, *arguments, **options):
        return decode(encoded, name, *arguments, **options)

    decode = records.decode
    monkeypatch.setattr(records, "decode", decode_truncated)
    message = (
        r"train_.*\.jpg \(sample .* of train, .* is a damaged image .*: delete .*prepare the d"
    )
    with pytest.raises(UserError, match=message):
        take(coco_config, 1, num_threads=num_threads)


def test_replacement_is_the_same_for_any_number_of_threads(coco, coco_config, tmp_path, caplog):
    whole = take(coco_config, 3)
    edit_records(coco, coco_config, tmp_path / "copy", "train", damage_one)
    coco_config.skip_damaged = True
    batches = take(coco_config, 3, num_threads=1)
    assert [batch["replaced"].sum() for batch in batches] == [1, 1, 1]  # an epoch is a batch
    for batch, intact in zip(batches, whole, strict=True):
        kept = ~batch["replaced"]
        (lost,) = intact["index"][~kept]
        assert batch["index"][~kept] == (lost + 1) % 11
        np.testing.assert_array_equal(batch["image"][kept], intact["image"][kept])
        assert batch["image"][~kept].std() > 0
    assert len(caplog.records) == 1 and f"sample {lost} of train" in caplog.text
    for batch, other in zip(batches, take(coco_config, 3, num_threads=2), strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def test_replacement_is_the_same_for_any_number_of_hosts(coco, coco_config, tmp_path):
    edit_records(coco, coco_config, tmp_path / "copy", "train", damage_one)
    coco_config.skip_damaged = True
    whole, *shards = (
        list(itertools.islice(pipeline.train_batches(coco_config, 10, seed=0, shard=shard), 3))
        for shard in ((0, 1), (0, 2), (1, 2))
    )
    assert sum(batch["replaced"].sum() for batch in whole) >= 2
    for batch, *parts in zip(whole, *shards, strict=True):
        for name in batch:
            joined = np.stack([part[name] for part in parts], axis=1)
            np.testing.assert_array_equal(joined.reshape(batch[name].shape), batch[name])


def test_a_file_cut_short_stops_training(coco, coco_config, tmp_path):
    edit_records(coco, coco_config, tmp_path / "copy", "train", cut_short)
    coco_config.skip_damaged = True
    with pytest.raises(UserError, match="of train in .*copy.* cannot be read.*prepare"):
        take(coco_config, 1)


def test_evaluation_never_replaces(coco, coco_config, tmp_path):
    edit_records(coco, coco_config, tmp_path / "copy", "validation", damage_one)
    coco_config.skip_damaged = True
    with pytest.raises(UserError, match="of validation in .*copy.* cannot be read"):
        list(pipeline.evaluation_batches(coco_config, "validation", 7))


def test_views_to_be_kept_are_replaced_as_in_training(coco, coco_config, tmp_path):
    edit_records(coco, coco_config, tmp_path / "copy", "train", damage_one)
    coco_config.skip_damaged = True
    batches = list(pipeline.view_batches(coco_config, "train", 11, views=2))
    index, replaced = (
        np.concatenate([batch[name] for batch in batches]) for name in ("index", "replaced")
    )
    (lost,) = set(np.flatnonzero(replaced) // 2)
    assert replaced.sum() == 2 and (index[replaced] == (lost + 1) % 11).all()
    np.testing.assert_array_equal(index[~replaced], np.arange(22)[~replaced] // 2)
    with pytest.raises(UserError, match="of train in .*copy.* cannot be read"):
        list(pipeline.view_batches(coco_config, "train", 11))  # as an evaluation sees them
    coco_config.skip_damaged = False
    with pytest.raises(UserError, match="of train in .*copy.* cannot be read"):
        list(pipeline.view_batches(coco_config, "train", 11, views=2))
