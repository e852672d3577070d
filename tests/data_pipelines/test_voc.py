"""VOC: palette pictures are read as indices, every object has its class and box."""

import io
import shutil

import numpy as np
import pytest
from layouts import save_palette, write_voc
from PIL import Image

from data_pipelines import pipeline
from data_pipelines.building.build import build
from data_pipelines.building.verify import verify
from data_pipelines.records import PREPARED, PreparedSplit
from data_pipelines.sets import voc
from dias_jax.errors import UserError
from experiments import voc as experiment


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    directory = tmp_path_factory.mktemp("VOCdevkit")
    return directory, write_voc(directory)


def test_samples_are_the_published_ones(devkit, tmp_path):
    source, expected = devkit
    summary = build(voc.Voc(source=source, data_dir=tmp_path))
    assert summary.startswith("voc: 5 of 2913 published train, 3 of 422 published validation")
    splits = {"train": ("VOC2012", 5), "validation": ("VOC2007", 3)}
    for split, (year, count) in splits.items():
        samples = PreparedSplit(tmp_path / PREPARED["voc"], split)
        assert len(samples) == count
        for number in range(count):
            stem = f"{year[3:]}_{number:06d}"
            mask, classes = expected[stem]
            sample = samples[number]
            published = Image.open(source / year / "JPEGImages" / f"{stem}.jpg").convert("RGB")
            np.testing.assert_array_equal(sample["image"], np.array(published))
            np.testing.assert_array_equal(sample["mask"], mask)
            assert sample["classes"].tolist() == classes
            assert sample["boxes"].shape == (len(classes), 4) and "crowd" not in sample
    assert samples.num_masks == max(int(mask.max()) for mask, _ in expected.values())
    assert "every record is intact" in verify(tmp_path / PREPARED["voc"])


def test_batches_of_the_experiment(devkit, tmp_path):
    build(voc.Voc(source=devkit[0], data_dir=tmp_path))
    config = experiment.get_config().data
    config.data_dir, config.image_size = str(tmp_path), 32
    batch = next(pipeline.train_batches(config, 4, seed=0))
    assert batch["image"].shape == (4, 32, 32, 3)
    batch = next(pipeline.evaluation_batches(config, "validation", 4))
    assert batch["valid"].tolist() == [True, True, True, False]
    assert batch["mask"].max() >= 3


def test_trainaug_has_classes_where_there_are_no_objects(devkit, tmp_path):
    source = tmp_path / "VOCdevkit"
    expected = write_voc(source, [("VOC2012", "val", 2), ("VOC2012", "trainaug", 4)])
    (source / "VOC2012" / "SegmentationObject" / "2012_000003.png").unlink()
    list_file = source / "VOC2012" / "ImageSets" / "Segmentation" / "trainaug.txt"
    lines = [f"/JPEGImages/{s}.jpg /Aug/{s}.png" for s in list_file.read_text().split()]
    list_file.write_text("\n".join(lines))
    summary = build(voc.VocTrainaug(source=source, data_dir=tmp_path / "data"))
    assert summary.startswith("voc_trainaug: 4 of 10582 published train, 2 of 1449 published")
    samples = PreparedSplit(tmp_path / "data" / PREPARED["voc_trainaug"], "train")
    np.testing.assert_array_equal(samples[2]["mask"], expected["2012_000002"][0])

    published = np.array(
        Image.open(source / "VOC2012" / "SegmentationClassAug" / "2012_000003.png")
    )
    present = sorted(set(published.ravel().tolist()) - {0, 255})
    assert samples[3]["classes"].tolist() == present and len(present) >= 2
    for position, class_number in enumerate(present):
        np.testing.assert_array_equal(samples[3]["mask"] == 2 + position, published == class_number)


def test_majority_class():
    values = np.array([0, 0, 0, 255, 255, 255, 15, 15, 3], np.uint8)
    assert voc.majority_class(values) == 15
    assert voc.majority_class(values[:6]) == 0  # background and void are no classes


def use_colours(folder):
    path = folder / "SegmentationObject" / "2012_000002.png"
    Image.open(path).convert("RGB").save(path)


def use_sixteen_bits(folder):
    path = folder / "SegmentationObject" / "2012_000002.png"
    Image.fromarray(np.array(Image.open(path)).astype(np.uint16)).save(path)


def resize_classes(folder):
    path = folder / "SegmentationClass" / "2012_000002.png"
    save_palette(np.array(Image.open(path))[1:], path)


def resize_image(folder):
    path = folder / "JPEGImages" / "2012_000002.jpg"
    Image.open(path).resize((40, 30)).save(path)


def truncate_mask(folder):
    path = folder / "SegmentationObject" / "2012_000002.png"
    path.write_bytes(path.read_bytes()[:-40])


def remove_image(folder):
    (folder / "JPEGImages" / "2012_000002.jpg").unlink()


def remove_list(folder):
    (folder / "ImageSets" / "Segmentation" / "trainval.txt").unlink()


def empty_list(folder):
    (folder / "ImageSets" / "Segmentation" / "trainval.txt").write_text("\n\n")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (use_colours, "SegmentationObject/2012_000002.png is a picture of mode RGB"),
        (use_sixteen_bits, "2012_000002.png is a picture of mode I;16"),
        (resize_classes, "SegmentationClass/2012_000002.png and .* differ in size"),
        (resize_image, r"2012_000002.png is \(58, 64\) pixels but .*jpg is \(30, 40\)"),
        (truncate_mask, "2012_000002.png is a damaged image"),
        (remove_image, "cannot read .*2012_000002.jpg"),
        (remove_list, "cannot read .*trainval.txt"),
        (empty_list, "trainval.txt lists no image"),
    ],
)
def test_a_bad_source_is_named_and_leaves_nothing(devkit, tmp_path, damage, message):
    source = tmp_path / "VOCdevkit"
    shutil.copytree(devkit[0], source)
    damage(source / "VOC2012")
    with pytest.raises(UserError, match=message) as caught:
        build(voc.Voc(source=source, data_dir=tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data" / PREPARED["voc"]).exists()


def test_real_photographs(shared_data, tmp_path):
    source = tmp_path / "VOCdevkit"
    for year in ("VOC2012", "VOC2007"):
        shutil.copytree(shared_data("voc_mini"), source / year)
        lists = source / year / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True)
        stems = sorted(path.stem for path in (source / year / "JPEGImages").iterdir())
        (lists / "trainval.txt").write_text("\n".join(stems))
    build(voc.Voc(source=source, data_dir=tmp_path))
    samples = PreparedSplit(tmp_path / PREPARED["voc"], "train")
    found = [samples[index]["classes"].tolist() for index in range(3)]
    assert found == [[15, 15, 5], [15, 15, 15, 9, 15, 18], [6, 6, 7]]
    encoded = (source / "VOC2012" / "JPEGImages" / "2011_000003.jpg").read_bytes()
    np.testing.assert_array_equal(
        samples[0]["image"], np.array(Image.open(io.BytesIO(encoded)).convert("RGB"))
    )
