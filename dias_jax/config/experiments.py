"""Experiments by name: `shapes`, `coco:released`, or a file of one's own."""

import pathlib
import runpy

from ml_collections import config_flags

from dias_jax.errors import UserError

PACKAGE = pathlib.Path(__file__).parents[1]
# In an installed package the experiments lie inside it, in a checkout beside it.
FOLDERS = (PACKAGE / "experiments", PACKAGE.parent / "experiments")


def experiment_folder():
    """The folder of the experiments that came with this package."""
    return next(folder for folder in FOLDERS if folder.is_dir())


def experiment_names():
    """Names of the experiments that came with this package, in order."""
    return sorted(path.stem for path in experiment_folder().glob("[!_]*.py"))


def find_experiment(name):
    """ "NAME:VARIANT" or "FILE.py:VARIANT" -> (path of the file, variant or None).

    Raises UserError where there is neither such a file nor such an experiment.
    """
    stem, _, variant = name.partition(":")
    path = pathlib.Path(stem)
    if not path.is_file():
        path = experiment_folder() / f"{stem}.py"
    if stem not in experiment_names() and not path.is_file():
        raise UserError(
            f"--config={name}: neither a file nor one of the experiments "
            f"{', '.join(experiment_names())}"
        )
    return path, variant or None


def load_experiment(name):
    """The config of an experiment, by name or file. Raises UserError as `find_experiment`."""
    path, variant = find_experiment(name)
    get_config = runpy.run_path(str(path))["get_config"]
    return get_config() if variant is None else get_config(variant)


def define_config_flag(arguments, default=None, meaning="experiment, by name or file"):
    """Define --config of an experiment: command line -> the same with the file's path in it."""
    config_flags.DEFINE_config_file("config", default and name_file(default), meaning)
    return name_files(arguments)


def name_files(arguments):
    """A command line with the files of the experiments that --config= names by name."""
    named, is_value = [], False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if is_value:
            argument = name_file(argument)
        elif equals and flag.lstrip("-") == "config":
            argument = f"{flag}={name_file(value)}"
        is_value = argument in ("--config", "-config")
        named.append(argument)
    return named


def name_file(name):
    """ "shapes:released" -> "/.../shapes.py:released"."""
    path, variant = find_experiment(name)
    return str(path) if variant is None else f"{path}:{variant}"
