"""Physion: rendered videos of eight physical scenarios; will the red thing touch the yellow one?

The source holds what the publisher's two archives unpack to, and the labels of readout from its
repository (cogtoolslab/physics-benchmarking-neurips2021, data/readout_labels.csv):

  PhysionTest-Core/labels.csv, PhysionTest-Core/SCENARIO/mp4s-redyellow/NAME-redyellow_0001_img.mp4
  SCENARIO_training_MP4s/*.mp4, SCENARIO_readout_MP4s/NAME_0001_img.mp4, readout_labels.csv

"train" is for dynamics and is asked nothing, "readout" for what answers from predictions, "test"
is what models are shown. A label's name is the video's, with or without _img, without -redyellow.
That every video has a label and every label a video, under a name that no other scenario has, was
compared with the lists of pairlab/SlotFormer, which also name the glitchy videos of test. Half of
the names in train are those of readout; whether the same happens in both is not told.
"""

import functools
import io
import itertools
import pathlib

from PIL import Image

from data_pipelines.building.listing import rank
from data_pipelines.building.video_builder import Video, VideoDataSet
from data_pipelines.images import read_bytes
from data_pipelines.video_files import open_video
from dias_jax.errors import UserError

SCENARIOS = ("Collide", "Contain", "Dominoes", "Drape", "Drop", "Link", "Roll", "Support")
LENGTH, STRIDE = 150, 3  # of 30 frames a second the first 5 seconds, every third one (SlotFormer)
GLITCHES = pathlib.Path(__file__).with_name("physion_glitches.txt")
LEFT_OUT = "glitchy test videos left out"
_ANSWERS = {"True": True, "False": False}
# Names of the folders, as unpacked and as others keep them.
_OF_TEST = ("PhysionTest-Core", "Physion", "PhysionTestMP4s")
_OF_TRAINING = (".", "PhysionTrain-Core", "PhysionTrainMP4s")


class Physion(VideoDataSet, skip_registration=True):
    """Physion: 50 frames a video, encoded again as JPEG; no masks, no kinds of things."""

    name = "physion"
    HAS_MASKS, ASKS, SCENARIOS = False, True, SCENARIOS
    ANNOTATION = f"every third of the first {LENGTH} frames, encoded again"
    HOMEPAGE = "https://github.com/cogtoolslab/physics-benchmarking-neurips2021"
    LICENSE = "MIT (the repository); see the homepage."
    CITATION = """@inproceedings{bear2021physion, title={Physion: Evaluating Physical Prediction
from Vision in Humans and Machines}, author={Bear, Daniel and Wang, Elias and Mrowca, Damian and
others}, booktitle={NeurIPS Datasets and Benchmarks}, year={2021}}"""
    FILES = (
        "unpack Physion.zip and PhysionTrainMP4s.tar.gz of "
        "https://github.com/cogtoolslab/physics-benchmarking-neurips2021 into one folder, and put "
        "data/readout_labels.csv of that repository beside the *_readout_MP4s"
    )
    PUBLISHED_SIZES = {"readout": 8_005, "test": 1_174}

    def categories(self):
        """None: nothing is told of single things."""
        return {}

    def published_splits(self):
        """The videos, mixed; labels are read, and compared with them, at once."""
        test = self._find(_OF_TEST, "labels.csv")
        training = self._find(_OF_TRAINING, "readout_labels.csv")
        splits = {
            "train": [(*item, None) for item in list_videos(training, "{}_training_MP4s")],
            "readout": label(
                list_videos(training, "{}_readout_MP4s"), training / "readout_labels.csv"
            ),
            "test": label(list_videos(test, "{}/mp4s-redyellow"), test / "labels.csv"),
        }
        glitches = set(GLITCHES.read_text().split())
        sound = [item for item in splits["test"] if key_of(item[0].name) not in glitches]
        self.info.metadata["remarks"][LEFT_OUT] = len(splits["test"]) - len(sound)
        splits["test"] = sound
        read = functools.partial(read_video, self.source)
        return {split: (items, read) for split, items in splits.items()}

    def _find(self, names, table):
        """The folder of one of these names that holds a table of labels."""
        for name in names:
            if (self.source / name / table).is_file():
                return self.source / name
        raise UserError(f"{self.source / names[0] / table} is missing: {self.FILES}")


def key_of(name):
    """What video and label have in common: NAME_0001 of NAME-redyellow_0001_img.mp4."""
    return name.removesuffix(".mp4").removesuffix("_img").replace("-redyellow", "")


def list_videos(folder, pattern):
    """The videos of all scenarios: -> (path, number of its scenario). Raises UserError without any.

    In an order that names alone decide, so that every slice has videos of all kinds.
    """
    videos = []
    for number, scenario in enumerate(SCENARIOS):
        place = folder / pattern.format(scenario)
        found = list(place.glob("[!.]*.mp4"))
        if not found:
            raise UserError(f"{place} holds no .mp4: {Physion.FILES}")
        videos += [(path, number) for path in found]
    return sorted(videos, key=lambda item: rank(item[0].name))


def label(videos, table):
    """Videos (path, scenario) with their answers: -> list of (path, scenario, bool).

    Raises UserError where a video has no label, a label no video, or two videos have one name.
    """
    answers, named = read_labels(table), {}
    for path, scenario in videos:
        key = key_of(path.name)
        if key not in answers:
            raise UserError(f"{path} has no label in {table}: take both as published")
        other, _ = named.setdefault(key, (path, scenario))
        if other != path:
            raise UserError(f"{other} and {path} share a label of {table}: remove one of them")
    unseen = [key for key in answers if key not in named]
    if unseen:
        raise UserError(
            f"{table} has {len(unseen)} labels without a video, the first is {unseen[0]}: unpack "
            "all videos"
        )
    return [(*item, answers[key]) for key, item in named.items()]


def read_labels(table):
    """The answers of a table, a line of titles first: -> {key: bool}.

    Raises UserError, naming the line, on anything but a new name with the word True or False.
    """
    answers = {}
    lines = read_bytes(table).decode(errors="replace").splitlines()
    for number, line in enumerate(lines[1:], start=2):
        name, _, word = line.partition(",")
        if not name or word not in _ANSWERS:  # words: bool("False") would be true
            raise UserError(
                f"line {number} of {table} is no name with True or False: take the published file"
            )
        key = key_of(name)
        if key in answers:
            raise UserError(
                f"line {number} of {table} labels {key} once more: take the published file"
            )
        answers[key] = _ANSWERS[word]
    return answers


def read_video(source, item):
    """The Video of a path below `source`, its scenario and answer, None where nothing is asked."""
    path, scenario, answer = item
    frames = itertools.islice(open_video(path).frames, 0, LENGTH, STRIDE)
    frames = [_encode(frame) for frame in frames]
    if len(frames) < len(range(0, LENGTH, STRIDE)):
        raise UserError(
            f"{path} is shorter than {LENGTH / 30:g} seconds, which no published video is: unpack "
            "it again"
        )
    name = path.relative_to(source).as_posix()
    return Video(name, frames, answer=answer, scenario=scenario)


def _encode(frame):
    """A frame as JPEG, without halved colours: (H, W, 3) uint8 -> bytes."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "jpeg", quality=95, subsampling=0)
    return stream.getvalue()
