"""COCO 2017 with instance annotation: polygons and run lengths instead of panoptic pictures.

The source holds train2017/, val2017/ and annotations/instances_{train,val}2017.json, as published.
"""

import functools

import numpy as np

from data_pipelines.building.builder import Sample
from data_pipelines.building.masks import MAX_OBJECTS
from data_pipelines.images import is_too_large, read_bytes
from data_pipelines.sets.coco import (
    SOURCE_SPLITS,
    Coco,
    is_number,
    is_plain_name,
    read_entries,
    read_json,
    says_crowd,
)
from dias_jax.errors import UserError


class CocoInstance(Coco, skip_registration=True):
    """COCO 2017: one mask for each annotated instance; every other pixel is background.

    That is another protocol than coco's: what the panoptic annotators left open is background, and
    instances overlap. Larger ones are painted first and crowds before all, so that the smaller of
    two that overlap is on top; one that is covered completely is left out.
    """

    ANNOTATION = "instance annotation (the smaller on top, all other pixels background)"
    HAS_RELEASE = False
    ARCHIVES = (
        "http://images.cocodataset.org/zips/train2017.zip",
        "http://images.cocodataset.org/zips/val2017.zip",
        "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
    )
    FOLDER = "coco_instance"

    def categories(self):
        """The kinds of things, from the smaller of the JSON files, since both hold them."""
        return {category["id"]: category["name"] for category in self._read_categories()}

    @staticmethod
    def is_category(entry):
        """Whether this is an entry that the JSON may have for a category."""
        return is_number(entry["id"]) and isinstance(entry["name"], str)

    def published_splits(self):
        """The images in the order of the JSON files; one without any instance is background."""
        mask_tools, categories, splits = import_mask_tools(), self.categories(), {}
        for split, folder in SOURCE_SPLITS.items():
            path = self._table_path(folder)
            read = functools.partial(self._sample, folder, path, mask_tools=mask_tools)
            splits[split] = read_instances(path, categories), read
        return splits

    def _table_path(self, folder):
        path = self.source / "annotations" / f"instances_{folder}.json"
        if not path.exists():
            raise UserError(f"{path} is missing: unpack {self.ARCHIVES[-1]} in {self.source}")
        return path

    def _sample(self, folder, table_path, item, *, mask_tools):
        image, annotations = item
        name = f"{image['file_name']} in {table_path}"
        size = image["height"], image["width"]
        mask, classes, crowd = paint(annotations, *size, name, mask_tools)
        image_path = self.source / folder / image["file_name"]
        return Sample(image_path, name, read_bytes(image_path), mask, classes, crowd=crowd)


def import_mask_tools():
    """COCO's own code for polygons and run lengths. Raises UserError when it is not installed."""
    try:
        from pycocotools import mask  # an extra: only this data set needs it
    except ImportError as error:
        raise UserError(
            'instance annotation needs pycocotools: pip install "dias_jax[coco]"'
        ) from error
    return mask


def read_instances(path, categories):
    """The images of a JSON file with their annotations: -> list of (image, list of annotations).

    categories: the known ones. Raises UserError when the file is missing or holds anything else.
    """
    table = read_json(path)
    images = read_entries(table, "images", _is_image, "id", path)
    images = {image["id"]: (image, []) for image in images}

    def is_annotation(entry):
        is_known = is_number(entry["image_id"]) and entry["image_id"] in images
        is_known = is_known and is_number(entry["category_id"])
        is_known = is_known and entry["category_id"] in categories
        is_known = is_known and entry.get("iscrowd", 0) in (0, 1)
        return is_known and type(entry["id"]) is int and "segmentation" in entry

    for entry in read_entries(table, "annotations", is_annotation, "id", path, may_be_empty=True):
        images[entry["image_id"]][1].append(entry)
    return list(images.values())


def _is_image(entry):
    height, width = entry["height"], entry["width"]
    is_right = is_number(entry["id"]) and is_number(height) and is_number(width)
    is_right = is_right and min(height, width) > 0 and not is_too_large(height, width)
    return is_right and is_plain_name(entry["file_name"])


def paint(annotations, height, width, name, mask_tools):
    """Instances as an index map: -> mask (height, width) uint8, category and crowd of each object.

    1 is background, 2.. are the instances that are seen, by increasing id. name: the image's, for
    messages; mask_tools: of `import_mask_tools`. Raises UserError when an outline is not valid, or
    there are too many instances.
    """
    if len(annotations) > MAX_OBJECTS:
        raise UserError(
            f"{name} has {len(annotations)} instances; at most {MAX_OBJECTS} are supported"
        )
    annotations = sorted(annotations, key=lambda annotation: annotation["id"])
    outlines = [outline(entry, height, width, name, mask_tools) for entry in annotations]
    is_crowd = list(map(says_crowd, annotations))
    depth = list(zip(is_crowd, map(mask_tools.area, outlines)))

    owner = np.zeros((height, width), np.uint8)  # 0: nobody's, 1..: of the instance before
    for number in sorted(range(len(annotations)), key=depth.__getitem__, reverse=True):
        owner[mask_tools.decode(outlines[number]).astype(bool)] = 1 + number
    seen = [int(number) - 1 for number in np.unique(owner) if number]
    meaning = np.ones(256, np.uint8)
    meaning[[1 + number for number in seen]] = 2 + np.arange(len(seen))
    classes = [annotations[number]["category_id"] for number in seen]
    return meaning[owner], classes, [is_crowd[number] for number in seen]


def outline(annotation, height, width, name, mask_tools):
    """Which pixels an instance covers, as COCO's run lengths, which `mask_tools` decodes.

    Its "segmentation" is a list of polygons, or run lengths: a dict whose "counts" are a list of
    numbers or a string. Raises UserError when it is none of them, or of another size.
    """
    shape = annotation["segmentation"]
    try:
        if not isinstance(shape, dict):
            _check_polygons(shape, height, width)
            return mask_tools.merge(mask_tools.frPyObjects(shape, height, width))
        _check_run_lengths(shape, height, width)
        is_list = isinstance(shape["counts"], list)
        return mask_tools.frPyObjects(shape, height, width) if is_list else shape
    except Exception as error:  # what is no outline may fail in any way
        reason = str(error) or type(error).__name__
        raise UserError(
            f"instance {annotation['id']} of {name} has no valid outline ({reason}): take the "
            "published file"
        ) from error


def _check_run_lengths(shape, height, width):
    if list(shape["size"]) != [height, width]:
        raise ValueError(f"run lengths of an image of size {shape['size']}")
    counts = shape["counts"]
    counts = counts if isinstance(counts, list) else _decompress(counts)
    if any(type(count) is not int for count in counts):
        raise ValueError("run lengths that are no whole numbers")
    if min(counts) < 0 or sum(counts) != height * width:  # COCO's code would leave pixels open
        raise ValueError("run lengths that do not add up to the image")


def _decompress(text):
    """Run lengths out of a string: five bits a character, each the difference to the last but one.

    The sixth bit says whether more characters follow, the fifth of the last is the sign.
    """
    counts, value, shift = [], 0, 0
    for number in text.encode():
        bits = number - 48
        value |= (bits & 31) << shift
        shift += 5
        if shift > 60:
            raise ValueError("a run length without an end")
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value, shift = 0, 0
    return counts


def _check_polygons(shape, height, width):
    """The code of COCO takes four numbers for a box, and crashes on what is far outside."""
    if not shape or any(len(points) < 6 or len(points) % 2 for points in shape):
        raise ValueError("a polygon of less than three points")
    for points in shape:
        if any(type(number) not in (int, float) for number in points):
            raise ValueError("a polygon of other things than numbers")
        distance = np.abs(np.array(points, float).reshape(-1, 2)) / (width, height)
        if not (distance <= 2).all():  # nor if it is not a number
            raise ValueError("a polygon outside of the image")
