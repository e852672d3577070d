"""Drawn scenes in the layouts of the publishers of VOC and ClevrTex."""

import json

import numpy as np
from PIL import Image

from data_pipelines.drawn import shapes

PALETTE = [value for number in range(256) for value in (number * 37 % 256, number * 91 % 256, 7)]
# Of object 2, 3, .. of a drawn scene.
VOC_CLASSES = (15, 3, 20, 15, 1, 7)
CLEVRTEX_FORMS = ("cube", "monkey", "torus", "sphere", "a form of later", "cone")
CLEVRTEX_MATERIALS = ("wood", "brick", "moss")
CLEVRTEX_SIZES = ("large", "small", "a size of later", "medium")


def save_palette(indices, path):
    """Writes a palette PNG whose colours are not its indices."""
    picture = Image.fromarray(indices)
    picture.putpalette(PALETTE)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def write_voc(directory, counts=(("VOC2012", "trainval", 5), ("VOC2007", "trainval", 3))):
    """Writes VOCdevkit; returns a dict from file stem to (mask, classes)."""
    expected = {}
    for year, list_name, count in counts:
        stems = [f"{year[3:]}_{number:06d}" for number in range(count)]
        path = directory / year / "ImageSets" / "Segmentation" / f"{list_name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(stems) + "\n")
        for number, stem in enumerate(stems):
            expected[stem] = _write_voc_image(directory / year, stem, number)
    return expected


def _write_voc_image(folder, stem, number):
    image, scene, *_ = shapes.render(number, "test", 64)
    image, scene = image[: 60 - number], scene[: 60 - number]
    indices = np.where(scene == 1, 0, scene + 1)  # the index 2 is left out
    classes = np.array([0, 0, *VOC_CLASSES, *VOC_CLASSES], np.uint8)[scene]
    if number == 1:  # nothing but background
        indices[:], classes[:] = 0, 0
    indices[:4], classes[:5] = 255, 255  # void
    save_palette(indices.astype(np.uint8), folder / "SegmentationObject" / f"{stem}.png")
    save_palette(classes, folder / "SegmentationClass" / f"{stem}.png")
    save_palette(classes, folder / "SegmentationClassAug" / f"{stem}.png")
    (folder / "JPEGImages").mkdir(exist_ok=True)
    mode = "CMYK" if number == 2 else "RGB"
    Image.fromarray(image).convert(mode).save(folder / "JPEGImages" / f"{stem}.jpg")
    objects = sorted(set(indices.ravel().tolist()) - {0, 255})
    mask = np.select([indices == 255, indices == 0], [0, 1], 0)
    for position, index in enumerate(objects):
        mask[indices == index] = 2 + position
    return mask.astype(np.uint8), [VOC_CLASSES[index - 3] for index in objects]


def write_clevrtex(directory, variants=(("full", 4), ("outd", 3), ("camo", 2))):
    """Writes scenes of each variant; returns a dict from file name to (mask, told, depth).

    told: of each object what the JSON tells, or None.
    """
    expected = {}
    for variant, count in variants:
        for number in range(count):
            name = f"CLEVRTEX_{variant}_{number:06d}"
            # Two folders, so that the order of paths is not that of scenes.
            path = directory / f"clevrtex_{variant}" / str(10 - number % 2) / f"{name}.png"
            expected[path.name] = _write_scene(path, number)
    return expected


def _write_scene(path, number):
    image, scene, *_ = shapes.render(number, "validation", 48)
    indices = np.where(scene == 1, 0, scene).astype(np.uint8)  # index 1 is hidden behind the others
    save_palette(indices, path.with_name(f"{path.stem}_flat.png"))
    opaque = np.concatenate([image, np.full_like(image[..., :1], 255)], axis=2)
    Image.fromarray(opaque).save(path)
    distance = (np.arange(48 * 48).reshape(48, 48) * 28).astype(np.uint16)
    depth = (distance >> 8).astype(np.uint8)
    # The last scene of a kind has 8 bits of depth, the others 16.
    picture = Image.fromarray(depth if number == 1 else distance)
    picture.save(path.with_name(f"{path.stem}_depth_0001.png"))
    for suffix in ("albedo_0001", "normal_0001", "shadow_0001"):
        path.with_name(f"{path.stem}_{suffix}.png").write_bytes(b"not read")
    told = {
        index: {
            "index": index,
            "shape": form,
            "material": CLEVRTEX_MATERIALS[(index + number) % 3],
            "size": CLEVRTEX_SIZES[index % 4],
        }
        for index, form in zip(range(1, int(scene.max()) + 1), CLEVRTEX_FORMS)
    }
    path.with_suffix(".json").write_text(json.dumps({"objects": list(told.values())}))
    present = sorted(set(indices.ravel().tolist()) - {0})
    return scene, [told.get(index) for index in present], depth
