"""ClevrTex: rendered scenes of up to ten textured objects, 240 x 320 pixels.

The source holds clevrtex_full, clevrtex_outd and, if wanted, clevrtex_camo, as the publisher's
archives unpack them: folders 0, 1, .. of a thousand scenes each. Scene 42 of full is
CLEVRTEX_full_000042.png, its masks ..._flat.png, its depth ..._depth_0001.png, its objects .json.
"""

import functools
import itertools

from data_pipelines.building.builder import UNKNOWN, ObjectDataSet, Sample
from data_pipelines.building.masks import renumber
from data_pipelines.images import decode_indices, read_bytes
from data_pipelines.sets.coco import read_json
from dias_jax.errors import UserError

SHAPES = (
    "unknown",
    *("cube", "cylinder", "monkey", "sphere"),  # of full and camo
    *("cone", "icosahedron", "teapot", "torus"),  # of outd
)
SIZES = ("small", "medium", "large")
KEYS = {"form": "shape", "material": "material", "size": "size"}  # of properties in the JSON


class Clevrtex(ObjectDataSet, skip_registration=True):
    """ClevrTex with depth: train is all of "full", validation is the out-of-distribution set
    "outd", and camo is "camo", if its folder is there. Form, material and size are told; those of
    outd have numbers of their own, which no object of full has (sizes are the same).
    """

    IMAGE_FORMAT = "png"
    HAS_DEPTH = True
    KINDS = tuple(KEYS)
    HOMEPAGE = "https://www.robots.ox.ac.uk/~vgg/data/clevrtex/"
    LICENSE = "See the homepage."
    CITATION = """@inproceedings{karazija2021clevrtex, title={ClevrTex: A Texture-Rich Benchmark for
Unsupervised Multi-Object Segmentation}, author={Karazija, Laurynas and Laina, Iro and Rupprecht,
Christian}, booktitle={Neural Information Processing Systems Track on Datasets and Benchmarks},
year={2021}}"""
    FILES = (
        "unpack clevrtex_full_part1.tar.gz to part5, clevrtex_outd.tar.gz and, if wanted, "
        "clevrtex_camo.tar.gz of https://www.robots.ox.ac.uk/~vgg/data/clevrtex/ into one folder"
    )
    PUBLISHED_SIZES = {"train": 50_000, "validation": 10_000, "camo": 20_000}

    def categories(self):
        """The forms that objects have."""
        return dict(enumerate(SHAPES))

    def published_splits(self):
        """The scenes by number."""
        variants = {"train": "full", "validation": "outd"}
        if (self.source / "clevrtex_camo").is_dir():
            variants["camo"] = "camo"
        folders = {split: self.source / f"clevrtex_{name}" for split, name in variants.items()}
        scenes = {split: find_scenes(folder) for split, folder in folders.items()}
        names = list(SHAPES[1:]), find_materials(scenes), list(SIZES)
        kinds = self.info.metadata["kinds"] = dict(zip(self.KINDS, names))
        read = functools.partial(read_scene, kinds=kinds)
        return {split: (paths, read) for split, paths in scenes.items()}

    def released_mask(self, indices, entry, name):
        """The release has 0 for the background, 1.. for objects, and no classes."""
        mask, objects = renumber(indices, name)
        return mask, [UNKNOWN] * len(objects)


def find_scenes(folder):
    """The image files of a folder's scenes, by number.

    Raises UserError when there are none, or some between the first and the last are missing.
    """
    prefix = f"CLEVRTEX_{folder.name.removeprefix('clevrtex_')}_"
    found = folder.glob(f"**/{prefix}" + 6 * "[0-9]" + ".png")
    paths = {int(path.stem.removeprefix(prefix)): path for path in found}
    if not paths:
        raise UserError(f"{folder} has no scenes {prefix}000000.png ..: unpack its archives there")
    missing = next((number for number in range(max(paths)) if number not in paths), None)
    if missing is not None:
        raise UserError(f"{folder} lacks scene {missing}: unpack all parts of its archive there")
    return [paths[number] for number in sorted(paths)]


def find_materials(scenes):
    """The names of all materials that there are, sorted; scenes: {split: image files}."""
    paths = itertools.chain.from_iterable(scenes.values())
    return sorted({item["material"] for path in paths for item in read_objects(path).values()})


def read_scene(path, kinds):
    """The Sample of a scene's image file; kinds: {property: names of its kinds}."""
    mask_path = path.with_name(f"{path.stem}_flat.png")
    depth_path = path.with_name(f"{path.stem}_depth_0001.png")
    mask, objects = renumber(decode_indices(read_bytes(mask_path), mask_path), mask_path)
    told = read_objects(path)
    rows = [kind_numbers(told.get(index, {}), kinds) for index in objects]
    classes = [1 + form for form, *_ in rows]
    image, depth = read_bytes(path), read_bytes(depth_path)
    return Sample(path, mask_path, image, mask, classes, depth, kinds=rows)


def read_objects(path):
    """What a scene tells of its objects: image file -> {index in the mask: {property: name}}.

    Raises UserError when the scene's JSON is missing or not a scene's.
    """
    path = path.with_suffix(".json")
    try:
        return {
            item["index"]: {name: str(item[key]) for name, key in KEYS.items()}
            for item in read_json(path)["objects"]
        }
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a ClevrTex scene: take the published one") from error


def kind_numbers(told, kinds):
    """The number of what is told in the list of its property, -1: it is not there."""
    found = ((names, told.get(name)) for name, names in kinds.items())
    return [names.index(kind) if kind in names else -1 for names, kind in found]
