"""Random access to a prepared data set: encoded images and index maps in array_record files."""

import contextlib
import pathlib
import re

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import transforms
from data_pipelines.images import decode, decode_upright
from data_pipelines.properties import Properties
from dias_jax.errors import UserError

VERSION = "2.0.0"

# The published ones. Where TensorFlow Datasets puts what was built, below the data directory.
PREPARED = {
    name: f"{name}/{VERSION}"
    for name in (
        *("coco", "coco_instance", "coco_panoptic", "voc", "voc_trainaug", "clevrtex"),
        *("movi_c", "movi_d", "movi_e", "physion"),
        *("ytvis_2019", "ytvis_2021", "ytvis_2022", "ytvis_hq"),
    )
}


_ENCODED = {"image", "mask", "depth", "file_name"}  # features that a record has as bytes
_METADATA = {
    **{"num_masks": int, "max_side": int, "upright": bool, "annotation": str},
    **{"published_sizes": dict, "remarks": dict, "categories": dict, "kinds": dict},
    "num_frames": dict,  # of a data set of videos, a list for each split
    "scenarios": list,  # of videos, where there are any
}


def is_valid_name(name):
    """Whether a data set may have this name: lowercase letters, digits and _, a letter first."""
    return re.fullmatch("[a-z][a-z0-9_]*", name) is not None


def prepared_directory(name, data_dir):
    """The directory of a prepared data set below `data_dir`: a published one, or one's own.

    Raises UserError when the name is unknown or nothing is prepared there.
    """
    directory = pathlib.Path(data_dir or ".") / name / VERSION
    if is_valid_name(name) and is_prepared(directory):
        return directory
    if name in PREPARED:
        raise UserError(
            f"data set {name!r} is not prepared in {data_dir!r}: run python -m "
            f"data_pipelines.prepare {name} --source=DIR --data_dir={data_dir or 'DIR'}"
        )
    found = pathlib.Path(data_dir or ".").glob(f"*/{VERSION}")
    own = sorted({path.parent.name for path in found if is_prepared(path)} - PREPARED.keys())
    own = f"{', '.join(own)} (prepared in {data_dir!r})" if own else ""
    known = ", ".join(["shapes", "moving_shapes", "bouncing", *PREPARED, *filter(None, [own])])
    raise UserError(
        f"unknown data set {name!r}: choose one of {known}, or prepare a folder of images under "
        "that name (python -m data_pipelines.prepare --help)"
    )


def is_prepared(directory):
    """Whether a data set was prepared in this directory."""
    return (directory / "dataset_info.json").is_file()


def open_builder(directory):
    """The read-only builder of a prepared data set. Raises UserError when its files are damaged."""
    with refuse_damage(directory):
        builder = tfds.builder_from_directory(directory)
        _check_info(builder.info)
    return builder


@contextlib.contextmanager
def refuse_damage(directory):
    """Whatever goes wrong in this block becomes one UserError that names the data set."""
    try:
        yield
    except Exception as error:  # of JSON, protobuf or TFDS, by what is damaged
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(
            f"{directory} is damaged ({type(error).__name__}: {reason}): delete it and prepare the "
            "data set again"
        ) from error


def _check_info(info):
    """Raises an error of any kind unless features and metadata are those of a data set of ours."""
    metadata = {"upright": False, "annotation": "", "published_sizes": {}, "remarks": {}}
    metadata |= {"num_frames": {}, "categories": {}, "kinds": {}, "scenarios": []}
    metadata |= info.metadata
    for name, kind in _METADATA.items():
        if type(metadata[name]) is not kind:
            raise ValueError(f"{name} is {metadata[name]!r} in metadata.json")
    if not 0 <= metadata["num_masks"] <= 255 or metadata["max_side"] < 0:
        raise ValueError("num_masks or max_side is out of range in metadata.json")
    if not all(number.isdecimal() for number in metadata["categories"]):
        raise ValueError("a category has no number in metadata.json")
    expected = {"image", "file_name"}
    expected |= {"mask", "classes", "boxes"} if metadata["num_masks"] else set()
    expected |= {"kinds"} if metadata["kinds"] else set()
    if not all(type(names) is list and names for names in metadata["kinds"].values()):
        raise ValueError("a property has no kinds in metadata.json")
    if metadata["num_frames"]:
        expected = {"frames", "file_name"}
        expected |= {"masks", "classes"} if metadata["num_masks"] else set()
        expected |= {"scenario"} if metadata["scenarios"] else set()
        for name, split in info.splits.items():
            lengths = metadata["num_frames"][name]
            if len(lengths) != split.num_examples or not all(type(x) is int for x in lengths):
                raise ValueError(f"num_frames of {name} is wrong in metadata.json")
    if not expected <= set(info.features):
        raise ValueError(f"{', '.join(expected - set(info.features))} missing in features.json")
    empty = [name for name, split in info.splits.items() if split.num_examples < 1]
    if empty or not info.splits:
        raise ValueError(f"no sample in {', '.join(empty) or 'any split'}")


class PreparedSplit:
    """One split of a data set that `data_pipelines.prepare` built.

    `source[i]` is a dict: image (H, W, 3) uint8, index int and, if asked for and there, mask (H, W)
    uint8, classes (G,) int32 and boxes (G, 4) float32 (left, top, right, bottom in image widths and
    heights) of the objects, which are 2.. in the mask, of some data sets crowd (G,) bool, which of
    them are crowds, kinds and numbers as its `properties` has them, and depth (H, W) uint8.

    directory: the one that holds dataset_info.json; with_masks: whether masks are decoded, with
    which classes and boxes come; with_depth: whether depth is. Raises UserError when the data set
    has no such split and, while reading, for a damaged file or image.
    """

    max_frames, scenarios = 0, ()  # images

    def __init__(self, directory, split, with_masks=True, with_depth=False):
        builder = open_builder(directory)
        if split not in builder.info.splits:
            known = ", ".join(builder.info.splits)
            raise UserError(f"{directory} has no split {split!r}: choose one of {known}")
        metadata, features = builder.info.metadata, builder.info.features
        self._metadata = metadata
        # The static bound on ground-truth masks (the background is one); 0: there are no masks.
        self.num_masks = metadata["num_masks"]
        # The publisher's names by number; 0 is an object without a class.
        names = {int(number): name for number, name in metadata.get("categories", {}).items()}
        self.class_names = tuple(names.get(i, "") for i in range(1 + max(names, default=0)))
        # What is told of objects beside their class; of older data sets nothing.
        counts = {name: len(names) for name, names in metadata.get("kinds", {}).items()}
        self.properties = Properties(counts)
        self._max_side = metadata["max_side"]  # of the stored images; 0: as published
        self._annotation = metadata.get("annotation")  # what sets the masks apart; None: nothing
        self._upright = metadata.get("upright", False)  # whether images are one's own photographs
        self._directory = pathlib.Path(directory)
        self._split = split
        self._with_masks, self._with_depth = with_masks and self.num_masks > 0, with_depth
        encoded = _ENCODED & set(features) - {"file_name"}
        skip = tfds.decode.SkipDecoding()
        with refuse_damage(directory):
            self._records = builder.as_data_source(split, decoders=dict.fromkeys(encoded, skip))

    def __len__(self):
        return len(self._records)

    def __getitem__(self, index):
        record = self._read(index)
        name = self._name(index, record)
        remedy = f"delete {self._directory} and prepare the data set again"
        read = decode_upright if self._upright else decode
        sample = {"image": read(record["image"], name, remedy=remedy), "index": int(index)}
        if self._with_masks:
            sample["mask"] = decode(record["mask"], f"the mask of {name}", "L", remedy)
            sample |= {"classes": record["classes"], "boxes": record["boxes"]}
            if "crowd" in record:
                sample["crowd"] = record["crowd"]
            if self.properties.kinds:
                no_numbers = np.zeros((len(record["classes"]), 0), np.float32)
                sample |= {"kinds": record["kinds"], "numbers": no_numbers}
            if not self._is_consistent(sample):
                raise UserError(f"{name} contradicts its mask or the number of masks: {remedy}")
        if self._with_depth:
            sample["depth"] = decode(record["depth"], f"the depth of {name}", "L", remedy)
        return sample

    def _read(self, index):
        try:
            record = self._records[int(index)]
            wrong = [name for name in _ENCODED & record.keys() if type(record[name]) is not bytes]
            if wrong:  # as of a file that was cut short
                raise ValueError(f"no {', '.join(wrong)} in it")
        except Exception as error:  # of array_record, protobuf or TFDS, by what is damaged
            reason = str(error).split("\n")[0] or type(error).__name__
            raise UserError(
                f"sample {index} of {self._split} in {self._directory} cannot be read ({reason}): "
                f"delete {self._directory} and prepare the data set again"
            ) from error
        return record

    def _name(self, index, record):
        place = f"sample {index} of {self._split}, {self._directory}"
        return f"{record['file_name'].decode(errors='replace')} ({place})"

    def _is_consistent(self, sample):
        mask, classes, boxes = (sample[name] for name in ("mask", "classes", "boxes"))
        crowd = sample.get("crowd", np.zeros(len(classes), bool))
        return (
            mask.shape == sample["image"].shape[:2]
            and mask.max() <= self.num_masks
            and classes.shape == (len(classes),)
            and boxes.shape == (len(classes), 4)
            and len(classes) < self.num_masks
            and crowd.shape == (len(classes),)
            and (classes.dtype, boxes.dtype, crowd.dtype) == (np.int32, np.float32, bool)
            and self._are_kinds(sample.get("kinds"), len(classes))
        )

    def _are_kinds(self, kinds, num_objects):
        counts = list(self.properties.kinds.values())
        return kinds is None or (
            kinds.shape == (num_objects, len(counts))
            and kinds.dtype == np.int32
            and ((kinds >= -1) & (kinds < counts)).all()
        )

    def training_view(self, sample, rng, data_config):
        """A random crop, perhaps mirrored: image, and mask or None."""
        size, crop_scale = data_config.image_size, tuple(data_config.crop_scale)
        image, mask = sample["image"], sample.get("mask")
        return transforms.training_view(image, mask, rng, size, crop_scale, data_config.flip)

    def evaluation_view(self, sample, data_config):
        """The centred square: image, and mask or None."""
        image, mask = sample["image"], sample.get("mask")
        return transforms.evaluation_view(image, mask, data_config.image_size)

    def protocol(self, size):
        """One line that says what an evaluation at `size` pixels sees."""
        stored = f"stored with at most {self._max_side} pixels a side, " if self._max_side else ""
        annotation = f"{self._annotation}, " if self._annotation else ""
        masks = "background counted" if self.num_masks else "no masks"
        return f"{stored}{annotation}centre square crop, resize {size}, {masks}"
