"""Questions asked of a config before anything is compiled; the bounds stand beside each key."""

import math
import os

from dias_jax.config.defaults import KEYS, flatten
from dias_jax.errors import UserError

MOST = 2**31 - 1  # what an int32 holds


def check_config(config):
    """Raise UserError on the first key that is missing or none, and the first value that is wrong.

    Wrong is a value of another type than the default, that is not finite, not among the key's
    choices or outside its bounds.
    """
    values = flatten(config)
    for name in [*values, *KEYS]:
        if name not in KEYS:
            raise UserError(f"config.{name} is no key: dias_jax/config/defaults.py has them all")
        if name not in values:
            raise UserError(
                f"config.{name} is missing: start from dias_jax.config.defaults.get_config()"
            )
        check_value(name, values[name], KEYS[name])


def check_type(name, value, default):
    """Raise UserError unless `value` is what `default` is; a whole number may be a fraction's."""
    if isinstance(default, tuple):
        if not isinstance(value, tuple) or len(value) != len(default):
            raise UserError(f"config.{name}={value}: give {len(default)} numbers, like {default}")
        for number, number_default in zip(value, default):
            check_type(name, number, number_default)
        return
    allowed = (float, int) if type(default) is float else (type(default),)
    if type(value) not in allowed:
        raise UserError(f"config.{name}={value!r}: must be a {type(default).__name__}")
    if isinstance(value, str) and not can_be_path(value):
        raise UserError(f"config.{name}={value!r}: has characters that no path can have")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"config.{name}={value}: must be a finite number")
    if isinstance(value, int) and value > MOST:
        raise UserError(f"config.{name}={value}: must be at most {MOST}")


def can_be_path(text):
    """Whether a file could be called so."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half of a pair of code units, as JSON can hold it
        return False


def check_value(name, value, key):
    """Raise UserError where `value` is not what `key` allows."""
    check_type(name, value, key.default)
    if key.choices and value not in key.choices:
        allowed = ", ".join(f'"{choice}"' for choice in key.choices)
        raise UserError(f'config.{name}="{value}" is unknown: use one of {allowed}')
    low, high = key.at_least, key.at_most
    values = value if isinstance(key.default, tuple) else (value,)
    if low is not None and not all(low <= number for number in values):
        wanted = f"at least {low}" if high is None else f"between {low} and {high}"
        raise UserError(f"config.{name}={value}: must be {wanted}")
    if high is not None and not all(number <= high for number in values):
        raise UserError(f"config.{name}={value}: must be between {low} and {high}")


def is_of_images(config):
    """Whether a run learns from images, each with a loss of its own, not from clips or slots."""
    return config.task == "discovery" and config.model.kind == "image"
