"""Questions asked of a config before anything is compiled; the bounds stand beside each key."""

from dias_jax.config.defaults import KEYS, flatten
from dias_jax.errors import UserError


def check_config(config):
    """Raise UserError on the first value that is not among its choices or outside its bounds."""
    for name, value in flatten(config).items():
        if name not in KEYS:
            raise UserError(f"config.{name} is no key: dias_jax/config/defaults.py has them all")
        check_value(name, value, KEYS[name])


def check_value(name, value, key):
    """Raise UserError where `value` is not what `key` allows."""
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
