"""Where a name becomes a source of samples: drawn scenes, or records that were prepared.

A source answers for itself: `len(source)`; `source[i]`, a dict of image, index and mask;
`num_masks`, the static bound on ground-truth masks, background included, 0 where there are none
(then samples have no mask, and views None in its place); `class_names`, a name for the number of
every class, "" where there is none; `properties`, what samples tell of their objects beside these
(a `Properties`, often empty); `scenarios`, names of the scenarios by number, of which a video has
one as its "scenario", often none; `max_frames`, the static bound on the frames of a clip, 0 where
samples are images (image and mask of a clip have a leading axis F), and `min_frames` of clips,
those of the shortest; the views that are taken of its samples (`training_view`, `evaluation_view`);
and `protocol`, a line that says what an evaluation sees.
"""

import functools

from data_pipelines.clips import Clips
from data_pipelines.drawn import touching
from data_pipelines.drawn.bouncing import Bouncing
from data_pipelines.drawn.moving_shapes import MovingShapes
from data_pipelines.drawn.shapes import Shapes
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.video_records import PreparedVideos
from dias_jax.errors import UserError

# Data sets whose samples are videos, or clips of them.
VIDEOS = ("moving_shapes", "bouncing", "movi_c", "movi_d", "movi_e", "physion")
VIDEOS += ("ytvis_2019", "ytvis_2021", "ytvis_2022", "ytvis_hq")
# Frames after which the question about a video is asked, where the data set says so.
ASKED_AFTER = {"bouncing": touching.OBSERVED}


def open_split(data_config, split, with_masks=True, clip_frames=0):
    """One split of the configured data set, for random access.

    Read of `data_config`: `name`, `data_dir`, `image_size`, `seed` and `keep_in_memory`. `split`:
    "train" or "validation"; what is drawn has "test" too, `bouncing` "readout", and `physion` these
    two instead of "validation". `with_masks`:
    whether samples carry a mask. `clip_frames`: how many frames a sample of a video data set has,
    0: it is a whole video.
    Raises UserError on an unknown data set or split, or a data set that is not prepared.
    """
    clip_frames = clip_frames if data_config.name in VIDEOS else 0
    keys = ("name", "data_dir", "image_size", "seed")
    values = (getattr(data_config, key) for key in keys)
    opened = _open_in_memory if data_config.keep_in_memory else _open
    return opened(*values, split, with_masks, clip_frames)


def _open(name, data_dir, image_size, seed, split, with_masks, clip_frames):
    if name == "shapes":
        return Shapes(split, image_size, seed)
    if name == "moving_shapes":
        return Clips(MovingShapes(split, image_size, seed), clip_frames)
    if name == "bouncing":
        return Clips(Bouncing(split, image_size, seed), clip_frames)
    directory = prepared_directory(name, data_dir)
    if name in VIDEOS:
        return Clips(PreparedVideos(directory, split, with_masks), clip_frames)
    return PreparedSplit(directory, split, with_masks)


def check_kind(data_config, kind):
    """Raise UserError unless `data_config` names a data set of `kind`, "image" or "video"."""
    kind_of_data = "video" if data_config.name in VIDEOS else "image"
    if kind_of_data != kind:
        raise UserError(
            f"config.data.name={data_config.name}: {kind_of_data}s, and this model is one of "
            f'{kind}s: take other data, or start from config.model.kind="{kind_of_data}"'
        )


class InMemory:
    """A source whose samples are read or drawn once and then kept."""

    def __init__(self, source):
        self.source, self.num_masks, self.samples = source, source.num_masks, {}
        self.max_frames = source.max_frames
        self.min_frames = getattr(source, "min_frames", 0)
        self.training_view, self.evaluation_view = source.training_view, source.evaluation_view
        self.protocol, self.scenarios = source.protocol, source.scenarios

    def __len__(self):
        return len(self.source)

    @property
    def class_names(self):
        """The names of the classes by number."""
        return self.source.class_names

    @property
    def properties(self):
        """The Properties that are told of objects."""
        return self.source.properties

    def __getitem__(self, index):
        index = int(index)
        if index not in self.samples:
            self.samples[index] = self.source[index]
        return self.samples[index]


@functools.cache  # runs in one process share what they have read
def _open_in_memory(*values):
    return InMemory(_open(*values))
