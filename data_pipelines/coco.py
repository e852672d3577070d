"""COCO 2017 with panoptic annotation, prepared as array_record files by TensorFlow Datasets.

TensorFlow itself is not needed. Images stay the publisher's JPEG bytes. Masks become index maps:
0 = not annotated, 1 = all "stuff" merged, 2.. = one per "thing", by increasing segment id. A
segment that stands for a crowd of things is one thing, as in the published evaluation of DIAS.
"""

import io
import json
import pathlib

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from data_pipelines.records import decode
from dias_jax.errors import UserError

MAX_SEGMENTS = 254  # index maps are uint8, 0 is taken and 255 stands for an unknown segment
CATEGORIES = "panoptic_coco_categories.json"
SOURCE_SPLITS = {"train": "train2017", "validation": "val2017"}


class CocoPanoptic(tfds.core.GeneratorBasedBuilder):
    """Builds the data set from the publisher's files, whose directory is the `manual_dir`.

    Raises (while building):
      UserError: a file is missing or damaged, or image, mask and JSON contradict one another.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = """The directory must hold train2017/, val2017/,
    annotations/panoptic_{train,val}2017.json, annotations/panoptic_{train,val}2017/ and
    panoptic_coco_categories.json, as published."""

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            homepage="https://cocodataset.org",
            license="Annotations CC BY 4.0; images: each photographer's own licence, see Flickr.",
            citation=_CITATION,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
                    "file_name": tfds.features.Text(),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # sample i is the publisher's annotation i
        )

    def _split_generators(self, dl_manager):
        source = pathlib.Path(dl_manager.manual_dir)
        categories = _read_json(source / CATEGORIES)
        is_thing = {category["id"]: bool(category["isthing"]) for category in categories}
        # Both files are read before anything is written: what is missing shows at once.
        tables = {
            split: _read_annotations(source / "annotations" / f"panoptic_{folder}.json")
            for split, folder in SOURCE_SPLITS.items()
        }
        self.info.metadata["num_masks"] = 1
        return {
            split: self._generate_examples(source, SOURCE_SPLITS[split], table, is_thing)
            for split, table in tables.items()
        }

    def _generate_examples(self, source, folder, table, is_thing):
        segment_table = new_segment_table()
        for number, annotation in enumerate(table):
            stem = pathlib.Path(annotation["file_name"]).stem
            image_path = source / folder / f"{stem}.jpg"
            mask_path = source / "annotations" / f"panoptic_{folder}" / f"{stem}.png"
            image_bytes = _read_bytes(image_path)
            image_size = decode(image_bytes, image_path).shape[:2]
            segments = decode(_read_bytes(mask_path), mask_path)
            if segments.shape[:2] != image_size:
                raise UserError(
                    f"{mask_path} is {segments.shape[:2]} pixels but {image_path} is {image_size}: "
                    "one of them is not the published file"
                )
            mask = index_map(segments, annotation, is_thing, mask_path, segment_table)
            metadata = self.info.metadata
            metadata["num_masks"] = max(metadata["num_masks"], int(mask.max()))
            example = {
                "image": io.BytesIO(image_bytes),
                "mask": Image.fromarray(mask),
                "file_name": image_path.name,
            }
            yield number, example


def prepare(source, data_dir):
    """Builds the data set; one that is there already stays. An interrupted build leaves none.

    Args:
      source: directory with the publisher's files.
      data_dir: directory for prepared data sets.

    Returns:
      A one-line summary.

    Raises:
      UserError: a file of the source is missing or damaged, or files contradict one another.
    """
    if not pathlib.Path(source).is_dir():
        raise UserError(f"the source {source} is not a directory")
    builder = CocoPanoptic(data_dir=data_dir, file_format="array_record")
    options = tfds.download.DownloadConfig(manual_dir=str(source))
    builder.download_and_prepare(download_config=options)
    counts = ", ".join(
        f"{split.num_examples} {name}" for name, split in builder.info.splits.items()
    )
    masks = builder.info.metadata["num_masks"]
    return f"coco: {counts} images, at most {masks} masks each, in {builder.data_path}"


def new_segment_table():
    """Returns the look-up table from segment id (24 bits) to index that `index_map` works with."""
    table = np.full(1 << 24, 255, np.uint8)
    table[0] = 0
    return table


def index_map(segments, annotation, is_thing, path, segment_table):
    """Turns a panoptic picture into an index map.

    Args:
      segments: (H, W, 3) uint8, colours that encode segment ids (red + 256 green + 65536 blue).
      annotation: the picture's entry in the published JSON.
      is_thing: dict from category id to bool, False for stuff.
      path: the picture's file, for messages.
      segment_table: from `new_segment_table`; the same afterwards as before.

    Returns:
      (H, W) uint8: 0 not annotated, 1 stuff, 2.. things by increasing segment id.

    Raises:
      UserError: the picture and the JSON contradict one another, or there are too many segments.
    """
    categories = {info["id"]: info["category_id"] for info in annotation["segments_info"]}
    if len(categories) > MAX_SEGMENTS:
        raise UserError(
            f"{path} has {len(categories)} segments; at most {MAX_SEGMENTS} are supported"
        )
    unknown = set(categories.values()) - set(is_thing)
    if unknown:
        raise UserError(f"{path} has segments of category {min(unknown)}, which {CATEGORIES} lacks")
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

    things = np.array([is_thing[categories[int(i)]] for i in identifiers], bool)
    meaning = np.zeros(256, np.uint8)
    meaning[1 : len(identifiers) + 1] = np.where(things, 1 + np.cumsum(things), 1)
    return meaning[numbered]


def _read_bytes(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _read_json(path):
    try:
        return json.loads(_read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error})") from error


def _read_annotations(path):
    try:
        table = _read_json(path)["annotations"]
        complete = all("segments_info" in entry and "file_name" in entry for entry in table)
    except (KeyError, TypeError):
        complete = False
    if not (complete and table):
        raise UserError(f"{path} holds no panoptic annotations")
    return table


_CITATION = """@inproceedings{lin2014microsoft, title={Microsoft {COCO}: Common Objects in Context},
author={Lin, Tsung-Yi and others}, booktitle={European Conference on Computer Vision}, year={2014}}
@inproceedings{kirillov2019panoptic, title={Panoptic Segmentation}, author={Kirillov, Alexander and
He, Kaiming and Girshick, Ross and Rother, Carsten and Doll{\\'a}r, Piotr},
booktitle={IEEE Conference on Computer Vision and Pattern Recognition}, year={2019}}"""
