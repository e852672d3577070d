"""The LMDB releases of the PyTorch reference (train.lmdb, val.lmdb), read without running them.

They hold pickles, and a pickle can name any function to be called. Here none of them is: the few
names that the releases need mean the harmless classes below, every other name is refused.
"""

import io
import pickle

import numpy as np

from dias_jax.errors import UserError


class _Kind:
    """Stands for numpy.dtype: remembers the name of the type."""

    def __init__(self, name, *_):
        self.name = name

    def __setstate__(self, state):
        pass  # byte order and the like: of no concern to single bytes


class _Array:
    """Stands for numpy.ndarray: keeps the bytes of an array of uint8 or bool."""

    def __init__(self, *_):
        self.values = b""

    def __setstate__(self, state):
        _, _, kind, _, values = state  # version, shape, type, order of axes, bytes
        self._keep(values, kind)

    def _keep(self, values, kind):
        if kind.name not in ("u1", "b1"):
            raise pickle.UnpicklingError(f"an array of {kind.name!r}")
        self.values = bytes(values)


class _Buffer(_Array):
    """Stands for the function that makes an array in newer pickles."""

    def __init__(self, values, kind, *_):
        self._keep(values, kind)


_MEANINGS = {
    ("numpy", "dtype"): _Kind,
    ("numpy", "ndarray"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _Buffer,
    ("numpy._core.numeric", "_frombuffer"): _Buffer,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _MEANINGS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _MEANINGS[module, name]


class Entry:
    """One sample of a release: a dict whose values are bytes or arrays of bytes or booleans."""

    def __init__(self, values, name):
        self._values, self._name = values, name

    def bytes(self, key):
        """The bytes of a value. Raises UserError where the release lacks it."""
        value = self._values.get(key) if isinstance(self._values, dict) else None
        value = getattr(value, "values", value)
        if not isinstance(value, bytes):
            raise UserError(f"{self._name} lacks {key!r}: it is of another data set's release")
        return value

    def array(self, key):
        """A value as (n,) uint8. Raises UserError where the release lacks it."""
        return np.frombuffer(self.bytes(key), np.uint8)


def open_release(path):
    """Open train.lmdb or val.lmdb: -> iterator over (name, Entry), in the order of the release.

    Raises UserError when lmdb is not installed, the file cannot be read or holds anything but plain
    data.
    """
    try:
        import lmdb  # an extra: only those who have a release need it
    except ImportError as error:
        raise UserError('reading .lmdb needs lmdb: pip install "dias_jax[lmdb]"') from error
    try:
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
        with environment.begin() as transaction:
            keys = unpickle(transaction.get(b"__keys__", b""), f"{path} (its keys)")
    except lmdb.Error as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if not (isinstance(keys, list) and all(isinstance(key, bytes) for key in keys)):
        raise UserError(f"{path} holds no list of samples: it is not a release of the reference")
    return _entries(environment, keys, path)


def _entries(environment, keys, path):
    with environment, environment.begin() as transaction:
        for key in keys:
            name = f"{path}:{key.decode(errors='replace')}"
            yield name, Entry(unpickle(transaction.get(key, b""), name), name)


def unpickle(encoded, name):
    """What a pickle of plain data, bytes and arrays holds; nothing of it is executed.

    encoded: bytes; name: for messages. Raises UserError when it is damaged or asks for anything
    else.
    """
    try:
        return _Unpickler(io.BytesIO(encoded)).load()
    except Exception as error:  # a damaged pickle may fail in any way
        reason = str(error).split("\n")[0] or type(error).__name__
        raise UserError(
            f"{name} is refused, it is damaged or no plain data ({reason}): "
            "get the release again, from its authors"
        ) from error
