"""COCO 2017 with panoptic annotation.

The source holds train2017/, val2017/, annotations/panoptic_{train,val}2017.json and
annotations/panoptic_{train,val}2017/, as published.
"""

import functools
import json
import pathlib
import reprlib

import numpy as np

from data_pipelines.building.builder import ObjectDataSet, Sample
from data_pipelines.building.masks import MAX_OBJECTS, number_objects
from data_pipelines.images import decode, read_bytes
from dias_jax.errors import UserError

SOURCE_SPLITS = {"train": "train2017", "validation": "val2017"}


class Coco(ObjectDataSet, skip_registration=True):
    """COCO 2017: one mask for each "thing", all "stuff" merged into the background.

    A segment that stands for a crowd of things is one thing, as in the published evaluation.
    """

    HOMEPAGE = "https://cocodataset.org"
    LICENSE = "Annotations CC BY 4.0; images: each photographer's own licence, see Flickr."
    CITATION = """@inproceedings{lin2014microsoft, title={Microsoft {COCO}: Common Objects in
Context}, author={Lin, Tsung-Yi and others}, booktitle={European Conference on Computer Vision},
year={2014}}
@inproceedings{kirillov2019panoptic, title={Panoptic Segmentation}, author={Kirillov, Alexander and
He, Kaiming and Girshick, Ross and Rother, Carsten and Doll{\\'a}r, Piotr},
booktitle={IEEE Conference on Computer Vision and Pattern Recognition}, year={2019}}"""
    ARCHIVES = (
        "http://images.cocodataset.org/zips/train2017.zip",
        "http://images.cocodataset.org/zips/val2017.zip",
        "http://images.cocodataset.org/annotations/panoptic_annotations_trainval2017.zip",
    )
    FOLDER = "coco"
    PUBLISHED_SIZES = {"train": 118_287, "validation": 5_000}
    STUFF_IS_BACKGROUND = True
    HAS_CROWDS = True

    def categories(self):
        """Things and stuff; a release of the reference does not name them."""
        if self.is_release:
            return {}
        return {category["id"]: category["name"] for category in self._read_categories()}

    def published_splits(self):
        """The images in the order of the JSON files, which are read at once."""
        is_object = {
            category["id"]: bool(category["isthing"]) or not self.STUFF_IS_BACKGROUND
            for category in self._read_categories()
        }
        segment_table = new_segment_table()
        splits = {}
        for split, folder in SOURCE_SPLITS.items():
            options = {"is_object": is_object, "segment_table": segment_table}
            read = functools.partial(self._sample, folder, **options)
            splits[split] = read_annotations(self._table_path(folder)), read
        return splits

    def released_mask(self, indices, entry, name):
        """The release has 0 for not annotated, 1.. for segments, and says which are things."""
        classes, things = entry.array("clazz"), entry.array("isthing").astype(bool)
        if not len(classes) == len(things) == indices.max():
            raise UserError(f"{name} has not one class for each segment: get the release again")
        objects = things if self.STUFF_IS_BACKGROUND else np.ones_like(things)
        return number_objects(indices, objects), classes[objects].tolist()

    def _read_categories(self):
        path = self._table_path(SOURCE_SPLITS["validation"])  # both files hold them, this is small
        return read_entries(read_json(path), "categories", self.is_category, "id", path)

    @staticmethod
    def is_category(entry):
        """Whether this is an entry that the JSON may have for a category."""
        is_named = is_number(entry["id"]) and isinstance(entry["name"], str)
        return is_named and entry["isthing"] in (0, 1)

    def _table_path(self, folder):
        path = self.source / "annotations" / f"panoptic_{folder}.json"
        missing = [p for p in (path, path.with_suffix("")) if not p.exists()]
        if not missing:
            return path
        other = path.with_name(f"instances_{folder}.json")
        instead = f", or prepare coco_instance from {other.name}" if other.exists() else ""
        raise UserError(
            f"{missing[0]} is missing: unpack {self.ARCHIVES[-1]} in {self.source}, and the "
            f"archives in it where they are{instead}"
        )

    def _sample(self, folder, annotation, *, is_object, segment_table):
        stem = annotation["file_name"].rsplit(".", 1)[0]
        image_path = self.source / folder / f"{stem}.jpg"
        mask_path = self.source / "annotations" / f"panoptic_{folder}" / f"{stem}.png"
        segments = decode(read_bytes(mask_path), mask_path)
        mask, classes, crowd = index_map(segments, annotation, is_object, mask_path, segment_table)
        image = read_bytes(image_path)
        return Sample(image_path, mask_path, image, mask, classes, crowd=crowd)


class CocoPanoptic(Coco, skip_registration=True):
    """COCO 2017: one mask for each segment, things and stuff alike; nothing is background."""

    STUFF_IS_BACKGROUND = False


def new_segment_table():
    """The look-up table from segment id (24 bits) to index that `index_map` works with."""
    table = np.full(1 << 24, 255, np.uint8)
    table[0] = 0
    return table


def index_map(segments, annotation, is_object, path, segment_table):
    """A panoptic picture as an index map: -> mask (H, W) uint8, category and crowd of each object.

    segments: (H, W, 3) uint8, colours that encode segment ids (red + 256 green + 65536 blue);
    annotation: the picture's entry in the published JSON; is_object: dict from category id to bool,
    False for what belongs to the background; path: the picture's, for messages; segment_table: from
    `new_segment_table`, the same afterwards as before. Objects are numbered by increasing segment
    id. Raises UserError when the picture and the JSON contradict one another, or there are too many
    segments.
    """
    categories = {info["id"]: info["category_id"] for info in annotation["segments_info"]}
    is_crowd = {info["id"]: says_crowd(info) for info in annotation["segments_info"]}
    if len(categories) > MAX_OBJECTS:
        raise UserError(
            f"{path} has {len(categories)} segments; at most {MAX_OBJECTS} are supported"
        )
    unknown = set(categories.values()) - set(is_object)
    if unknown:
        raise UserError(f"{path} has segments of category {min(unknown)}, which the JSON lacks")
    identifiers = np.array(sorted(categories), np.int64)
    segment_table[identifiers] = np.arange(1, len(identifiers) + 1)
    red, green, blue = (segments[..., channel].astype(np.int32) for channel in range(3))
    numbered = segment_table[red + 256 * green + 65536 * blue]
    segment_table[identifiers] = 255

    found = np.bincount(numbered.ravel(), minlength=256) > 0
    if found[255]:
        raise UserError(f"{path} shows a segment that its JSON does not list")
    if not found[1 : len(identifiers) + 1].all():
        raise UserError(f"{path} lacks a segment that its JSON lists")

    objects = np.array([is_object[categories[i]] for i in identifiers.tolist()], bool)
    kept = identifiers[objects].tolist()
    mask = number_objects(numbered, objects)
    return mask, [categories[i] for i in kept], [is_crowd[i] for i in kept]


def read_json(path):
    """What a JSON file holds. Raises UserError when it is missing or not valid."""
    try:
        return json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not valid JSON ({error})") from error


def read_entries(table, key, is_entry, identifier, path, may_be_empty=False):
    """The list of dicts that a JSON file has under `key`.

    table: what the file holds, path: its name for messages; is_entry: whether a dict may be an
    entry, which may raise KeyError or TypeError; identifier: the key that tells entries apart.
    Raises UserError, which names the entry, unless all are as they must be.
    """
    entries = table.get(key) if isinstance(table, dict) else None
    if not isinstance(entries, list) or not (entries or may_be_empty):
        raise UserError(f"{path} holds no {key}: take the published one")
    seen = set()
    for entry in entries:
        try:
            is_right = isinstance(entry, dict) and is_entry(entry)
        except (KeyError, TypeError):
            is_right = False
        if not is_right:
            raise UserError(
                f"{path} has a damaged entry in {key}, {reprlib.repr(entry)}: take the published "
                "one"
            )
        if entry[identifier] in seen:
            raise UserError(
                f"{path} has two {key} of {identifier} {entry[identifier]!r}: take the published "
                "one"
            )
        seen.add(entry[identifier])
    return entries


def is_number(value):
    """Whether this is a whole number that a record can hold."""
    return type(value) is int and abs(value) < 2**31


def says_crowd(entry):
    """Whether an entry of a segment or an instance says that it stands for a crowd of things."""
    return bool(entry.get("iscrowd", 0))


def is_plain_name(value):
    """Whether this names a file in a folder, and never one outside of it."""
    is_name = isinstance(value, str) and value == pathlib.PurePath(value).name
    return is_name and value not in ("", "..") and "\0" not in value


def is_picture(entry):
    """Whether this is an entry of a panoptic JSON file, whose segments have distinct ids."""
    segments = entry["segments_info"]
    is_right = isinstance(segments, list) and all(
        is_number(segment["category_id"])
        and type(segment["id"]) is int
        and 0 < segment["id"] < 1 << 24
        and segment.get("iscrowd", 0) in (0, 1)
        for segment in segments
    )
    is_right = is_right and len({segment["id"] for segment in segments}) == len(segments)
    return is_right and is_plain_name(entry["file_name"])


def read_annotations(path):
    """The entries of a panoptic JSON file, one a picture. Raises UserError when it has none."""
    return read_entries(read_json(path), "annotations", is_picture, "file_name", path)
