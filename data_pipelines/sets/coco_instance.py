"""COCO 2017 with instance annotation: polygons and run lengths instead of panoptic pictures.

The source holds train2017/, val2017/ and annotations/instances_{train,val}2017.json, as published.
"""

import functools
import pathlib

import numpy as np

from data_pipelines.building.builder import Sample
from data_pipelines.building.masks import MAX_OBJECTS
from data_pipelines.images import read_bytes
from data_pipelines.sets.coco import SOURCE_SPLITS, Coco, read_json
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
        path = self._table_path(SOURCE_SPLITS["validation"])
        try:
            categories = {entry["id"]: entry["name"] for entry in read_json(path)["categories"]}
        except (KeyError, TypeError):
            categories = {}
        if not categories or not all(map(_is_number, categories)):
            raise UserError(f"{path} holds no categories: take the published one")
        return categories

    def published_splits(self):
        """The images in the order of the JSON files; one without any instance is background."""
        mask_tools = import_mask_tools()
        splits = {}
        for split, folder in SOURCE_SPLITS.items():
            path = self._table_path(folder)
            read = functools.partial(self._sample, folder, path, mask_tools=mask_tools)
            splits[split] = read_instances(path), read
        return splits

    def _table_path(self, folder):
        path = self.source / "annotations" / f"instances_{folder}.json"
        if not path.exists():
            raise UserError(f"{path} is missing: unpack {self.ARCHIVES[-1]} in {self.source}")
        return path

    def _sample(self, folder, table_path, item, *, mask_tools):
        image, annotations = item
        name = f"{image['file_name']} in {table_path}"
        mask, classes = paint(annotations, image["height"], image["width"], name, mask_tools)
        image_path = self.source / folder / image["file_name"]
        return Sample(image_path, name, read_bytes(image_path), mask, classes)


def import_mask_tools():
    """COCO's own code for polygons and run lengths. Raises UserError when it is not installed."""
    try:
        from pycocotools import mask  # an extra: only this data set needs it
    except ImportError as error:
        raise UserError(
            'instance annotation needs pycocotools: pip install "dias_jax[coco]"'
        ) from error
    return mask


def read_instances(path):
    """The images of a JSON file with their annotations: -> list of (image, list of annotations).

    Raises UserError when the file is missing or holds no instance annotation.
    """
    try:
        table = read_json(path)
        images = {image["id"]: (image, []) for image in table["images"]}
        for annotation in table["annotations"]:
            images[annotation["image_id"]][1].append(annotation)
        wrong = [image for image in table["images"] if not _is_image(image)]
        wrong += [entry for entry in table["annotations"] if not _is_annotation(entry)]
    except (KeyError, TypeError):
        images, wrong = {}, []
    if wrong or not images:
        what = f" ({str(wrong[0])[:100]} is none)" if wrong else ""
        raise UserError(f"{path} holds no instance annotation{what}: take the published one")
    return list(images.values())


def _is_number(value):
    """Whether this is a whole number that a record can hold."""
    return type(value) is int and abs(value) < 2**31


def _is_image(entry):
    name, sides = entry["file_name"], (entry["height"], entry["width"])
    is_plain = isinstance(name, str) and name == pathlib.PurePath(name).name and "\0" not in name
    return is_plain and all(_is_number(side) and 0 < side < 2**16 for side in sides)


def _is_annotation(entry):
    is_known = _is_number(entry["category_id"]) and type(entry["id"]) is int
    return is_known and "segmentation" in entry


def paint(annotations, height, width, name, mask_tools):
    """Instances as an index map: -> mask (height, width) uint8, category of each object.

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

    def depth(number):
        return bool(annotations[number].get("iscrowd")), np.count_nonzero(outlines[number])

    owner = np.full((height, width), -1)
    for number in sorted(range(len(annotations)), key=depth, reverse=True):
        owner[outlines[number]] = number
    seen = np.unique(owner[owner >= 0])
    mask = np.ones((height, width), np.uint8)
    mask[owner >= 0] = 2 + np.searchsorted(seen, owner[owner >= 0])
    return mask, [annotations[number]["category_id"] for number in seen]


def outline(annotation, height, width, name, mask_tools):
    """Which pixels an instance covers: -> (height, width) bool.

    Its "segmentation" is a list of polygons, or run lengths: a dict whose "counts" are a list of
    numbers or a string. Raises UserError when it is none of them, or of another size.
    """
    shape = annotation["segmentation"]
    try:
        if isinstance(shape, dict):
            _check_run_lengths(shape, height, width)
            is_list = isinstance(shape["counts"], list)
            shape = mask_tools.frPyObjects(shape, height, width) if is_list else shape
        else:
            _check_polygons(shape, height, width)
            shape = mask_tools.merge(mask_tools.frPyObjects(shape, height, width))
        return mask_tools.decode(shape).astype(bool)
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
        distance = np.abs(np.array(points, float).reshape(-1, 2)) / (width, height)
        if not (distance <= 2).all():  # nor if it is not a number
            raise ValueError("a polygon outside of the image")
