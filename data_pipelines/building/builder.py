"""What the builders share: one record layout, written as array_record files without TensorFlow.

A record holds the image's bytes as published, an index map (0 = not annotated, 1 = background,
2.. = objects), and class and box of every object; without masks, the image alone.
`data_pipelines.records` reads it.

The source is the publisher's folder, or `train.lmdb` of the PyTorch reference's release with
`val.lmdb` beside it, or None: then the publisher's archives are fetched.
"""

import abc
import contextlib
import io
import pathlib
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.building import downloads, lmdb_release
from data_pipelines.building.masks import boxes_of
from data_pipelines.building.shrink import shrink
from data_pipelines.images import decode, decode_indices
from dias_jax.errors import UserError

UNKNOWN = 0  # the class of an object that the publisher gives no class


class Sample(NamedTuple):
    """One image with its objects; the names are for messages and the record's file name."""

    image_name: str | pathlib.Path
    mask_name: str | pathlib.Path | None
    image: bytes  # as published
    mask: np.ndarray | None  # (H, W) uint8
    classes: list  # category of each object
    depth: bytes | None = None  # as published, for a data set that has it


class ObjectDataSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Builds a data set below `data_dir`; a data set is a subclass.

    Raises (while building):
      UserError: a file is missing or damaged, or files contradict one another.
    """

    VERSION = tfds.core.Version("2.0.0")
    IMAGE_FORMAT = "jpeg"  # None: both JPEG and PNG
    HAS_DEPTH = False
    HAS_RELEASE = True  # whether the reference has an .lmdb of it
    has_masks = True
    ARCHIVES = ()  # addresses, where the publisher has stable ones
    FILES = ""  # otherwise: which to fetch from where
    FOLDER = ""  # below the directory of downloads, for what is in the archives
    ARCHIVE_ROOT = ""  # the folder in the archives that is the source
    HOMEPAGE = LICENSE = CITATION = ""
    PUBLISHED_SIZES = {}  # number of samples of each split, where the publisher's files are whole

    def __init__(self, *, source, data_dir, max_side=0):
        self.source = source and pathlib.Path(source)
        self.max_side = max_side  # pixels; larger images are stored smaller; 0: as published
        super().__init__(data_dir=data_dir, file_format="array_record")

    @abc.abstractmethod
    def categories(self):
        """Returns a dict from class id to name."""

    @abc.abstractmethod
    def published_splits(self):
        """Returns a dict from split to an iterator over the Samples of the publisher's folder."""

    @abc.abstractmethod
    def released_mask(self, indices, entry, name):
        """Returns mask and classes of an entry of the reference's release.

        `indices` (H, W) uint8 is its decoded segmentation, `entry` its dict, `name` for messages.
        """

    def origin(self):
        """Returns what a data set of this name must have been built from; "" for any folder."""
        return ""

    def record_name(self, sample):
        """Returns the record's file name."""
        return pathlib.Path(sample.image_name).name

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=self.__doc__,
            homepage=self.HOMEPAGE,
            license=self.LICENSE,
            citation=self.CITATION,
            features=record_features(self.IMAGE_FORMAT, self.HAS_DEPTH, self.has_masks),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # sample i is the publisher's i
        )

    def _split_generators(self, dl_manager):
        if self.source is None:
            folder = downloads.fetch(dl_manager, self.ARCHIVES, self.FOLDER)
            self.source = folder / self.ARCHIVE_ROOT
        metadata = self.info.metadata
        metadata["num_masks"], metadata["max_side"] = int(self.has_masks), self.max_side
        metadata["has_masks"], metadata["origin"] = self.has_masks, self.origin()
        metadata["published_sizes"] = self.PUBLISHED_SIZES
        metadata["categories"] = {str(number): name for number, name in self.categories().items()}
        if self.HAS_RELEASE and self.source.suffix == ".lmdb":
            paths = {"train": self.source, "validation": self.source.with_name("val.lmdb")}
            entries = {split: lmdb_release.open_release(path) for split, path in paths.items()}
            splits = {split: self._released_samples(found) for split, found in entries.items()}
        else:
            splits = self.published_splits()
        return {split: self._generate_examples(samples) for split, samples in splits.items()}

    def _released_samples(self, entries):
        for name, entry in entries:
            mask_name = f"the mask of {name}"
            indices = decode_indices(entry.bytes("segment"), mask_name)
            mask, classes = self.released_mask(indices, entry, name)
            depth = entry.bytes("depth") if self.HAS_DEPTH else None
            yield Sample(name, mask_name, entry.bytes("image"), mask, classes, depth)

    def _generate_examples(self, samples):
        metadata = self.info.metadata
        for number, sample in enumerate(samples):
            size = decode(sample.image, sample.image_name).shape[:2]
            if self.has_masks:
                require_size(sample.mask, sample.mask_name, size, sample.image_name)
            if self.HAS_DEPTH:
                name = f"the depth of {sample.image_name}"
                require_size(decode(sample.depth, name, "L"), name, size, sample.image_name)
            if self.max_side:
                sample = shrink(sample, self.max_side, self.IMAGE_FORMAT or "png")
            example = {
                "image": io.BytesIO(sample.image),
                "file_name": self.record_name(sample),
            }
            if self.has_masks:
                metadata["num_masks"] = max(metadata["num_masks"], int(sample.mask.max()))
                example |= {
                    "mask": Image.fromarray(sample.mask),
                    "classes": np.array(sample.classes, np.int32),
                    "boxes": boxes_of(sample.mask, len(sample.classes)),
                }
            if self.HAS_DEPTH:
                example["depth"] = io.BytesIO(sample.depth)
            yield number, example


def record_features(image_format, has_depth, has_masks=True):
    """Returns the TFDS features of a record."""
    picture = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
    features = {
        "image": tfds.features.Image(shape=(None, None, 3), encoding_format=image_format),
        "file_name": tfds.features.Text(),
    }
    if has_masks:
        features |= {
            "mask": picture,
            "classes": tfds.features.Tensor(shape=(None,), dtype=np.int32),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),
        }
    if has_depth:
        features["depth"] = picture
    return tfds.features.FeaturesDict(features)


def build(data_set):
    """Builds a data set; one that is there already stays. A failed build leaves nothing.

    Args:
      data_set: an `ObjectDataSet`.

    Returns:
      A one-line summary.

    Raises:
      UserError: the source is missing, damaged or contradicts itself, or nothing can be written.
    """
    source = data_set.source
    if source is None and not data_set.ARCHIVES:
        raise UserError(f"{data_set.name} is not downloaded, it needs --source: {data_set.FILES}")
    if source and not source.is_dir():
        if not data_set.HAS_RELEASE:
            raise UserError(f"the source {source} is no directory: name {data_set.FILES}")
        if not (source.suffix == ".lmdb" and source.is_file()):
            raise UserError(f"the source {source} is neither a directory nor an .lmdb file")
    try:
        with (
            contextlib.redirect_stdout(io.StringIO()),  # TFDS speaks of downloads
            no_empty_folders(pathlib.Path(data_set.data_path)),
        ):
            data_set.download_and_prepare()
    except (OSError, RuntimeError) as error:  # the latter is what the record writer raises
        reason = str(error).split("; ")[0]
        raise UserError(
            f"cannot write {data_set.data_path} ({reason}): make room, or name another --data_dir"
        ) from error
    origin, wanted = data_set.info.metadata.get("origin", ""), data_set.origin()
    if origin != wanted:
        raise UserError(
            f"{data_set.data_path} was prepared from {origin}, not {wanted}: give another --name, "
            "or remove it"
        )
    stored = data_set.info.metadata["max_side"]
    if stored != data_set.max_side:
        raise UserError(
            f"{data_set.data_path} was prepared with --max_side={stored}, not "
            f"{data_set.max_side}: give the same value or another --data_dir"
        )
    return f"{data_set.name}: {describe(data_set.info)}, in {data_set.data_path}"


def describe(info):
    """Returns sizes and bound of a prepared data set, in one line.

    Where a split is not what its publisher has, both sizes are named.
    """
    counts = []
    for name, split in info.splits.items():
        published = info.metadata["published_sizes"].get(name)
        whole = "" if published in (None, split.num_examples) else f" of {published} published"
        counts.append(f"{split.num_examples}{whole} {name}")
    num_masks, damaged = info.metadata["num_masks"], info.metadata.get("damaged", [])
    masks = f"at most {num_masks} masks each" if num_masks else "no masks"
    named = ", ".join([*damaged[:3], *(["..."] if len(damaged) > 3 else [])])
    left_out = f", {len(damaged)} damaged left out ({named})" if damaged else ""
    return f"{', '.join(counts)} images, {masks}{left_out}"


@contextlib.contextmanager
def no_empty_folders(path):
    """Where its block fails, removes the empty folders that were not there before.

    path: where a data set is built: DATA_DIR/NAME/VERSION. TFDS makes DATA_DIR/downloads as well.
    """
    downloads_folder = path.parents[1] / "downloads"
    candidates = (downloads_folder / "extracted", downloads_folder, path, *path.parents)
    new = [folder for folder in candidates if not folder.exists()]
    try:
        yield
    except BaseException:
        for folder in new:
            with contextlib.suppress(OSError):  # it holds something
                folder.rmdir()
        raise


def require_size(array, name, size, image_name):
    """Raises UserError unless `array` (H, W) has the image's `size`."""
    if array.shape != size:
        raise UserError(
            f"{name} is {array.shape} pixels but {image_name} is {size}: "
            "one of them is not the published file"
        )


def read_bytes(path):
    """Returns a file's bytes. Raises UserError where it cannot be read."""
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
