"""Records of TensorFlow's files (.tfrecord), read without TensorFlow.

A record is its length (8 bytes), that number's checksum (4), the message, and its checksum (4), all
little-endian. A checksum is CRC-32C, turned right by 15 bits, plus a constant.
"""

import struct

from google.protobuf.message import DecodeError
from tensorflow_datasets.proto import tf_example_pb2

from dias_jax.errors import UserError

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_CONSTANT = 0xA282EAD8


def read_examples(path):
    """The examples of a file in order, one at a time: each a dict from name to list of values.

    Raises UserError when the file cannot be read, is cut short, or a checksum is wrong.
    """
    checksum = import_checksum()
    try:
        with open(path, "rb") as file:
            number = 0
            while header := file.read(_LENGTH.size):
                place = f"record {number} of {path}"
                length = _LENGTH.unpack(_checked(header, file, checksum, place))[0]
                message = _checked(file.read(length), file, checksum, place, length)
                yield _parse(message, place)
                number += 1
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def import_checksum():
    """CRC-32C: a function from bytes to int. Raises UserError when it is not installed."""
    try:
        import google_crc32c  # an extra: only MOVi needs it
    except ImportError as error:
        raise UserError('MOVi needs google-crc32c: pip install "dias_jax[movi]"') from error
    return google_crc32c.value


def mask_checksum(value):
    """A checksum as the files have it: int -> int, 32 bits."""
    return ((value >> 15 | value << 17) + _CONSTANT) & 0xFFFFFFFF


def _checked(content, file, checksum, place, length=_LENGTH.size):
    """`content`, of which the checksum follows in the file."""
    stored = file.read(_CHECKSUM.size)
    if len(content) < length or len(stored) < _CHECKSUM.size:
        raise UserError(f"{place} is cut short: fetch the file again")
    if _CHECKSUM.unpack(stored)[0] != mask_checksum(checksum(content)):
        raise UserError(f"{place} is damaged (a wrong checksum): fetch the file again")
    return content


def _parse(message, place):
    try:
        features = tf_example_pb2.Example.FromString(message).features.feature
    except DecodeError as error:
        raise UserError(f"{place} is no example: take the published file") from error
    return {
        name: getattr(value, value.WhichOneof("kind") or "int64_list").value
        for name, value in features.items()
    }
