"""In how many parts a device takes its share of a training batch."""

import jax

from dias_jax.config.checks import is_of_images

# Images at once, where intermediate results of more leave the fast memory: at full size a CPU takes
# 0.73 of the time of 16 at once, and a TPU for a block of the backbone 0.7 of the cycles of 128.
AT_ONCE = {"cpu": 4, "tpu": 32}


def parts_of(config, share, platform=None):
    """Equal parts for a share of so many samples, on a platform (default: the one here).

    Where the config leaves it open, images are taken so many at once as suits the platform;
    clips, whose losses may be over a whole batch, all at once.
    """
    if config.accumulation:
        return config.accumulation
    return fitting_parts(share, platform) if is_of_images(config) else 1


def fitting_parts(share, platform=None):
    """The fewest equal parts of a share that are not too large; 1 where they would be tiny."""
    most = min(share, AT_ONCE.get(platform or jax.default_backend(), share))
    size = max((n for n in range(1, most + 1) if share % n == 0), default=1)
    return share // size if 2 * size >= most else 1
