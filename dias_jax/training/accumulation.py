"""In how many parts a device takes its share of a training batch."""

from dias_jax.config.checks import is_of_images
from dias_jax.models.parts import fitting_parts


def parts_of(config, share, platform=None):
    """Equal parts for a share of so many samples, on a platform (default: the one here).

    Where the config leaves it open, images are taken so many at once as suits the platform;
    clips, whose losses may be over a whole batch, all at once.
    """
    if config.accumulation:
        return config.accumulation
    return fitting_parts(share, platform) if is_of_images(config) else 1
