"""Writes golden_resize.npz: PyTorch's resizing of small pictures. Needs PyTorch.

python tests/data_pipelines/make_golden_resize.py
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as functional

# Height and width of the picture, side of the result: enlarged, reduced, odd, one pixel.
CASES = [(20, 20, 37), (47, 47, 16), (33, 21, 24), (24, 40, 24), (1, 1, 4)]


def main():
    random = np.random.default_rng(0)
    arrays = {}
    for number, (height, width, size) in enumerate(CASES):
        rows, columns = np.mgrid[:height, :width]
        smooth = np.stack([rows * 5, columns * 4, (rows + columns) * 3], axis=-1)
        image = np.clip(smooth + random.normal(0, 30, smooth.shape), 0, 255).astype(np.uint8)
        mask = ((rows // 6) * 7 + columns // 5).astype(np.uint8)
        planes = torch.from_numpy(image).permute(2, 0, 1)[None]
        resized = functional.interpolate(planes, (size, size), mode="bilinear", antialias=True)
        index = torch.from_numpy(mask)[None, None]
        resized_mask = functional.interpolate(index, (size, size), mode="nearest-exact")
        arrays[f"image{number}"] = image
        arrays[f"mask{number}"] = mask
        arrays[f"resized_image{number}"] = resized[0].permute(1, 2, 0).numpy()
        arrays[f"resized_mask{number}"] = resized_mask[0, 0].numpy()
    np.savez_compressed(pathlib.Path(__file__).with_name("golden_resize.npz"), **arrays)


if __name__ == "__main__":
    main()
