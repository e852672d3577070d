"""One's own folder of images: what is stored, in which split, and what is said of the rest."""

import io
import logging

import numpy as np
import pytest
from configs import data_config
from PIL import Image

from data_pipelines import pipeline, sources
from data_pipelines.building.build import build
from data_pipelines.building.listing import assign_splits, list_files, rank, split_by_name
from data_pipelines.building.verify import verify
from data_pipelines.drawn import shapes
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.sample_grid import draw_samples
from data_pipelines.sets.folder import Folder
from dias_jax.errors import UserError
from dias_jax.pictures import overlays


def picture(number=0):
    """An image (24, 32, 3) and an index picture (24, 32): 0 background, 3.. objects."""
    image, mask, *_ = shapes.render(number, "test", 32)
    return image[:24], np.where(mask == 1, 0, mask + 1)[:24].astype(np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


@pytest.fixture
def photos(tmp_path):
    """A folder with train/ and validation/, three images in all, in three formats."""
    folder = tmp_path / "photos"
    save(folder / "train" / "my holiday" / "Größe.JPG", picture(0)[0])
    save(folder / "train" / "b.webp", picture(1)[0], lossless=True)
    save(folder / "val" / "c.png", picture(2)[0])
    return folder


@pytest.fixture
def masks(tmp_path):
    """Masks of the first and the last of these images."""
    folder = tmp_path / "masks"
    for name, number in (("train/my holiday/Größe", 0), ("val/c", 2)):
        indices = picture(number)[1]
        indices[:2] = 255
        save(folder / f"{name}.png", indices)
    return folder


def config(data_dir, name):
    return data_config(name, data_dir, 16)


def test_without_masks_everything_works_but_masks(photos, tmp_path):
    summary = build(Folder(source=photos, data_dir=tmp_path, name="holiday"))
    assert summary.startswith("holiday: 2 train, 1 validation images, no masks, in ")
    data_config = config(tmp_path, "holiday")
    source = sources.open_split(data_config, "train")
    assert source.num_masks == 0
    assert source.protocol(16) == "centre square crop, resize 16, no masks"
    assert set(source[0]) == {"image", "index"}
    np.testing.assert_array_equal(source[0]["image"], picture(1)[0])  # b before my holiday
    assert source.evaluation_view(source[0], data_config)[1] is None
    (batch,) = pipeline.evaluation_batches(data_config, "train", 2)
    assert set(batch) == {"image", "index", "valid"}
    assert next(pipeline.train_batches(data_config, 2, seed=0))["image"].shape == (2, 16, 16, 3)
    assert "every record is intact: 2 train" in verify(prepared_directory("holiday", tmp_path))
    width = 3 * overlays.TILE + 2 * overlays.GAP  # a column a view, none for masks
    assert draw_samples(data_config, "train", 2, 2).width == width


def test_masks_are_renumbered_and_may_be_missing(photos, masks, tmp_path):
    summary = build(Folder(source=photos, masks=masks, data_dir=tmp_path))
    assert "(images without a mask: 1), in " in summary
    directory = prepared_directory("folder", tmp_path)
    assert "every record is intact" in verify(directory)
    unannotated, sample = (PreparedSplit(directory, "train")[index] for index in range(2))
    assert not unannotated["mask"].any() and len(unannotated["classes"]) == 0
    indices = picture(0)[1]
    objects = np.unique(indices[2:][indices[2:] > 0])
    expected = 1 + np.searchsorted([0, *objects], indices)
    expected[:2] = 0
    np.testing.assert_array_equal(sample["mask"], expected)
    assert sample["classes"].tolist() == [0] * len(objects)
    (batch,) = pipeline.evaluation_batches(config(tmp_path, "folder"), "train", 2)
    assert {"mask", "classes", "boxes"} <= set(batch)


def test_bytes_are_kept_and_turned_upright_when_read(photos, tmp_path):
    image, indices = picture(0)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    path = photos / "train" / "my holiday" / "Größe.JPG"
    save(path, np.rot90(image).copy(), exif=orientation, quality=95)
    save(tmp_path / "masks/train/my holiday/Größe.png", indices)
    build(Folder(source=photos, masks=tmp_path / "masks", data_dir=tmp_path))
    directory = prepared_directory("folder", tmp_path)
    stored = b"".join(file.read_bytes() for file in directory.glob("*.array_record*"))
    assert Image.open(io.BytesIO(path.read_bytes())).size == (24, 32)
    # The record files are compressed in blocks, which leave the pixels of a JPEG as they are.
    assert path.read_bytes()[700:1200] in stored
    found = PreparedSplit(directory, "train")[1]["image"]
    assert found.shape == image.shape
    assert np.abs(found.astype(int) - image).mean() < 9  # turned the other way it is 47

    save(tmp_path / "masks/train/my holiday/Größe.png", np.rot90(indices).copy())
    with pytest.raises(UserError, match="24 x 32 pixels but .* is 32 x 24, upright"):
        build(
            Folder(source=photos, masks=tmp_path / "masks", data_dir=tmp_path / "a", name="again")
        )
    assert not (tmp_path / "a").exists()


def test_smaller_images(photos, masks, tmp_path):
    build(Folder(source=photos, masks=masks, data_dir=tmp_path, max_side=16))
    source = PreparedSplit(prepared_directory("folder", tmp_path), "train")
    assert [source[index]["image"].shape for index in range(2)] == [(12, 16, 3)] * 2
    assert source.protocol(8).startswith("stored with at most 16 pixels a side, centre")


def test_damage_is_named_and_left_out(photos, tmp_path, caplog):
    whole = (photos / "val" / "c.png").read_bytes()
    (photos / "train" / "cut.png").write_bytes(whole[:200])
    (photos / "train" / "empty.jpg").write_bytes(b"")
    (photos / "train" / "gone.jpg").symlink_to("/does/not/exist.jpg")
    (photos / "train" / "notes.txt").write_text("no image")
    with caplog.at_level(logging.WARNING):
        summary = build(Folder(source=photos, data_dir=tmp_path))
    assert "2 train, 1 validation" in summary
    assert "(damaged images left out: 3, other files: 1)" in summary
    for name in ("cut.png is a damaged image", "empty.jpg is a damaged", "gone.jpg: No such file"):
        assert name in caplog.text
    assert "other files: 1" in build(Folder(source=photos, data_dir=tmp_path))  # said again

    (photos / "val" / "c.png").write_bytes(whole[:200])
    with pytest.raises(UserError, match="no image of the validation split of .* can be read"):
        build(Folder(source=photos, data_dir=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_other_files_under_the_same_name_are_refused(photos, tmp_path):
    build(Folder(source=photos, data_dir=tmp_path))
    save(photos / "train" / "new.png", picture(3)[0])
    with pytest.raises(UserError, match="was prepared from other files: delete it, or give anothe"):
        build(Folder(source=photos, data_dir=tmp_path))
    with pytest.raises(UserError, match="prepared from other files"):
        build(Folder(source=photos / "train", data_dir=tmp_path))


def test_other_contents_of_the_same_size_are_noticed(photos, masks, tmp_path):
    options = {"source": photos, "masks": masks, "data_dir": tmp_path}
    path = masks / "val" / "c.png"
    indices = np.asarray(Image.open(path))
    save(path, indices, compress_level=0)
    build(Folder(**options))
    size = path.stat().st_size
    save(path, indices[::-1], compress_level=0)
    assert path.stat().st_size == size
    with pytest.raises(UserError, match="was prepared from other files"):
        build(Folder(**options))


def test_what_is_there_but_not_prepared_is_not_touched(photos, tmp_path):
    other = tmp_path / "folder" / "2.0.0" / "mine.txt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(UserError, match="is there but is no prepared data set: move it away"):
        build(Folder(source=photos, data_dir=tmp_path))
    assert other.read_text() == "mine"


@pytest.mark.parametrize("damaged", ["dataset_info.json", "features.json", "metadata.json"])
def test_damaged_descriptions_are_one_line(photos, tmp_path, damaged):
    build(Folder(source=photos, data_dir=tmp_path))
    directory = prepared_directory("folder", tmp_path)
    (directory / damaged).write_text("{")
    for read in (verify, lambda directory: PreparedSplit(directory, "train")):
        with pytest.raises(UserError, match="2.0.0 is damaged .*: delete it and prepare the data"):
            read(directory)


@pytest.mark.parametrize("name", ["coco", "shapes", "Photos", "my-photos", "", "../x", "1st"])
def test_names_that_cannot_be(photos, tmp_path, name):
    with pytest.raises(UserError, match=f"'{name}' cannot be a data set's name: take lowercase"):
        Folder(source=photos, data_dir=tmp_path, name=name)


def colours(masks):
    save(masks / "val" / "c.png", picture(2)[0])


def another_size(masks):
    save(masks / "val" / "c.png", picture(2)[1][1:])


def white_on_black(masks):
    for path in masks.rglob("*.png"):
        save(path, np.where(np.asarray(Image.open(path)) > 0, 255, 0).astype(np.uint8))


def two_of_one_name(masks):
    save(masks / "val" / "c.PNG", picture(2)[1])


def elsewhere(masks):
    (masks / "val").rename(masks / "validation")
    (masks / "train").rename(masks / "training")


@pytest.mark.parametrize(
    "damage, message",
    [
        (colours, "c.png is a picture of mode RGB: store the numbers of objects as a grey or pal"),
        (another_size, "c.png is 32 x 23 pixels but .*c.png is 32 x 24, upright"),
        (white_on_black, "shows an object: in a mask 0 is the background, 1.. are objects and 255"),
        (two_of_one_name, "val/c.PNG and val/c.png in .*masks have one name but for the suffix"),
        (elsewhere, "no mask in .*masks belongs to .*that of train/b.webp would be .*train/b.png"),
    ],
)
def test_masks_that_do_not_fit_are_named(photos, masks, tmp_path, damage, message):
    damage(masks)
    with pytest.raises(UserError, match=message):
        build(Folder(source=photos, masks=masks, data_dir=tmp_path / "data"))
    assert not (tmp_path / "data").exists()


def test_masks_in_the_source_are_no_images(photos, masks, tmp_path):
    masks.rename(photos / "masks")
    names, num_others = list_files(photos, leave_out=photos / "masks")
    assert names == ["train/b.webp", "train/my holiday/Größe.JPG", "val/c.png"]
    assert num_others == 0
    with pytest.raises(UserError, match="cannot hold both images and masks"):
        Folder(source=photos, masks=photos / "train" / "..", data_dir=tmp_path)


def test_links_in_a_circle_end_and_what_is_hidden_stays_so(photos):
    (photos / "train" / "up").symlink_to(photos)
    save(photos / ".thumbnails" / "a.png", picture()[0])
    save(photos / "train" / "._b.webp", picture()[0], format="PNG")
    assert list_files(photos) == (["train/b.webp", "train/my holiday/Größe.JPG", "val/c.png"], 1)


def test_a_name_decides_the_split_whatever_others_there_are():
    names = [f"folder {number % 7}/{number}.jpg" for number in range(2000)]
    whole = split_by_name(names)
    assert 140 < len(whole["validation"]) < 260
    part = split_by_name(names[::3])
    assert set(part["validation"]) == set(whole["validation"]) & set(names[::3])
    assert rank("a/\u00fc.jpg") == rank("a/u\u0308.jpg")  # two ways to write the same letter
    # Never to change: prepared data sets would no longer be what they are.
    assert [round(rank(name), 6) for name in ("a.jpg", "b/c.png")] == [0.314866, 0.037741]


def test_no_split_stays_empty_where_two_are_possible():
    for count in range(2, 40):
        splits = split_by_name([f"{number}.jpg" for number in range(count)])
        assert min(map(len, splits.values())) >= 1 and len(splits) == 2
    chosen = [name for name in (f"{number}.jpg" for number in range(99)) if rank(name) < 0.1]
    assert len(split_by_name(chosen)["train"]) == 1
    assert split_by_name(chosen[:1]) == {"train": chosen[:1]}


@pytest.mark.parametrize(
    "names, expected",
    [
        (["Train/a.png", "val/b.png", "validation/c.png"], {"train": 1, "validation": 2}),
        (["test/d.png", "train/a.png", "val/b.png"], {"train": 1, "validation": 1, "test": 1}),
        (["test/d.png"], {"train": 1}),  # a folder like any other
        ([], "x holds no image"),
        (["train/a.png"], "images in train/ but none in validation/"),
        (["test/d.png", "val/a.png"], "images in validation/ but none in train/"),
        (["b.png", "train/a.png", "val/a.png"], "but b.png is in none of them"),
    ],
)
def test_folders_decide_the_split(names, expected):
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            assign_splits(names, "x")
    else:
        splits = assign_splits(names, "x")
        assert {split: len(found) for split, found in splits.items()} == expected
