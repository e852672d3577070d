"""Where a name becomes a source of samples: drawn scenes, or records that were prepared.

A source answers for itself: `len(source)`; `source[i]`, a dict of image, index and mask;
`num_masks`, the static bound on ground-truth masks, background included, 0 where samples have no
mask; the views that are taken of its samples (`training_view`, `evaluation_view`); and `protocol`,
a line that says what an evaluation sees.
"""

import functools
import types

from data_pipelines.drawn.shapes import Shapes
from data_pipelines.records import PreparedSplit, prepared_directory


def open_split(data_config, split, with_masks=True):
    """One split of the configured data set, for random access.

    Read of `data_config`: `name`, `data_dir`, `image_size`, `seed`, `keep_in_memory`. `split`:
    "train" or "validation"; shapes have "test" too, and a folder may. `with_masks`: whether samples
    carry a mask, if there are any.
    Raises UserError on an unknown data set or split, or a data set that is not prepared.
    """
    if data_config.keep_in_memory:
        keys = ("name", "data_dir", "image_size", "seed")
        return _open_in_memory(*(getattr(data_config, key) for key in keys), split, with_masks)
    if data_config.name == "shapes":
        return Shapes(split, data_config.image_size, data_config.seed)
    directory = prepared_directory(data_config.name, data_config.data_dir)
    return PreparedSplit(directory, split, with_masks)


class InMemory:
    """A source whose samples are read or drawn once and then kept."""

    def __init__(self, source):
        self.source, self.num_masks, self.samples = source, source.num_masks, {}
        self.training_view, self.evaluation_view = source.training_view, source.evaluation_view
        self.protocol = source.protocol

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        index = int(index)
        if index not in self.samples:
            self.samples[index] = self.source[index]
        return self.samples[index]


@functools.cache  # runs in one process share what they have read
def _open_in_memory(name, data_dir, image_size, seed, split, with_masks):
    keys = {"name": name, "data_dir": data_dir, "image_size": image_size, "seed": seed}
    config = types.SimpleNamespace(**keys, keep_in_memory=False)
    return InMemory(open_split(config, split, with_masks))
