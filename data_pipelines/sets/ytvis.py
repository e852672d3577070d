"""YouTube-VIS: videos of 40 kinds of things; every fifth frame is annotated, 6 a second.

The source is laid out as published. 2021 and 2022: train/JPEGImages/VIDEO/FRAME.jpg and
train/instances.json, for 2022 valid/ likewise. 2019: train_all_frames/JPEGImages (or
train/JPEGImages) and train.json. HQ: that of 2019, and ytvis_hq-train.json, -val.json, -test.json.

The publisher keeps the annotation of 2019's and 2021's validation videos: there, the last 300
videos of the training file are the validation split.
"""

import functools

import numpy as np

from data_pipelines.building.masks import MAX_OBJECTS, renumber
from data_pipelines.building.video_builder import Video, VideoDataSet
from data_pipelines.images import is_too_large, read_bytes
from data_pipelines.sets.coco import is_number, is_plain_name, read_entries, read_json
from data_pipelines.sets.coco_instance import import_mask_tools, outline
from dias_jax.errors import UserError

HELD_OUT = 300
_IMAGES_2019 = ("train_all_frames/JPEGImages", "train/JPEGImages")


class Ytvis(VideoDataSet, skip_registration=True):
    """What the versions share. Every pixel of no track is background.

    Where tracks overlap the later one in the file is on top; one that is seen nowhere is left out.
    """

    HOMEPAGE = "https://youtube-vos.org/dataset/vis/"
    LICENSE = "See the homepage: for research."
    CITATION = """@inproceedings{yang2019video, title={Video Instance Segmentation}, author={Yang,
Linjie and Fan, Yuchen and Xu, Ning}, booktitle={International Conference on Computer Vision},
year={2019}}"""
    FILES = (
        "register at https://youtube-vos.org/dataset/vis/ and unpack the archives into one folder: "
        "train/instances.json and train/JPEGImages, valid likewise (python -m "
        "data_pipelines.prepare --help)"
    )
    TABLES = {}  # from split to JSON file, and folders of which one has its videos
    IS_HELD_OUT = False  # whether the validation split is the end of the training file

    def categories(self):
        """The kinds of things, from the first of the JSON files, since all hold them."""
        path, _ = next(iter(self.TABLES.values()))
        entries = read_entries(self._read_table(path), "categories", _is_category, "id", path)
        return {entry["id"]: entry["name"] for entry in entries}

    def published_splits(self):
        """The videos in the order of the JSON files, which are read at once."""
        mask_tools, categories, splits = import_mask_tools(), self.categories(), {}
        for split, (path, folders) in self.TABLES.items():
            folder = self._image_folder(folders)
            videos = read_tracks(self._read_table(path), self.source / path, categories)
            splits[split] = videos, functools.partial(read_video, folder, mask_tools=mask_tools)
        if self.IS_HELD_OUT:
            videos, read = splits["train"]
            if len(videos) <= HELD_OUT:
                raise UserError(f"{self.source} has only {len(videos)} videos: unpack all of them")
            splits = {"train": (videos[:-HELD_OUT], read), "validation": (videos[-HELD_OUT:], read)}
        return splits

    def _read_table(self, path):
        if not (self.source / path).exists():
            raise UserError(f"{self.source / path} is missing: {self.FILES}")
        return read_json(self.source / path)

    def _image_folder(self, folders):
        found = [self.source / name for name in folders if (self.source / name).is_dir()]
        if not found:
            raise UserError(f"{self.source} has no {' or '.join(folders)}: {self.FILES}")
        return found[0]


class Ytvis2019(Ytvis, skip_registration=True):
    """YouTube-VIS 2019."""

    name = "ytvis_2019"
    ANNOTATION = "the last 300 training videos"
    TABLES = {"train": ("train.json", _IMAGES_2019)}
    IS_HELD_OUT = True


class Ytvis2021(Ytvis, skip_registration=True):
    """YouTube-VIS 2021."""

    name = "ytvis_2021"
    ANNOTATION = "the last 300 training videos"
    TABLES = {"train": ("train/instances.json", ("train/JPEGImages",))}
    IS_HELD_OUT = True


class Ytvis2022(Ytvis, skip_registration=True):
    """YouTube-VIS 2022, whose validation videos are annotated."""

    name = "ytvis_2022"
    TABLES = {
        "train": ("train/instances.json", ("train/JPEGImages",)),
        "validation": ("valid/instances.json", ("valid/JPEGImages",)),
    }


class YtvisHq(Ytvis, skip_registration=True):
    """HQ-YTVIS: finer masks for the training videos of 2019, in three splits."""

    name = "ytvis_hq"
    HOMEPAGE = "https://github.com/SysCV/vmt"
    TABLES = {
        "train": ("ytvis_hq-train.json", _IMAGES_2019),
        "validation": ("ytvis_hq-val.json", _IMAGES_2019),
        "test": ("ytvis_hq-test.json", _IMAGES_2019),
    }


def read_tracks(table, path, categories):
    """The videos of a JSON file with their tracks: -> list of (video, list of tracks).

    categories: the known ones. Raises UserError when the file holds anything else.
    """
    videos = read_entries(table, "videos", _is_video, "id", path)
    videos = {video["id"]: (video, []) for video in videos}

    def is_track(entry):
        is_known = is_number(entry["video_id"]) and entry["video_id"] in videos
        is_known = is_known and is_number(entry["category_id"])
        is_known = is_known and entry["category_id"] in categories and is_number(entry["id"])
        length = len(videos[entry["video_id"]][0]["file_names"]) if is_known else 0
        return is_known and len(entry["segmentations"]) == length

    for entry in read_entries(table, "annotations", is_track, "id", path, may_be_empty=True):
        videos[entry["video_id"]][1].append(entry)
    return list(videos.values())


def read_video(folder, item, *, mask_tools):
    """The Video of an entry with its tracks, whose frames are below `folder`."""
    video, tracks = item
    name = video["file_names"][0].split("/")[0]
    if len(tracks) > MAX_OBJECTS:
        raise UserError(f"{name} has {len(tracks)} tracks; at most {MAX_OBJECTS} are supported")
    frames = [read_bytes(folder / file_name) for file_name in video["file_names"]]
    owner = np.zeros((len(frames), video["height"], video["width"]), np.uint8)
    for number, track in enumerate(tracks, start=1):
        for time, shape in enumerate(track["segmentations"]):
            if shape is not None:
                instance = {"id": track["id"], "segmentation": shape}
                size = owner.shape[1:]
                covered = outline(instance, *size, f"frame {time} of {name}", mask_tools)
                owner[time][mask_tools.decode(covered).astype(bool)] = number
    masks, objects = renumber(owner, name)
    return Video(name, frames, masks, [tracks[number - 1]["category_id"] for number in objects])


def _is_category(entry):
    return is_number(entry["id"]) and isinstance(entry["name"], str)


def _is_video(entry):
    height, width = entry["height"], entry["width"]
    is_right = is_number(entry["id"]) and is_number(height) and is_number(width)
    is_right = is_right and min(height, width) > 0 and not is_too_large(height, width)
    names = entry["file_names"]
    return is_right and isinstance(names, list) and bool(names) and all(map(_is_frame, names))


def _is_frame(name):
    """Whether this is VIDEO/FRAME.jpg, and never a file elsewhere."""
    parts = name.split("/") if isinstance(name, str) else []
    return len(parts) == 2 and all(map(is_plain_name, parts))
