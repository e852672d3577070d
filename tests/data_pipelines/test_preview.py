"""The preview shows what evaluation and training see, with the masks in place."""

import numpy as np
import pytest
from PIL import Image

from data_pipelines import sources
from data_pipelines.sample_grid import draw_samples
from dias_jax.pictures import overlays


def tiles(picture, columns):
    """The picture's tiles as an array (rows, columns, TILE, TILE, 3)."""
    step = overlays.TILE + overlays.GAP
    pixels = np.asarray(picture)[overlays.TITLE :]
    rows = len(pixels) // step
    return np.array(
        [
            [
                pixels[row * step :, column * step :][: overlays.TILE, : overlays.TILE]
                for column in range(columns)
            ]
            for row in range(rows)
        ]
    )


def test_evaluation_and_training_views_with_masks(coco_config):
    coco_config.image_size = overlays.TILE
    found = tiles(draw_samples(coco_config, "train", 5, 2), 6)
    assert len(found) == 5
    source = sources.open_split(coco_config, "train")
    for row, number in zip(found, (0, 2, 4, 6, 8), strict=True):
        image, mask = source.evaluation_view(source[number], coco_config)
        np.testing.assert_array_equal(row[0], image)
        unpainted = np.abs(row[1].astype(int) - image).max(axis=-1) == 0
        # Borders are white as well, so a few pixels of the annotation's edge differ.
        assert (unpainted == (mask == 0)).mean() > 0.98
        rng = np.random.default_rng(number)
        for view in (row[2], row[4]):
            image, _ = source.training_view(source[number], rng, coco_config)
            np.testing.assert_array_equal(view, image)
        assert not np.array_equal(row[2], row[4])


def test_no_more_rows_than_samples(coco_config):
    assert len(tiles(draw_samples(coco_config, "validation", 50, 0), 2)) == 7


@pytest.mark.parametrize("name", ["shapes", "coco"])
def test_command(coco, run_module, tmp_path, name):
    out = tmp_path / "new" / "preview.png"
    arguments = [name, f"--data_dir={coco.data_dir}", "--count=2", "--image_size=32"]
    result = run_module("data_pipelines.preview", *arguments, f"--out={out}")
    assert str(out) in result.stdout
    assert np.asarray(Image.open(out)).std() > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["shapes"], "--out is missing"),
        (["shapes", "junk", "--out=x.png"], "name one data set, for example"),
        (["shapes", "--out="], "--out= is empty"),
        (["shapes", "--out=nowhere.xyz", "--count=1", "--image_size=16"], "cannot write"),
        (["shapes", "--out=README.md/x.png", "--count=1", "--image_size=16"], "cannot write REA"),
    ],
)
def test_bad_input_is_one_line(run_module, arguments, message):
    result = run_module("data_pipelines.preview", *arguments, check=False)
    assert result.returncode == 2 and result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert message in line
