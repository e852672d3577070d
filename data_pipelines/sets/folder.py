"""Anybody's own images: a folder of any formats, sizes, names and sub-folders.

The images of train/, validation/ (or val/) and test/ directly below the source are these splits.
Without train/, a hash of its name below the source puts one image in ten into validation.

Masks, if there are any, lie in a folder of their own under the images' names, with the suffix .png:
0 background, 1.. objects, 255 not annotated, of the size of the upright image.
"""

import hashlib
import io
import logging
import os
import pathlib

import numpy as np
from PIL import Image

from data_pipelines import images
from data_pipelines.building.builder import UNKNOWN, ObjectDataSet, Sample, read_bytes
from data_pipelines.building.masks import renumber
from data_pipelines.images import decode, decode_indices
from data_pipelines.records import BUILT_IN, is_valid_name
from dias_jax.errors import UserError

log = logging.getLogger(__name__)

NOT_ANNOTATED = 255
SPLIT_FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}
_HASH_SHARE = 10  # one in so many images is for validation


class Folder(ObjectDataSet, skip_registration=True):
    """Images of a folder, with or without masks. Damaged images are left out and named.

    JPEG files are stored as they are where that is how they are seen, all else as PNG.

    Args:
      source: folder of the images.
      data_dir, max_side: as for every data set.
      masks: folder of the masks, or None.
      name: what the data set will be called.

    Raises:
      UserError: the name or the folder of masks is of no use; more while building.
    """

    IMAGE_FORMAT = None  # JPEG and PNG
    FILES = "a folder of images"
    HAS_RELEASE = False

    def __init__(self, *, source, data_dir, max_side=0, masks=None, name="folder"):
        if not is_valid_name(name) or name in BUILT_IN:
            raise UserError(
                f"the name {name!r} does not do: take lowercase letters, digits and _, a letter "
                f"first, and none of {', '.join(BUILT_IN)}"
            )
        self.name = name
        self.masks = masks and pathlib.Path(masks)
        if self.masks and not self.masks.is_dir():
            raise UserError(f"the masks {masks} are no directory: name the one that holds them")
        if self.masks and source and self.masks.resolve() == pathlib.Path(source).resolve():
            raise UserError(f"--masks and --source are both {masks}: give the masks a folder")
        self.has_masks = bool(self.masks)
        super().__init__(source=source, data_dir=data_dir, max_side=max_side)

    def categories(self):
        """Returns nothing: the objects have no classes."""
        return {}

    def origin(self):
        """Returns the folders, so that a name is not used for two."""
        folders = [self.source, self.masks] if self.masks else [self.source]
        return " and ".join(str(folder.resolve()) for folder in folders)

    def published_splits(self):
        """Yields the images sorted by name."""
        self.info.metadata["damaged"] = []
        splits = find_splits(self.source, self.masks)
        return {split: self._samples(split, names) for split, names in splits.items()}

    def released_mask(self, indices, entry, name):
        """The reference releases no folders."""
        raise NotImplementedError

    def record_name(self, sample):
        """Returns the name below the source."""
        name = pathlib.Path(sample.image_name).relative_to(self.source).as_posix()
        return os.fsencode(name).decode(errors="replace")

    def _samples(self, split, names):
        damaged, num_intact = self.info.metadata["damaged"], 0
        for name in names:
            path = self.source / name
            try:
                image = images.read_photograph(path).image
            except UserError as error:
                log.warning("%s (left out)", error)
                damaged.append(os.fsencode(name).decode(errors="replace"))
                continue
            num_intact += 1
            yield self._sample(path, name, image)
        if not num_intact:
            raise UserError(
                f"none of the {len(names)} images for {split} in {self.source} can be read: "
                "save them as PNG or JPEG"
            )

    def _sample(self, path, name, image):
        encoded = encode(path, image)
        if not self.masks:
            return Sample(path, None, encoded, None, [])
        mask_path = self.masks / pathlib.PurePosixPath(name).with_suffix(".png")
        indices = decode_indices(read_bytes(mask_path), mask_path)
        if indices.shape != image.shape[:2]:
            raise UserError(
                f"{mask_path} is {_size(indices)} pixels but {path} is {_size(image)} upright: "
                "make the mask that size"
            )
        mask, objects = renumber(indices, mask_path, not_annotated=(NOT_ANNOTATED,))
        return Sample(path, mask_path, encoded, mask, [UNKNOWN] * len(objects))


def find_splits(source, masks=None):
    """Finds the images of each split.

    Args:
      source: the folder (pathlib.Path).
      masks: folder whose files are no images even if it is in the source, or None.

    Returns:
      dict from split to a sorted list of names below the source, none of them empty.

    Raises:
      UserError: there is no image, or none for one of the splits train and validation.
    """
    names, num_others = find_images(source, masks)
    if not names:
        others = f", but {num_others} files that Pillow does not read" if num_others else ""
        raise UserError(f"no image in {source}{others}: name a folder of images, such as JPEG")
    if (source / "train").is_dir():
        splits = _splits_by_folder(names)
        num_others += len(names) - sum(len(found) for found in splits.values())
    else:
        splits = {"train": [], "validation": []}
        for name in names:
            splits[split_of(name)].append(name)
    for split in ("train", "validation"):
        if not splits[split]:
            raise UserError(
                f"no image for {split} among the {len(names)} in {source}: make the folders "
                f"train/ and validation/ in it, with images in both"
            )
    if num_others:
        log.warning("%s: %d other files are left out", source, num_others)
    return {split: found for split, found in splits.items() if found}


def find_images(source, masks=None):
    """Returns the sorted names of image files below `source`, and the number of other files.

    Hidden files and folders are passed over, and so is the folder `masks`.
    """
    known, names, num_others = images.suffixes(), [], 0
    passed = {os.path.realpath(masks)} if masks else set()
    for folder, subfolders, files in os.walk(source, onerror=_refuse, followlinks=True):
        folder = pathlib.Path(folder)
        if os.path.realpath(folder) in passed:  # the masks, or a link in a circle
            subfolders.clear()
            continue
        passed.add(os.path.realpath(folder))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if pathlib.PurePath(name).suffix.lower() in known:
                names.append((folder / name).relative_to(source).as_posix())
            else:
                num_others += 1
    return sorted(names), num_others


def split_of(name):
    """Returns "train" or "validation", which depends on nothing but the name."""
    digest = hashlib.sha256(os.fsencode(name)).digest()
    is_validation = int.from_bytes(digest[:8], "big") % _HASH_SHARE == 0
    return "validation" if is_validation else "train"


def encode(path, image):
    """Returns bytes that decode to `image` (H, W, 3): the file's own if it is such a JPEG, or PNG.

    `path` is the file that `image` was read from.
    """
    published = read_bytes(path)
    if published.startswith(b"\xff\xd8\xff") and np.array_equal(decode(published, path), image):
        return published
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _splits_by_folder(names):
    return {
        split: [name for name in names if name.split("/")[0] in folders]
        for split, folders in SPLIT_FOLDERS.items()
    }


def _size(array):
    return f"{array.shape[1]} x {array.shape[0]}"


def _refuse(error):
    raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
