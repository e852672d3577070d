"""The training and the evaluation view of an image and its mask, or of a clip.

All frames of a clip, images (F, H, W, 3) and masks (F, H, W), are seen in one view. Images must
have three channels: a grey photograph becomes RGB where it is decoded. A mask may be None, and
stays None. What is cut out of an image is resized, never the whole.
"""

import math

import numpy as np

from data_pipelines.resize import resize_image, resize_mask

CROP_SCALE = (0.75, 1.0)  # area of a training crop / the largest centred square's
_ASPECT_RANGE = (3 / 4, 4 / 3)
_CROP_ATTEMPTS = 10


def evaluation_view(image, mask, size=256):
    """The largest centred square, resized: -> image (size, size, 3) uint8, mask (size, size) uint8.

    image: (H, W, 3) uint8; mask: (H, W) uint8 index map, or None, which it stays.
    """
    _check(image, mask)
    height, width = image.shape[-3:-1]
    side = min(height, width)
    crop = (height - side) // 2, (width - side) // 2, side, side
    return _cut(image, mask, crop, size)


def training_view(image, mask, rng, size=256, crop_scale=CROP_SCALE, flip=True):
    """A random part, resized, and mirrored half of the time: image and mask as `evaluation_view`.

    rng: numpy.random.Generator; crop_scale: smallest and largest area of the part, as a share of
    the largest centred square's; flip: whether it is mirrored left to right with probability 0.5.
    """
    _check(image, mask)
    crop = random_crop(*image.shape[-3:-1], rng, crop_scale)
    mirror = flip and rng.random() < 0.5
    return _cut(image, mask, crop, size, mirror)


def random_crop(height, width, rng, crop_scale=CROP_SCALE):
    """Draw a crop as torchvision's RandomResizedCrop does: -> (top, left, height, width) int.

    Areas are relative to the largest square, the aspect ratio is log-uniform in [3/4, 4/3]. A crop
    that does not fit is drawn again; after ten attempts the largest centred crop of an allowed
    aspect ratio is taken.
    """
    square = min(height, width) ** 2
    low, high = math.log(_ASPECT_RANGE[0]), math.log(_ASPECT_RANGE[1])
    for _ in range(_CROP_ATTEMPTS):
        area = square * rng.uniform(*crop_scale)
        aspect = math.exp(rng.uniform(low, high))
        crop_width = int(round(math.sqrt(area * aspect)))
        crop_height = int(round(math.sqrt(area / aspect)))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            top = int(rng.integers(height - crop_height, endpoint=True))
            left = int(rng.integers(width - crop_width, endpoint=True))
            return top, left, crop_height, crop_width
    aspect = min(max(width / height, _ASPECT_RANGE[0]), _ASPECT_RANGE[1])
    crop_width = min(width, int(round(height * aspect)))
    crop_height = min(height, int(round(width / aspect)))
    return (height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width


def _check(image, mask):
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"image must be (H, W, 3) or (F, H, W, 3) uint8, not {image.shape} {image.dtype}"
        )
    if mask is not None and (mask.shape != image.shape[:-1] or mask.dtype != np.uint8):
        raise ValueError(
            f"mask must be {image.shape[:-1]} uint8 as its image, not {mask.shape} {mask.dtype}"
        )


def _cut(image, mask, crop, size, mirror=False):
    """Resize the part (top, left, height, width) of an image and its mask to a square."""
    if image.ndim == 4:
        masks = [None] * len(image) if mask is None else mask
        cut = [_cut(*frame, crop, size, mirror) for frame in zip(image, masks, strict=True)]
        image, masks = zip(*cut, strict=True)
        return np.stack(image), None if mask is None else np.stack(masks)
    top, left, height, width = crop
    part = slice(top, top + height), slice(left, left + width)
    image = resize_image(image[part], size, mirror)
    return image, None if mask is None else resize_mask(mask[part], size, mirror)
