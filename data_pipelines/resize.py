"""Resizing of images and masks, equal to PyTorch's on uint8 tensors bit for bit.

PyTorch resizes uint8 images on a CPU in integers (antialiased bilinear): across, then down, each
pass rounding to uint8, with weights rounded to 16 bits. Doing the same makes views comparable with
published ones; a sparse matrix of the weights makes it as fast as Pillow's kernel, whose finer
weights give other grey levels on up to 8 % of a view's values.
"""

import functools

import numpy as np
import scipy.sparse

_ROWS = 128  # of an image that are copied at a time
_VALUES = 2**22  # that are resized at a time: as integers they take four times the memory


def resize_image(image, size, mirror=False):
    """Antialiased linear interpolation: (H, W, C) uint8 -> (size, size, C) uint8.

    mirror: whether the result is mirrored left to right.
    """
    across = _resize_first_axis(_swap_axes(image), size)
    if mirror:
        across = across[::-1]  # here it costs nothing: what follows is a copy
    return _resize_first_axis(_swap_axes(across), size)


def resize_mask(mask, size, mirror=False):
    """The pixel under each new pixel's centre ("nearest-exact"): (H, W) -> (size, size), any dtype.

    mirror: whether the result is mirrored left to right.
    """
    height, width = mask.shape
    columns = _nearest(width, size)
    return mask[_nearest(height, size)].take(columns[::-1] if mirror else columns, axis=1)


def _swap_axes(image):
    """Copy (H, W, C) to (W, H, C), in pieces that fit a cache: far faster than at once."""
    height, width, channels = image.shape
    result = np.empty((width, height, channels), np.uint8)
    for top in range(0, height, _ROWS):
        for channel in range(channels):
            rows = slice(top, top + _ROWS)
            result[:, rows, channel] = image[rows, :, channel].T
    return result


def _resize_first_axis(image, size):
    weights, bits = _weights(len(image), size)
    columns = image.reshape(len(image), -1)
    resized = np.empty((size, columns.shape[1]), np.uint8)
    step = max(_VALUES // len(image), 1)
    for first in range(0, columns.shape[1], step):
        part = slice(first, first + step)
        result = weights @ columns[:, part]  # int32
        result += 1 << (bits - 1)
        result >>= bits
        resized[:, part] = result
    return resized.reshape(size, *image.shape[1:])


@functools.lru_cache(1024)  # a crop has one of a few hundred lengths; an entry takes about 10 KB
def _weights(length, size):
    """The weights: -> sparse int32 matrix (size, length), the number of fractional bits in it."""
    scale = length / size
    support = max(scale, 1.0)  # half the triangle's base, in input pixels
    centre = (np.arange(size) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(int), 0)
    last = np.minimum((centre + support + 0.5).astype(int), length)
    taps = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1 - np.abs((taps - centre[:, None] + 0.5) / support), 0)
    weights[taps >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    # As many bits as let the largest weight fit into a signed 16-bit integer.
    bits = max(b for b in range(23) if int(weights.max() * 2**b + 0.5) < 2**15)
    integers = (weights * 2**bits + 0.5).astype(np.int32)
    rows, columns = np.nonzero(integers)
    values = integers[rows, columns], (rows, taps[rows, columns])
    return scipy.sparse.csr_array(values, shape=(size, length)), bits


def _nearest(length, size):
    """floor((i + 0.5) length / size) in float32, whose rounding decides some ties."""
    scale = np.float32(length) / np.float32(size)
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale
    return np.minimum(centre.astype(int), length - 1)
