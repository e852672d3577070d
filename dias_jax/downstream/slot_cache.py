"""Slots of a whole split and what they have found, in files: computed once, for many probes.

FOLDER/SPLIT/cache.json says what they were made of, FOLDER/SPLIT/*.array_record hold so many
samples each, in the order of the split. A sample is an image or, of videos, a frame: those of a
clip follow one another, all clips have as many, and no slot is in use in one that only fills.
"""

import hashlib
import json
import pathlib

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

from dias_jax.errors import UserError, reason
from dias_jax.files import appearing_file

HEADER = "cache.json"
SAMPLES_PER_FILE = 1024
# What everybody who reads a header asks for, beside the sizes of `record_type`.
OF_HEADER = ("data", "split", "num_samples", "clip_frames", "views", "window", "parameters")
OF_HEADER += ("config", "representation", "masks", "class_names", "protocol", "reduce_at")
OF_HEADER += ("min_frames", "seed", "data_seed", "image_size", "model")
MOST = 2**31  # samples
# What differs between the splits of one extraction.
OF_SPLIT = ("model", "split", "num_samples", "protocol", "views", "crop_scale", "flip")
OF_SPLIT += ("clip_frames", "window", "questions")


def record_type(header):
    """The layout of a sample: a numpy dtype, little-endian whatever the machine."""
    slots, width, things = (header[x] for x in ("num_slots", "slot_width", "num_things"))
    kinds, numbers = len(header["kinds"]), sum(header["numbers"].values())
    fields = [
        ("index", "<i4", ()),  # of the image or clip in its split; with views, of the view
        ("frame", "<i4", ()),  # of the clip
        ("slots", "<f4", (slots, width)),  # (S, D)
        ("slot_mask", "?", (slots,)),  # (S,), slots in use
        ("slot", "<i4", (things,)),  # (G,), the slot of each thing, -1: none
        ("iou", "<f4", (things,)),  # (G,), of its mask and the slot's
        ("overlap", "<f4", (slots, things)),  # (S, G), of all pairs, see `match_maps`
        ("segments", "u1", tuple(header["grid"])),  # (h, w), slot of each patch, 255: none
        ("classes", "<i4", (things,)),  # (G,), -1: there is no thing
        ("boxes", "<f4", (things, 4)),  # (G, 4), edges in sides of the view
        ("crowd", "?", (things,)),  # (G,), things that are crowds
        ("kinds", "<i4", (things, kinds)),  # (G, P), further properties, -1: unknown
        ("numbers", "<f4", (things, numbers)),  # (G, Q), those that are measured
        ("answers", "?", (len(header["questions"]),)),  # to the questions about the video
    ]
    return np.dtype(fields)


def file_ranges(folder, header):
    """{file: range of the samples that it holds} of a whole cache."""
    size, frames = header["num_samples"], header["clip_frames"]
    step = max(SAMPLES_PER_FILE // frames, 1) * frames  # whole clips
    return {
        folder / f"{number:05d}.array_record": range(start, min(start + step, size))
        for number, start in enumerate(range(0, size, step))
    }


def missing_files(folder, header):
    """What `file_ranges` has and the folder has not; the header is written where there is none.

    Raises UserError where the folder holds a cache of something else.
    """
    if (folder / HEADER).exists():
        check_same(folder, read_header(folder), header)
    else:
        with appearing_file(folder / HEADER) as incomplete:
            incomplete.write_text(json.dumps(header, indent=1) + "\n")
    ranges = file_ranges(folder, header)
    return {path: samples for path, samples in ranges.items() if not path.exists()}


def check_same(folder, found, wanted, leave_out=("model",)):
    """Raise UserError, naming the first of them, where two headers differ."""
    for name in wanted:
        if name not in leave_out and found.get(name) != wanted[name]:
            raise UserError(
                f"{folder} holds slots of another {name}, {found.get(name)} and not "
                f"{wanted[name]}: name another folder, or delete it and extract again"
            )


def read_header(folder):
    """The header of a cache. Raises UserError where it is damaged or not there."""
    path = folder / HEADER
    try:
        header = json.loads(path.read_text())
        check_header(header)
        record_type(header), file_ranges(folder, header)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} does not exist: python -m dias_jax.extract --split={folder.name} "
            f"--out={folder.parent} writes it"
        ) from error
    except Exception as error:  # of JSON or types, by what is damaged
        raise UserError(
            f"{path} is damaged ({reason(error)}): delete {folder} and extract again"
        ) from error
    return header


def check_header(header):
    """Raise an error of any kind where a header lacks something, or counts what cannot be."""
    missing = [name for name in OF_HEADER if name not in header]
    if missing:
        raise ValueError(f"no {', '.join(missing)} in it")
    if not 0 < header["num_samples"] < MOST or header["num_samples"] % header["clip_frames"]:
        raise ValueError(f"{header['num_samples']} samples")


def write_samples(path, header, samples):
    """Write a file of samples, dicts of arrays as `record_type` has them."""
    layout = record_type(header)
    with appearing_file(path) as incomplete:
        writer = ArrayRecordWriter(str(incomplete), "group_size:1")
        for sample in samples:
            record = np.array(tuple(sample[name] for name in layout.names), layout)
            writer.write(record.tobytes())
        writer.close()


def fingerprint(folder, split):
    """What tells the slots of a split from all others: the sha256 of their header."""
    header = read_header(pathlib.Path(folder) / split)
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


class SlotCache:
    """Random access to the samples of an extraction: `cache[i]` is a dict as `record_type` has it.

    Raises UserError where files are missing and, while reading, where one is damaged.
    """

    def __init__(self, folder, split):
        self.folder = pathlib.Path(folder) / split
        self.header = read_header(self.folder)
        self.layout = record_type(self.header)
        ranges = file_ranges(self.folder, self.header)
        missing = [path.name for path in ranges if not path.exists()]
        if missing:
            raise UserError(
                f"{self.folder} lacks {len(missing)} of {len(ranges)} files, the first is "
                f"{missing[0]}: run the same extract command again"
            )
        try:
            self.records = ArrayRecordDataSource([str(path) for path in ranges])
            if len(self.records) != len(self):
                raise ValueError(f"{len(self.records)} samples instead of {len(self)}")
        except Exception as error:  # of array_record, by what is damaged
            raise self.damage(error) from error

    def __len__(self):
        return self.header["num_samples"]

    def __getitem__(self, index):
        try:
            (record,) = np.frombuffer(self.records[int(index)], self.layout)
            self.check_labels(record)
        except Exception as error:  # of array_record, by what is damaged
            raise self.damage(error) from error
        return {name: np.array(record[name]) for name in self.layout.names}

    def check_labels(self, record):
        """Raise an error of any kind where a class or a kind is none of the header's."""
        counts = list(self.header["kinds"].values())
        is_wrong = (record["classes"] >= len(self.header["class_names"])).any()
        if is_wrong or (record["kinds"] >= counts).any():
            raise ValueError("classes or kinds that the header does not know")

    def damage(self, error):
        """The UserError of a file that cannot be read."""
        return UserError(f"{self.folder} is damaged ({reason(error)}): delete it and extract again")


class Part:
    """Some samples of a source, in the order of `numbers`."""

    def __init__(self, source, numbers):
        self.source, self.numbers = source, numbers

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, index):
        return self.source[self.numbers[int(index)]]


def stack(samples):
    """All samples of a source as one dict of arrays."""
    samples = [samples[i] for i in range(len(samples))]
    return {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
