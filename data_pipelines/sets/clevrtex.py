"""ClevrTex: rendered scenes of up to ten textured objects, 240 x 320 pixels.

The source holds clevrtex_full, clevrtex_outd and, if wanted, clevrtex_camo, as the publisher's
archives unpack them: folders 0, 1, .. of a thousand scenes each. Scene 42 of full is
CLEVRTEX_full_000042.png, its masks ..._flat.png, its depth ..._depth_0001.png, its objects .json.
"""

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


class Clevrtex(ObjectDataSet, skip_registration=True):
    """ClevrTex with depth: train is all of "full", validation is the out-of-distribution set
    "outd", and camo is "camo", if its folder is there.
    """

    IMAGE_FORMAT = "png"
    HAS_DEPTH = True
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
        return {split: (find_scenes(folder), read_scene) for split, folder in folders.items()}

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


def read_scene(path):
    """The Sample of a scene's image file."""
    mask_path = path.with_name(f"{path.stem}_flat.png")
    depth_path = path.with_name(f"{path.stem}_depth_0001.png")
    mask, objects = renumber(decode_indices(read_bytes(mask_path), mask_path), mask_path)
    forms = read_forms(path.with_suffix(".json"))
    classes = [forms.get(index, UNKNOWN) for index in objects]
    return Sample(path, mask_path, read_bytes(path), mask, classes, read_bytes(depth_path))


def read_forms(path):
    """A dict from an object's index in the mask to its class; UNKNOWN: a form not in SHAPES.

    Raises UserError when the file is missing or not a scene's.
    """
    try:
        objects = read_json(path)["objects"]
        forms = {item["index"]: item["shape"] for item in objects}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} is not a ClevrTex scene: take the published one") from error
    return {i: SHAPES.index(form) if form in SHAPES else UNKNOWN for i, form in forms.items()}
