"""Imports run one way: every file stands on a floor and imports only from floors below.

Floors of one line stand beside each other and do not know each other; a room may use itself.
"""

import ast
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]

# From the ground up. A room is a file or a folder; the longest name that fits decides.
FLOORS = [
    ["dias_jax", "dias_jax.errors", "dias_jax.metrics", "dias_jax.pictures"],
    ["dias_jax.files"],
    [
        *("dias_jax.cli", "dias_jax.config", "dias_jax.devices", "dias_jax.hosts"),
        *("dias_jax.video_metrics", "dias_jax.sample_files"),
    ],
    ["dias_jax.models.*", "data_pipelines", "dias_jax.feeding"],
    [
        *("dias_jax.pretrained", "dias_jax.segmentation", "dias_jax.slot_statistics"),
        "dias_jax.feature_cache",
    ],
    ["dias_jax.losses"],
    ["dias_jax.video_losses"],
    ["dias_jax.downstream"],
    ["dias_jax.steps", "dias_jax.runs"],
    ["dias_jax.evaluation", "dias_jax.own_images"],
    ["dias_jax.tasks", "dias_jax.own_videos"],
    ["dias_jax.training", "dias_jax.gallery"],
    ["dias_jax.interop"],
    ["dias_jax.compare"],
    # Doors: what users type or import. `dias_jax.models` itself is one: inside the package the
    # files in it are imported, never the door.
    [
        *("dias_jax.models", "dias_jax.train", "dias_jax.evaluate", "dias_jax.segment"),
        *("dias_jax.convert", "dias_jax.weights", "dias_jax.demo", "dias_jax.extract"),
        *("dias_jax.gallery.__main__", "dias_jax.compare.__main__"),
        *("data_pipelines.prepare", "data_pipelines.preview"),
        *("experiments",),
    ],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# All that preparing data needs to know of the package.
KNOWN_TO_DATA = {"dias_jax.errors", "dias_jax.cli", "dias_jax.pictures", "dias_jax.files"}


def module_name(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path
    for package in ("dias_jax", "data_pipelines", "experiments")
    for path in sorted((REPOSITORY / package).rglob("*.py"))
}


def room_of(module):
    """The longest room that holds a module; "ROOM.*" holds what is in ROOM, but not itself."""
    if module.startswith("dias_jax.models."):
        return "dias_jax.models.*"
    parts = module.split(".")
    names = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    room = next(name for name in names if name in FLOOR)
    assert room != "dias_jax" or module == "dias_jax", f"{module} stands on no floor"
    return room


def imports_of(path):
    """Modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:  # experiments have two names: beside the package and inside it
                assert path.is_relative_to(REPOSITORY / "experiments"), f"{path}: a relative import"
                assert node.level == 1, f"{path} imports from another folder"
                continue
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                # A name that is a function and a module at once is the door's function.
                is_module = inner in MODULES and node.module != "dias_jax.models"
                is_module |= inner == "dias_jax.models.shipped"
                yield inner if is_module else node.module


@pytest.mark.parametrize("module", MODULES)
def test_a_file_imports_only_from_floors_below(module):
    room = room_of(module)
    for imported in imports_of(MODULES[module]):
        if imported.split(".")[0] not in ("dias_jax", "data_pipelines", "experiments"):
            continue
        other = room_of(imported)
        assert other == room or FLOOR[other] < FLOOR[room], f"{module} imports {imported}"
        if module.startswith("data_pipelines"):
            assert other.startswith("data_pipelines") or other in KNOWN_TO_DATA, imported


def test_every_room_is_there():
    for room in FLOOR:
        assert room.removesuffix(".*") in MODULES, room
