"""Writes golden_resize.npz, golden_crops.json and golden_coco_views.json: PyTorch's results.

python tests/data_pipelines/make_golden_views.py SHARED

Needs torch, torchvision, opencv-python-headless and, in SHARED/data/coco_mini, COCO's layout.
"""

import json
import pathlib
import sys
import zlib

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from torchvision.transforms.v2 import RandomResizedCrop

HERE = pathlib.Path(__file__).parent
# Height and width of the picture, side of the result: enlarged, reduced, odd, one pixel, and a
# length at which the nearest pixel depends on the rounding of float32.
RESIZED = [(20, 20, 37), (47, 47, 16), (33, 21, 24), (24, 40, 24), (1, 1, 4), (112, 20, 24)]
# Height and width of the picture, smallest and largest area; the last refuses most crops.
CROPPED = [(480, 640, 0.75, 1.0), (640, 427, 0.75, 1.0), (97, 100, 0.2, 0.6), (60, 60, 0.98, 1.0)]
NUM_CROPS = 10_000
BINS = 40  # of each quantity's histogram


def resize(image, mask, size):
    """The reference's two resizings: (H, W, 3) uint8, (H, W) uint8 -> square."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
    index = torch.from_numpy(mask)[None, None]
    resized_mask = functional.interpolate(index, (size, size), mode="nearest-exact")
    return resized[0].permute(1, 2, 0).numpy(), resized_mask[0, 0].numpy()


def golden_resize():
    random = np.random.default_rng(0)
    arrays = {}
    for number, (height, width, size) in enumerate(RESIZED):
        rows, columns = np.mgrid[:height, :width]
        smooth = np.stack([rows * 5, columns * 4, (rows + columns) * 3], axis=-1)
        image = np.clip(smooth + random.normal(0, 30, smooth.shape), 0, 255).astype(np.uint8)
        mask = ((rows * 7 + columns * 5) % 251).astype(np.uint8)
        arrays[f"image{number}"], arrays[f"mask{number}"] = image, mask
        arrays[f"resized_image{number}"], arrays[f"resized_mask{number}"] = resize(
            image, mask, size
        )
    np.savez_compressed(HERE / "golden_resize.npz", **arrays)


def golden_crops():
    """Histograms of crops: the reference gives torchvision areas relative to the whole picture."""
    torch.manual_seed(0)
    cases = []
    for height, width, low, high in CROPPED:
        share = min(height, width) ** 2 / (height * width)
        transform = RandomResizedCrop([1, 1], [low * share, high * share], (3 / 4, 4 / 3))
        picture = torch.zeros(1, height, width)
        drawn = [transform.make_params(picture) for _ in range(NUM_CROPS)]
        names = ("top", "left", "height", "width")
        crops = np.array([[params[name] for name in names] for params in drawn])
        case = {"picture": [height, width], "crop_scale": [low, high], "histograms": {}}
        for name, values in zip((*names, "area"), (*crops.T, crops[:, 2] * crops[:, 3])):
            edges = np.linspace(values.min() - 0.5, values.max() + 0.5, BINS + 1).round(3)
            counts = np.histogram(values, edges)[0]
            case["histograms"][name] = {"edges": edges.tolist(), "counts": counts.tolist()}
        cases.append(case)
    (HERE / "golden_crops.json").write_text(json.dumps(cases) + "\n")


def golden_coco_views(folder):
    """Checksums of resized crops of photographs, and of their annotations' red channel."""
    random = np.random.default_rng(0)
    views = []
    for number, path in enumerate(sorted((folder / "val2017").glob("*.jpg"))[:24]):
        photograph = cv2.cvtColor(
            cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED),
            cv2.COLOR_BGR2RGB,
        )
        mask_path = folder / "annotations" / "panoptic_val2017" / f"{path.stem}.png"
        mask = np.ascontiguousarray(cv2.imread(str(mask_path))[..., 2])
        height, width = (int(random.integers(n // 2, n + 1)) for n in mask.shape)
        top = int(random.integers(mask.shape[0] - height + 1))
        left = int(random.integers(mask.shape[1] - width + 1))
        part = slice(top, top + height), slice(left, left + width)
        size = (256, 384, 128)[number % 3]
        image, index = resize(photograph[part], np.ascontiguousarray(mask[part]), size)
        checksums = [zlib.crc32(np.ascontiguousarray(array)) for array in (image, index)]
        view = {"file": path.stem, "crop": [top, left, height, width], "size": size}
        views.append(view | {"image": checksums[0], "mask": checksums[1]})
    lines = ",\n".join(json.dumps(view) for view in views)
    (HERE / "golden_coco_views.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    golden_resize()
    golden_crops()
    golden_coco_views(pathlib.Path(sys.argv[1]) / "data" / "coco_mini")
