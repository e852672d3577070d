"""A user's own folder: every image as its viewer sees it, or one line that says what is wrong."""

import shutil
import types

import numpy as np
import pytest
from absl.testing import flagsaver
from PIL import Image

from data_pipelines import pipeline, prepare, sources
from data_pipelines.building.builder import build
from data_pipelines.building.verify import verify
from data_pipelines.images import read_photograph
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.sample_grid import draw_samples
from data_pipelines.sets import folder as folder_module
from data_pipelines.sets.coco import Coco
from data_pipelines.sets.folder import Folder
from dias_jax import cli
from dias_jax.errors import UserError

ROTATED = 6  # EXIF: the viewer turns it by a quarter


def picture(height=20, width=30, seed=0):
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(values)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def rotated(path):
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    save(picture(), path, exif=exif)


def config(data_dir, name="folder"):
    return types.SimpleNamespace(
        name=name,
        data_dir=str(data_dir),
        image_size=16,
        crop_scale=(0.75, 1.0),
        flip=True,
        seed=0,
        keep_in_memory=False,
        skip_damaged=False,
    )


@pytest.fixture
def source(tmp_path):
    """Images for train and validation, in several formats."""
    folder = tmp_path / "my images"
    save(picture(seed=1), folder / "train" / "a b" / "ÄÖ.JPG")
    rotated(folder / "train" / "turned.jpeg")
    save(picture(seed=2).convert("CMYK"), folder / "train" / "z.tiff")
    save(picture(seed=3), folder / "val" / "one.png")
    save(picture(seed=4), folder / "val" / "two.webp", lossless=True)
    (folder / "train" / "notes.txt").write_text("not an image")
    return folder


def names_of(source):
    found = [f"{split}/{name}" for split in ("train", "val") for name in NAMES[split]]
    return [source / name for name in found]


NAMES = {"train": ["a b/ÄÖ.JPG", "turned.jpeg", "z.tiff"], "val": ["one.png", "two.webp"]}


def write_masks(source, masks):
    for number, path in enumerate(names_of(source)):
        height, width = read_photograph(path).image.shape[:2]
        indices = np.zeros((height, width), np.uint8)
        indices[2:6, 2:6], indices[8:12, 3:9], indices[0] = 3, 7 + number, 255
        image = Image.fromarray(indices)
        image.putpalette([255 - value // 3 for value in range(768)])
        save(image, masks / path.relative_to(source).with_suffix(".png"))


def test_records_are_what_the_viewer_sees(source, tmp_path):
    summary = build(Folder(source=source, data_dir=tmp_path, name="mine"))
    assert summary.startswith("mine: 3 train, 2 validation images, no masks, in ")
    directory = prepared_directory("mine", tmp_path)
    assert directory == tmp_path / "mine" / "2.0.0"
    for split, folder in (("train", "train"), ("validation", "val")):
        samples = PreparedSplit(directory, split)
        assert samples.num_masks == 0 and len(samples) == len(NAMES[folder])
        for index, name in enumerate(NAMES[folder]):
            expected = read_photograph(source / folder / name).image
            assert set(samples[index]) == {"image", "index"}
            np.testing.assert_array_equal(samples[index]["image"], expected)
    assert "every record is intact" in verify(directory)
    assert samples.protocol(64) == "centre square crop, resize 64, no masks"


def test_only_a_jpeg_seen_as_it_is_keeps_its_bytes(source):
    plain, turned = source / "train/a b/ÄÖ.JPG", source / "train/turned.jpeg"
    assert folder_module.encode(plain, read_photograph(plain).image) == plain.read_bytes()
    encoded = folder_module.encode(turned, read_photograph(turned).image)
    assert encoded.startswith(b"\x89PNG")


def test_batches_without_masks(source, tmp_path):
    build(Folder(source=source, data_dir=tmp_path))
    found = list(pipeline.evaluation_batches(config(tmp_path), "validation", 2, num_threads=0))
    assert [set(batch) for batch in found] == [{"image", "index", "valid"}]
    batch = next(pipeline.train_batches(config(tmp_path), 3, seed=0, num_threads=0))
    assert batch["image"].shape == (3, 16, 16, 3)
    opened = sources.open_split(config(tmp_path), "train")
    assert opened.evaluation_view(opened[0], config(tmp_path))[1] is None
    masked = draw_samples(config(tmp_path), "train", 1, 1).width
    build(masked_folder(source, tmp_path))
    assert draw_samples(config(tmp_path, "with_masks"), "train", 1, 1).width > 1.9 * masked


def masked_folder(source, tmp_path):
    write_masks(source, tmp_path / "masks")
    return Folder(source=source, data_dir=tmp_path, masks=tmp_path / "masks", name="with_masks")


def test_masks_are_renumbered(source, tmp_path):
    write_masks(source, source / "masks")  # among the images, but none of them
    summary = build(Folder(source=source, data_dir=tmp_path, masks=source / "masks"))
    assert summary.startswith("folder: 3 train, 2 validation images, at most 3 masks each")
    directory = prepared_directory("folder", tmp_path)
    sample = PreparedSplit(directory, "train")[1]  # the rotated one
    assert sample["mask"].shape == sample["image"].shape[:2] == (30, 20)
    assert (sample["mask"][0] == 0).all() and (sample["mask"][2:6, 2:6] == 2).all()
    assert (sample["mask"][8:12, 3:9] == 3).all() and sample["mask"][1, 0] == 1
    assert sample["classes"].tolist() == [0, 0]
    assert "every record is intact" in verify(directory)
    (batch,) = pipeline.evaluation_batches(config(tmp_path), "validation", 2, num_threads=0)
    assert {"mask", "classes", "boxes"} <= set(batch)


def test_a_hash_of_the_name_splits(tmp_path):
    names = [f"{number}/x.png" for number in range(3000)]
    share = sum(folder_module.split_of(name) == "validation" for name in names) / len(names)
    assert 0.08 < share < 0.12
    assert [folder_module.split_of(name) for name in ("a.png", "b/c.JPG")] == ["train", "train"]
    assert folder_module.split_of(names[FIRST_VALIDATION]) == "validation"  # as on every machine


FIRST_VALIDATION = 3


def test_masks_and_hidden_files_are_no_images(source):
    write_masks(source, source / "masks")
    save(picture(), source / ".thumbnails" / "a.png")
    save(picture(), source / "._b.png")
    (source / "circle").symlink_to(source)
    found, num_others = folder_module.find_images(source, source / "masks")
    assert found == sorted(f"{split}/{name}" for split in NAMES for name in NAMES[split])
    assert num_others == 1


def test_damaged_images_are_left_out_and_named(source, tmp_path, caplog):
    path = source / "train" / "a b" / "ÄÖ.JPG"
    path.write_bytes(path.read_bytes()[:300])
    summary = build(Folder(source=source, data_dir=tmp_path))
    assert summary.startswith("folder: 2 train, 2 val")
    assert "1 damaged left out (train/a b/ÄÖ.JPG)" in summary
    assert str(path) in caplog.text
    assert build(Folder(source=source, data_dir=tmp_path)) == summary


@pytest.mark.parametrize("value", [0.5, 128.0])
def test_floats_and_sixteen_bits(tmp_path, value):
    save(Image.fromarray(np.full((4, 4), value, np.float32)), tmp_path / "float.tiff")
    np.testing.assert_array_equal(read_photograph(tmp_path / "float.tiff").image, 128)
    high = (np.arange(16).reshape(4, 4) * 4096 + 255).astype(np.uint16)
    for name in ("deep.png", "deep.tiff"):
        save(Image.fromarray(high), tmp_path / name)
        np.testing.assert_array_equal(read_photograph(tmp_path / name).image[..., 1], high >> 8)


def test_out_of_range_floats_are_clipped(tmp_path):
    values = np.array([[-3, 300], [np.nan, 7]], np.float32)
    save(Image.fromarray(values), tmp_path / "x.tiff")
    found = read_photograph(tmp_path / "x.tiff").image[..., 0]
    np.testing.assert_array_equal(found, [[0, 255], [0, 7]])


def test_the_first_frame_counts(tmp_path):
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (200, 10)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    photograph = read_photograph(tmp_path / "x.gif")
    assert photograph.num_frames == 2 and (photograph.image[..., 0] == 200).all()
    save(frames[0], tmp_path / "x.png")
    assert read_photograph(tmp_path / "x.png").num_frames == 1


def test_orientation_is_applied(tmp_path):
    rotated(tmp_path / "x.png")
    expected = np.rot90(np.asarray(picture()), -1)
    np.testing.assert_array_equal(read_photograph(tmp_path / "x.png").image, expected)


def remove_validation(source, masks):
    shutil.rmtree(source / "val")


def damage_validation(source, masks):
    for name in NAMES["val"]:
        (source / "val" / name).write_bytes(b"no image")


def remove_all(source, masks):
    shutil.rmtree(source / "train")
    shutil.rmtree(source / "val")


def few_without_folders(source, masks):
    remove_all(source, masks)
    save(picture(), source / "a.png")


def remove_mask(source, masks):
    (masks / "val" / "two.png").unlink()


def turn_mask(source, masks):
    path = masks / "train" / "turned.png"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)


def coloured_mask(source, masks):
    save(picture(), masks / "val" / "one.png")


@pytest.mark.parametrize(
    "change, message",
    [
        (remove_validation, "no image for validation among the 3 in .*: make the folders train/"),
        (damage_validation, "none of the 2 images for validation in .* can be read"),
        (remove_all, "no image in .*: name a folder of images"),
        (few_without_folders, "no image for validation among the 1"),
        (remove_mask, "cannot read .*two.png: No such file"),
        (turn_mask, "turned.png is 30 x 20 pixels but .*turned.jpeg is 20 x 30 upright"),
        (coloured_mask, "one.png is a picture of mode RGB"),
    ],
)
def test_bad_folders_are_one_line_and_leave_nothing(source, tmp_path, change, message):
    write_masks(source, tmp_path / "masks")
    change(source, tmp_path / "masks")
    data_dir = tmp_path / "new" / "data"
    with pytest.raises(UserError, match=message) as caught:
        build(Folder(source=source, data_dir=data_dir, masks=tmp_path / "masks"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_a_name_stands_for_one_folder(source, tmp_path):
    build(Folder(source=source, data_dir=tmp_path, name="mine"))
    other = shutil.copytree(source, tmp_path / "other")
    with pytest.raises(UserError, match="was prepared from .*my images, not .*other: give another"):
        build(Folder(source=other, data_dir=tmp_path, name="mine"))
    with pytest.raises(UserError, match=r"unknown data set 'yours': .* 'x' \(there is none\)"):
        prepared_directory("yours", "x")
    with pytest.raises(UserError, match=r"choose one of shapes, coco, .*\(mine\)"):
        prepared_directory("../mine", tmp_path)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["folder", "--data_dir=x"], "it needs --source: a folder of images"),
        (["folder", "--data_dir=x", "--source=pyproject.toml"], "pyproject.toml is no directory"),
        (["folder", "--data_dir=x", "--source=x", "--name=coco"], "the name 'coco' does not do"),
        (["folder", "--data_dir=x", "--source=x", "--name=A"], "the name 'A' does not do"),
        (["folder", "--data_dir=x", "--source=x", "--masks=y"], "the masks y are no directory"),
        (["folder", "--data_dir=x", "--source=tests", "--masks=tests"], "are both tests"),
        (["coco", "--data_dir=x", "--source=x", "--masks=y"], "--masks is for your own images"),
        (["folder", "--data_dir=x", "--name=mine", "--verify"], "unknown data set 'mine'"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message):
    with flagsaver.flagsaver(), pytest.raises(UserError, match=message) as caught:
        prepare.main(cli.parse_flags(["prepare", *arguments]))
    assert "\n" not in str(caught.value)


def test_coco_without_panoptic_files_says_where_they_are(tmp_path):
    annotations = tmp_path / "source" / "annotations"
    annotations.mkdir(parents=True)
    (annotations / "instances_val2017.json").write_text("{}")
    data_dir = tmp_path / "data"
    with pytest.raises(UserError, match="panoptic_annotations_trainval2017.zip") as caught:
        build(Coco(source=tmp_path / "source", data_dir=data_dir))
    assert "lacks panoptic_train2017.json" in str(caught.value)
    assert "\n" not in str(caught.value) and not data_dir.exists()
