"""PASCAL VOC: objects outlined by hand in photographs, as 20 classes.

The source is VOCdevkit, as the publisher's archives unpack it: VOC2012 and VOC2007, each with
JPEGImages, SegmentationObject, SegmentationClass and ImageSets/Segmentation.
"""

import functools
import os
import pathlib

import numpy as np

from data_pipelines.building.builder import UNKNOWN, ObjectDataSet, Sample
from data_pipelines.building.masks import renumber
from data_pipelines.images import decode_indices, read_bytes
from dias_jax.errors import UserError

VOID = 255  # the outlines, and what the annotators left open
CLASS_NAMES = (
    "unknown",  # index 0 is the background, which no object is
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


class Voc(ObjectDataSet, skip_registration=True):
    """PASCAL VOC, all images with object masks: train is VOC2012's, validation is VOC2007's."""

    HOMEPAGE = "http://host.robots.ox.ac.uk/pascal/VOC/"
    LICENSE = "Images: Flickr's terms of use and each photographer's own licence."
    CITATION = """@article{everingham2010pascal, title={The Pascal Visual Object Classes ({VOC})
Challenge}, author={Everingham, Mark and Van Gool, Luc and Williams, Christopher K. I. and Winn,
John and Zisserman, Andrew}, journal={International Journal of Computer Vision}, volume={88},
pages={303--338}, year={2010}}"""
    ARCHIVES = (
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar",
    )
    FOLDER = "voc"
    ARCHIVE_ROOT = "VOCdevkit"
    PUBLISHED_SIZES = {"train": 2_913, "validation": 422}

    def categories(self):
        """The 20 classes."""
        return dict(enumerate(CLASS_NAMES))

    def published_splits(self):
        """The images that ImageSets/Segmentation/trainval.txt lists."""
        return {
            "train": self._samples("VOC2012", "trainval"),
            "validation": self._samples("VOC2007", "trainval"),
        }

    def released_mask(self, indices, entry, name):
        """The release has 0 for void, 1 for the background, 2.. for objects, and no classes."""
        mask, objects = renumber(indices, name, background=(1,), not_annotated=(0,))
        return mask, [UNKNOWN] * len(objects)

    def _samples(self, year, list_name):
        folder = self.source / year
        stems = read_list(folder / "ImageSets" / "Segmentation" / f"{list_name}.txt")
        return stems, functools.partial(self._sample, folder)

    def _sample(self, folder, stem):
        image_path = folder / "JPEGImages" / f"{stem}.jpg"
        mask_path = folder / "SegmentationObject" / f"{stem}.png"
        class_path = folder / "SegmentationClass" / f"{stem}.png"
        indices = decode_indices(read_bytes(mask_path), mask_path)
        class_indices = decode_indices(read_bytes(class_path), class_path)
        if class_indices.shape != indices.shape:
            raise UserError(f"{class_path} and {mask_path} differ in size: take the published ones")
        mask, objects = renumber(indices, mask_path, not_annotated=(VOID,))
        classes = [majority_class(class_indices[indices == index]) for index in objects]
        return Sample(image_path, mask_path, read_bytes(image_path), mask, classes)


class VocTrainaug(Voc, skip_registration=True):
    """PASCAL VOC 2012 as usually trained on with more images: train is "trainaug", the images of
    SegmentationClassAug; validation is VOC2012's own.

    An image of trainaug without object masks has one mask for each class that it shows.
    """

    CITATION = f"""{Voc.CITATION}
@inproceedings{{hariharan2011semantic, title={{Semantic Contours from Inverse Detectors}},
author={{Hariharan, Bharath and Arbelaez, Pablo and Bourdev, Lubomir and Maji, Subhransu and Malik,
Jitendra}}, booktitle={{International Conference on Computer Vision}}, year={{2011}}}}"""
    ARCHIVES = ()
    FILES = (
        "unpack voc2012/VOCtrainval_11-May-2012.tar of http://host.robots.ox.ac.uk/pascal/VOC/, "
        "put SegmentationClassAug into VOC2012 and its list, named trainaug.txt, into "
        "VOC2012/ImageSets/Segmentation, and name the folder VOCdevkit"
    )
    PUBLISHED_SIZES = {"train": 10_582, "validation": 1_449}

    def published_splits(self):
        """The images that trainaug.txt and val.txt in ImageSets/Segmentation list."""
        return {
            "train": self._samples("VOC2012", "trainaug"),
            "validation": self._samples("VOC2012", "val"),
        }

    def _sample(self, folder, stem):
        if os.path.exists(folder / "SegmentationObject" / f"{stem}.png"):
            return super()._sample(folder, stem)
        image_path = folder / "JPEGImages" / f"{stem}.jpg"
        mask_path = folder / "SegmentationClassAug" / f"{stem}.png"
        indices = decode_indices(read_bytes(mask_path), mask_path)
        mask, classes = renumber(indices, mask_path, not_annotated=(VOID,))
        if max(classes, default=0) >= len(CLASS_NAMES):
            raise UserError(f"{mask_path} shows class {max(classes)}, which VOC does not have")
        return Sample(image_path, mask_path, read_bytes(image_path), mask, classes)


def majority_class(values):
    """The class that most of an object's pixels have in SegmentationClass: (P,) uint8 -> int.

    UNKNOWN if none has any.
    """
    counts = np.bincount(values, minlength=256)[: len(CLASS_NAMES)]
    counts[UNKNOWN] = 0
    return int(counts.argmax())


def read_list(path):
    """The file stems that a list names, one a line.

    A line may also name image and mask with folder and ending; the first counts. Raises UserError
    when the list is missing or names nothing.
    """
    lines = read_bytes(path).decode(errors="replace").splitlines()
    stems = [pathlib.PurePosixPath(line.split()[0]).stem for line in lines if line.strip()]
    if not stems:
        raise UserError(f"{path} lists no image")
    return stems
