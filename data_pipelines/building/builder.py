"""What the builders share: one record layout, written as array_record files without TensorFlow.

A record holds the image's bytes as published, an index map (0 = not annotated, 1 = background,
2.. = objects), and class and box of every object, perhaps with numbers of kinds; where the
publisher says so, whether it stands for a crowd of things. `data_pipelines.records` reads it.

The source is the publisher's folder, or `train.lmdb` of the PyTorch reference's release with
`val.lmdb` beside it, or None: then the publisher's archives are fetched.
"""

import abc
import io
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
import tqdm
from PIL import Image

from data_pipelines.building import downloads, lmdb_release
from data_pipelines.building.listing import plain
from data_pipelines.building.masks import boxes_of
from data_pipelines.building.shrink import shrink
from data_pipelines.images import decode, decode_indices
from data_pipelines.records import VERSION, refuse_damage
from dias_jax.errors import UserError

UNKNOWN = 0  # the class of an object that the publisher gives no class


class Sample(NamedTuple):
    """One image with its objects; the names are for messages, and the record's file name."""

    image_name: str | pathlib.Path
    mask_name: str | pathlib.Path
    image: bytes  # as published
    mask: np.ndarray | None = None  # (H, W) uint8, for a data set that has masks
    classes: list | None = None  # category of each object, likewise
    depth: bytes | None = None  # as published, for a data set that has it
    pixels: np.ndarray | None = None  # (H, W, 3) uint8, where the image has been decoded already
    file_name: str | None = None  # in the record; None: the image's own
    crowd: list | None = None  # of each object, whether it is a crowd, where the data set has any
    kinds: list | None = None  # of each object a row, as in `data_pipelines.properties`


class ObjectDataSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds a data set below `data_dir`; a data set is a subclass.

    Building raises UserError when a file is missing or damaged, or files contradict one another.
    """

    VERSION = tfds.core.Version(VERSION)
    IMAGE_FORMAT = "jpeg"
    HAS_MASKS = True
    HAS_DEPTH = False
    HAS_CROWDS = False  # the publisher's files; a release of the reference does not tell
    KINDS = ()  # categorical properties of objects; `published_splits` names their kinds
    HAS_RELEASE = True  # the PyTorch reference published it as train.lmdb
    UPRIGHT = False  # whether images are photographs, to be turned upright when they are read
    ANNOTATION = ""  # for the protocol: what sets masks or frames apart from the usual ones
    ARCHIVES = ()  # addresses, where the publisher has stable ones
    FILES = ""  # otherwise: which to fetch from where
    FOLDER = ""  # below the directory of downloads, for what is in the archives
    ARCHIVE_ROOT = ""  # the folder in the archives that is the source
    HOMEPAGE = LICENSE = CITATION = ""
    PUBLISHED_SIZES = {}  # number of samples of each split, where the publisher's files are whole

    def __init__(self, *, source, data_dir, max_side=0):
        self.source = source and pathlib.Path(source)
        self.max_side = max_side  # pixels; larger images are stored smaller; 0: as published
        with refuse_damage(pathlib.Path(data_dir) / self.name / VERSION):  # it reads what is there
            super().__init__(data_dir=data_dir, file_format="array_record")

    @abc.abstractmethod
    def categories(self):
        """A dict from class id to name."""

    @abc.abstractmethod
    def published_splits(self):
        """A dict from split to (items, read), of the publisher's folder.

        items: what is to be read, listed at once, so that a missing list shows early; read: a
        function from one of them to a Sample, or to None where it is left out.
        """

    def released_mask(self, indices, entry, name):
        """Mask and classes of an entry of the reference's release, if there is one.

        indices: (H, W) uint8, its decoded segmentation; entry: its dict; name: for messages.
        """
        raise NotImplementedError

    def fingerprint(self):
        """Tells sources apart for whoever prepares a data set again; "": there is only one."""
        return ""

    @property
    def is_release(self):
        """Whether the source is the reference's release."""
        return self.HAS_RELEASE and self.source is not None and self.source.suffix == ".lmdb"

    @property
    def num_kinds(self):
        """How many categorical properties records tell; those of a release tell none."""
        return 0 if self.is_release else len(self.KINDS)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            citation=self.CITATION,
            features=self._features(),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # sample i is the publisher's i
        )

    @property
    def tells_crowds(self):
        """Whether records say which objects are crowds."""
        return self.HAS_CROWDS and not self.is_release

    def _features(self):
        contents = self.HAS_MASKS, self.HAS_DEPTH, self.tells_crowds, self.num_kinds
        return record_features(self.IMAGE_FORMAT, *contents)

    def _split_generators(self, dl_manager):
        if self.source is None:
            folder = downloads.fetch(dl_manager, self.ARCHIVES, self.FOLDER)
            self.source = folder / self.ARCHIVE_ROOT
        self.info.metadata.update(
            num_masks=int(self.HAS_MASKS),
            max_side=self.max_side,
            upright=self.UPRIGHT,
            annotation=self.ANNOTATION,
            published_sizes=self.PUBLISHED_SIZES,
            categories={str(number): name for number, name in self.categories().items()},
            kinds={},  # {property: names of its kinds}
            fingerprint=self.fingerprint(),
            remarks={},  # for the summary: how many of what
        )
        if self.is_release:
            paths = {"train": self.source, "validation": self.source.with_name("val.lmdb")}
            entries = {split: lmdb_release.open_release(path) for split, path in paths.items()}
            splits = {split: (found, self._released_sample) for split, found in entries.items()}
        else:
            splits = self.published_splits()
        tfds.disable_progress_bar()  # three bars a split; those of downloads have been shown
        return {name: self._generate_examples(name, *split) for name, split in splits.items()}

    def _released_sample(self, entry):
        name, entry = entry
        mask_name = f"the mask of {name}"
        indices = decode_indices(entry.bytes("segment"), mask_name)
        mask, classes = self.released_mask(indices, entry, name)
        depth = entry.bytes("depth") if self.HAS_DEPTH else None
        return Sample(name, mask_name, entry.bytes("image"), mask, classes, depth)

    def _generate_examples(self, split, items, read):
        number = 0
        # On a terminal only, and gone when it is done.
        for item in tqdm.tqdm(items, f"{self.name} {split}", unit="", leave=False, disable=None):
            sample = read(item)
            if sample is not None:
                yield number, self._record(sample)
                number += 1
        if number == 0:
            raise UserError(
                f"no image of the {split} split of {self.source} can be read: replace or remove "
                "the damaged ones, which are named above"
            )

    def _record(self, sample):
        if sample.pixels is None:
            sample = sample._replace(pixels=decode(sample.image, sample.image_name))
        size = sample.pixels.shape[:2]
        if self.HAS_MASKS:
            require_size(sample.mask, sample.mask_name, size, sample.image_name)
        if self.HAS_DEPTH:
            name = f"the depth of {sample.image_name}"
            require_size(decode(sample.depth, name, "L"), name, size, sample.image_name)
        if self.max_side:
            sample = shrink(sample, self.max_side)
        record = {
            "image": io.BytesIO(sample.image),
            "file_name": plain(sample.file_name or pathlib.Path(sample.image_name).name),
        }
        if self.HAS_MASKS:
            metadata = self.info.metadata
            metadata["num_masks"] = max(metadata["num_masks"], int(sample.mask.max()))
            record["mask"] = Image.fromarray(sample.mask)
            record["classes"] = np.array(sample.classes, np.int32)
            record["boxes"] = boxes_of(sample.mask, len(sample.classes))
        if self.tells_crowds:
            record["crowd"] = np.array(sample.crowd, bool)
        if self.num_kinds:
            record["kinds"] = np.array(sample.kinds, np.int32).reshape(-1, self.num_kinds)
        if self.HAS_DEPTH:
            record["depth"] = io.BytesIO(sample.depth)
        return record


def record_features(image_format, has_masks, has_depth, has_crowds, num_kinds):
    """The TFDS features of a record; image_format None: every image in its own."""
    picture = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=image_format),
        "file_name": tfds.features.Text(),
    }
    if has_masks:
        features["mask"] = picture
        features["classes"] = tfds.features.Tensor(shape=(None,), dtype=np.int32)
        features["boxes"] = tfds.features.Tensor(shape=(None, 4), dtype=np.float32)
    if has_crowds:
        features["crowd"] = tfds.features.Tensor(shape=(None,), dtype=np.bool_)
    if num_kinds:
        features["kinds"] = tfds.features.Tensor(shape=(None, num_kinds), dtype=np.int32)
    if has_depth:
        features["depth"] = picture
    return tfds.features.FeaturesDict(features)


def require_size(array, name, size, image_name):
    """Raises UserError unless `array` (H, W) has the image's `size`."""
    if array.shape != size:
        raise UserError(
            f"{name} is {array.shape} pixels but {image_name} is {size}: "
            "one of them is not the published file"
        )
