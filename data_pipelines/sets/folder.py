"""Anybody's own images: a folder of any formats, names and sub-folders, with or without masks.

Masks lie in a folder of their own under the names of their images, with the suffix .png: grey or
palette pictures of 8 bits whose numbers (not colours) are 0 for the background, 1.. for objects and
255 for what is not annotated. A mask has the size of its image as people see it, EXIF orientation
honoured. An image without a mask is not annotated.
"""

import hashlib
import logging
import os
import pathlib
import unicodedata

import numpy as np

from data_pipelines.building.builder import UNKNOWN, ObjectDataSet, Sample
from data_pipelines.building.listing import assign_splits, list_files, plain
from data_pipelines.building.masks import renumber
from data_pipelines.images import decode_indices, decode_upright, read_bytes
from data_pipelines.records import PREPARED, is_valid_name
from dias_jax.errors import UserError
from dias_jax.files import sha256

log = logging.getLogger(__name__)

NOT_ANNOTATED = 255
DAMAGED, OTHERS = "damaged images left out", "other files"
WITHOUT_MASK, UNUSED = "images without a mask", "masks without an image"


class Folder(ObjectDataSet, skip_registration=True):
    """One's own images. A damaged one is left out and named; its bytes are kept otherwise."""

    IMAGE_FORMAT = None  # every image in its own
    HAS_RELEASE = False
    UPRIGHT = True
    FILES = "a folder of images"

    def __init__(self, *, source, data_dir, max_side=0, masks=None, name="folder"):
        taken = {"shapes", "moving_shapes", "bouncing", "downloads", *PREPARED}
        if not is_valid_name(name) or name in taken:
            raise UserError(
                f"{name!r} cannot be a data set's name: take lowercase letters, digits and _, "
                f"a letter first, and none of {', '.join(sorted(taken))}"
            )
        self.name, self.masks = name, masks and pathlib.Path(masks)
        self.HAS_MASKS = bool(masks)
        if masks and not self.masks.is_dir():
            raise UserError(f"the masks {masks} are no directory")
        if masks and source and self.masks.resolve() == pathlib.Path(source).resolve():
            raise UserError(f"{masks} cannot hold both images and masks: give --masks its own")
        self._listed = self._last_split = self._digest = None
        super().__init__(source=source, data_dir=data_dir, max_side=max_side)

    def categories(self):
        """None: objects have no class."""
        return {}

    def fingerprint(self):
        """A digest of names and contents of all images and masks."""
        if self._digest is None:  # it is asked for before a build and after it
            self._digest = self._read_digest()
        return self._digest

    def _read_digest(self):
        names, _, masks = self._list()
        paths = [self.source / name for name in names] + list(masks.values())
        digest = hashlib.sha256()
        for name, path in zip([*names, *masks], paths):
            content = sha256(path) if path.is_file() else "not a file"
            digest.update(os.fsencode(f"{name} {content}\n"))
        return digest.hexdigest()

    def published_splits(self):
        """The images by name; see `listing.assign_splits`."""
        names, num_others, masks = self._list()
        splits = assign_splits(names, self.source)
        self._last_split = list(splits)[-1]
        remarks = self.info.metadata["remarks"]
        remarks |= {DAMAGED: 0, OTHERS: num_others, WITHOUT_MASK: 0, UNUSED: 0}
        self.info.metadata["damaged"] = []
        if self.HAS_MASKS:
            remarks[UNUSED] = len(masks.keys() - map(_stem, names))
            if remarks[UNUSED] == len(masks):
                expected = (self.masks / names[0]).with_suffix(".png")
                raise UserError(
                    f"no mask in {self.masks} belongs to an image in {self.source}: that of "
                    f"{names[0]} would be {expected}"
                )
        return {split: (found, self._read) for split, found in splits.items()}

    def _list(self):
        """Names of images, number of other files, dict from stem to path of masks; once."""
        if self._listed is None:
            names, num_others = list_files(self.source, leave_out=self.masks)
            found = list_files(self.masks)[0] if self.HAS_MASKS else []
            pngs = [name for name in found if name.lower().endswith(".png")]
            masks = {_stem(name): self.masks / name for name in pngs}
            if self.HAS_MASKS:
                _refuse_shared_stems(names, self.source)
                _refuse_shared_stems(pngs, self.masks)
            self._listed = names, num_others, masks
        return self._listed

    def _generate_examples(self, split, items, read):
        yield from super()._generate_examples(split, items, read)
        metadata = self.info.metadata
        if self.HAS_MASKS and split == self._last_split and metadata["num_masks"] == 1:
            raise UserError(
                f"no mask in {self.masks} shows an object: in a mask 0 is the background, 1.. are "
                f"objects and {NOT_ANNOTATED} is what is not annotated"
            )

    def _read(self, name):
        """The Sample of an image; None where it is damaged."""
        path, metadata = self.source / name, self.info.metadata
        try:
            encoded = read_bytes(path)
            pixels = decode_upright(encoded, path)
        except UserError as error:
            log.warning("left out: %s", error)
            metadata["remarks"][DAMAGED] += 1
            metadata["damaged"].append(plain(name))
            return None
        sample = Sample(path, "", encoded, pixels=pixels, file_name=name)
        return self._with_mask(sample, name) if self.HAS_MASKS else sample

    def _with_mask(self, sample, name):
        path = self._list()[2].get(_stem(name))
        if path is None:
            self.info.metadata["remarks"][WITHOUT_MASK] += 1
            return sample._replace(mask=np.zeros(sample.pixels.shape[:2], np.uint8), classes=[])
        remedy = "store the numbers of objects as a grey or palette PNG of 8 bits"
        indices = decode_indices(read_bytes(path), path, remedy)
        if indices.shape != sample.pixels.shape[:2]:
            raise UserError(
                f"{path} is {_size(indices)} pixels but {sample.image_name} is "
                f"{_size(sample.pixels)}, upright: make the mask fit what is seen of the image"
            )
        mask, objects = renumber(indices, path, not_annotated=(NOT_ANNOTATED,))
        return sample._replace(mask_name=path, mask=mask, classes=[UNKNOWN] * len(objects))


def _refuse_shared_stems(names, folder):
    """Raises UserError where two files would belong to one mask or image."""
    seen = {}
    for name in names:
        other = seen.setdefault(_stem(name), name)
        if other != name:
            raise UserError(
                f"{plain(other)} and {plain(name)} in {folder} have one name but for the suffix, "
                "so which mask belongs to which image cannot be told: rename one"
            )


def _size(array):
    height, width = array.shape[:2]
    return f"{width} x {height}"


def _stem(name):
    """What image and mask have in common; file systems write accents in different ways."""
    return unicodedata.normalize("NFC", str(pathlib.PurePosixPath(name).with_suffix("")))
