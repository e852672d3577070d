"""The image files of a folder, and the splits that they belong to."""

import hashlib
import os
import pathlib
import unicodedata

from data_pipelines.images import is_image_name
from dias_jax.errors import UserError

VALIDATION_SHARE = 0.1
SPLIT_FOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}


def list_files(folder, leave_out=None):
    """The image files below a folder: -> names (relative, with /) in order, number of other files.

    Files are told by their suffix. Links are followed, but no folder is looked into twice; hidden
    folders and the folder `leave_out` are not. Raises UserError when a folder cannot be read.
    """
    folder, names, num_others = pathlib.Path(folder), [], 0
    seen = {os.path.realpath(path) for path in (folder, leave_out) if path}
    for parent, subfolders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        parent = pathlib.Path(parent)
        found = {name: os.path.realpath(parent / name) for name in sorted(subfolders)}
        subfolders[:] = []
        for name, real in found.items():
            if real not in seen and not name.startswith("."):
                seen.add(real)
                subfolders.append(name)
        images = [name for name in files if is_image_name(name)]
        names += [(parent / name).relative_to(folder).as_posix() for name in images]
        num_others += len(files) - len(images)
    return sorted(names), num_others


def assign_splits(names, source):
    """Which split an image belongs to: names -> dict from split to names in order, none empty.

    The folders train/, validation/ (or val/) and test/ directly below `source` are the splits,
    where the first two hold images. Otherwise the name decides (`split_by_name`). Raises UserError
    when there is no image, only one of the two folders, or an image outside of them.
    """
    if not names:
        raise UserError(f"{source} holds no image: name the folder that does with --source")
    folders = [name.split("/")[0].lower() if "/" in name else None for name in names]
    found = {SPLIT_FOLDERS[name] for name in folders if name in SPLIT_FOLDERS}
    if not found & {"train", "validation"}:
        return split_by_name(names)
    if len(found & {"train", "validation"}) == 1:
        there, missing = ("train", "validation") if "train" in found else ("validation", "train")
        raise UserError(
            f"{source} has images in {there}/ but none in {missing}/: put some there, or name a "
            "folder without these two as --source, to have one image in ten put aside"
        )
    splits = {split: [] for split in ("train", "validation", "test") if split in found}
    for name, folder in zip(names, folders):
        if folder not in SPLIT_FOLDERS:
            raise UserError(
                f"{source} has folders for splits, but {plain(name)} is in none of them: move it "
                "into train/, validation/ or test/"
            )
        splits[SPLIT_FOLDERS[folder]].append(name)
    return splits


def split_by_name(names):
    """Puts one image in ten aside for validation, by its name alone, whatever others there are.

    Except that of two images or more none of both splits stays empty: the one next to it moves.
    That happens among a few dozen images; with more of them, it moves back.
    """
    ranks = {name: rank(name) for name in names}
    validation = {name for name in names if ranks[name] < VALIDATION_SHARE}
    if len(names) > 1:
        validation.add(min(names, key=ranks.get))
    validation.discard(max(names, key=ranks.get))
    splits = {
        "train": [name for name in names if name not in validation],
        "validation": [name for name in names if name in validation],
    }
    return {split: found for split, found in splits.items() if found}


def rank(name):
    """A number in [0, 1) that depends on a relative name alone, however accents are written."""
    digest = hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", name))).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def plain(name):
    """A file name as text that can be written anywhere: bytes that are no UTF-8 become marks."""
    return os.fsencode(name).decode(errors="replace")


def _refuse(error):
    raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
