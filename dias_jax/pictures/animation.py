"""Moving pictures: WebP and GIF by Pillow."""

from PIL import Image


def save_animation(path, frames, frames_per_second=8):
    """Write frames, a list of (H, W, 3) uint8, to a path that ends in .webp or .gif."""
    first, *others = (Image.fromarray(frame) for frame in frames)
    duration = round(1000 / frames_per_second)
    options = {"save_all": True, "append_images": others, "duration": duration, "loop": 0}
    first.save(path, quality=80, **options)
