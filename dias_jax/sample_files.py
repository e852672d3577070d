"""Samples of a whole split in files: computed once, read many times.

FOLDER/SPLIT/cache.json, their header, says what they were made of, FOLDER/SPLIT/*.array_record hold
so many samples each, in the order of the split.
"""

import json
import pathlib

import numpy as np
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

from dias_jax.errors import UserError, reason
from dias_jax.files import appearing_file, remove_abandoned

HEADER = "cache.json"
MOST = 2**31  # samples


class SampleFiles:
    """Random access to the samples of a split: `files[i]` is a dict as `record_type` has it.

    A subclass says what they are. Raises UserError where files are missing and, while reading,
    where one is damaged.
    """

    contents: str  # what a user calls the samples
    command: str  # that writes them, with {split} and {out}
    of_header: tuple  # what everybody who reads a header asks for, beside sizes

    def __init__(self, folder, split):
        self.folder = pathlib.Path(folder) / split
        self.header = self.read_header(self.folder)
        self.layout = self.record_type(self.header)
        ranges = self.file_ranges(self.folder, self.header)
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
            self.check_record(record)
        except Exception as error:  # of array_record, by what is damaged
            raise self.damage(error) from error
        return {name: np.array(record[name]) for name in self.layout.names}

    def damage(self, error):
        """The UserError of a file that cannot be read."""
        return UserError(f"{self.folder} is damaged ({reason(error)}): delete it and extract again")

    def check_record(self, record):
        """Raise an error of any kind where a record cannot be one of the header's."""

    @staticmethod
    def record_type(header):
        """The layout of a sample: a numpy dtype, little-endian whatever the machine."""
        raise NotImplementedError

    @staticmethod
    def samples_per_file(header):
        """How many samples a file holds."""
        raise NotImplementedError

    @classmethod
    def check_header(cls, header):
        """Raise an error of any kind where a header lacks something, or counts what cannot be."""
        missing = [name for name in cls.of_header if name not in header]
        if missing:
            raise ValueError(f"no {', '.join(missing)} in it")
        if not 0 < header["num_samples"] < MOST:
            raise ValueError(f"{header['num_samples']} samples")

    @classmethod
    def read_header(cls, folder):
        """The header of the samples in `folder`. Raises UserError without a sound one."""
        path = folder / HEADER
        try:
            header = json.loads(path.read_text())
            cls.check_header(header)
            cls.record_type(header), cls.file_ranges(folder, header)
        except FileNotFoundError as error:
            command = cls.command.format(split=folder.name, out=folder.parent)
            raise UserError(f"{path} does not exist: {command} writes it") from error
        except Exception as error:  # of JSON or types, by what is damaged
            raise UserError(
                f"{path} is damaged ({reason(error)}): delete {folder} and extract again"
            ) from error
        return header

    @classmethod
    def check_same(cls, folder, found, wanted, leave_out=("model",)):
        """Raise UserError, naming the first of them, where two headers differ."""
        for name in wanted:
            if name not in leave_out and found.get(name) != wanted[name]:
                remedy = cls.remedy(name, found)
                raise UserError(
                    f"{folder} holds {cls.contents} of another {name}, {found.get(name)} and not "
                    f"{wanted[name]}: {remedy}name another folder, or delete it and extract again"
                )

    @staticmethod
    def remedy(name, found):
        """What helps where `name` is another in the header found: "set ..., ", or nothing."""
        return ""

    @classmethod
    def file_ranges(cls, folder, header):
        """{file: range of the samples that it holds} of all files."""
        size, step = header["num_samples"], cls.samples_per_file(header)
        return {
            folder / f"{number:05d}.array_record": range(start, min(start + step, size))
            for number, start in enumerate(range(0, size, step))
        }

    @classmethod
    def missing_files(cls, folder, header):
        """What `file_ranges` has and the folder has not; a header is written where there is none.

        What killed processes have left is removed. Raises UserError where the folder holds samples
        of something else.
        """
        if (folder / HEADER).exists():
            cls.check_same(folder, cls.read_header(folder), header)
        else:
            with appearing_file(folder / HEADER) as incomplete:
                incomplete.write_text(json.dumps(header, indent=1) + "\n")
        remove_abandoned(folder)
        ranges = cls.file_ranges(folder, header)
        return {path: samples for path, samples in ranges.items() if not path.exists()}

    @classmethod
    def write(cls, path, header, samples):
        """Write a file of samples, dicts of arrays as `record_type` has them."""
        layout = cls.record_type(header)
        with appearing_file(path) as incomplete:
            writer = ArrayRecordWriter(str(incomplete), "group_size:1")
            for sample in samples:
                record = np.array(tuple(sample[name] for name in layout.names), layout)
                writer.write(record.tobytes())
            writer.close()
