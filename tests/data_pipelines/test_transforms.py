"""Views: what is cut out, and the distribution of the random crop against torchvision's."""

import json
import pathlib

import numpy as np
import pytest
import scipy.stats

from data_pipelines import transforms

HERE = pathlib.Path(__file__).parent


def picture(height, width):
    """A picture that carries its coordinates, and a mask of its columns."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)
    return image, columns.astype(np.uint8)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (8, 13), (1, 7), (64, 64)])
def test_evaluation_view_takes_the_centred_square(shape):
    image, mask = picture(*shape)
    side = min(shape)
    view, view_mask = transforms.evaluation_view(image, mask, size=side)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    np.testing.assert_array_equal(view, image[top : top + side, left : left + side])
    np.testing.assert_array_equal(view_mask, mask[top : top + side, left : left + side])


@pytest.mark.parametrize("shape", [(17, 23), (300, 200), (2, 2)])
def test_views_have_the_asked_size(shape):
    image, mask = picture(*shape)
    rng = np.random.default_rng(0)
    for view, view_mask in (
        transforms.evaluation_view(image, mask, 32),
        transforms.training_view(image, mask, rng, 32),
    ):
        assert view.shape == (32, 32, 3) and view.dtype == np.uint8
        assert view_mask.shape == (32, 32) and view_mask.dtype == np.uint8
        assert set(np.unique(view_mask)) <= set(np.unique(mask))


def test_training_view_without_mask_is_the_same_image():
    image, mask = picture(40, 60)
    with_mask, _ = transforms.training_view(image, mask, np.random.default_rng(3), 16)
    without, none = transforms.training_view(image, None, np.random.default_rng(3), 16)
    assert none is None
    np.testing.assert_array_equal(with_mask, without)


def test_mask_follows_the_image():
    columns = np.repeat(np.arange(120, dtype=np.uint8)[None], 90, axis=0)
    image = np.repeat(columns[..., None], 3, axis=-1)
    for seed in range(20):
        view, mask = transforms.training_view(image, columns, np.random.default_rng(seed), 48)
        # Away from the borders, linear interpolation and the nearest pixel differ by at most one.
        assert np.abs(view[..., 0].astype(int) - mask)[:, 2:-2].max() <= 1


def test_flip_mirrors_half_of_the_views():
    image, mask = picture(50, 50)
    mirrored = 0
    for seed in range(400):
        plain, plain_mask = transforms.training_view(
            image, mask, np.random.default_rng(seed), 8, flip=False
        )
        view, view_mask = transforms.training_view(image, mask, np.random.default_rng(seed), 8)
        flipped = not np.array_equal(view, plain)
        mirrored += flipped
        np.testing.assert_array_equal(view, plain[:, ::-1] if flipped else plain)
        np.testing.assert_array_equal(view_mask, plain_mask[:, ::-1] if flipped else plain_mask)
    assert 160 < mirrored < 240  # 4 standard deviations around 200


@pytest.mark.parametrize("shape", [(480, 640), (640, 427), (100, 100)])
def test_random_crop_distribution(shape):
    rng = np.random.default_rng(0)
    crops = np.array([transforms.random_crop(*shape, rng) for _ in range(3000)])
    top, left, height, width = crops.T
    assert top.min() >= 0 and left.min() >= 0
    assert (top + height).max() <= shape[0] and (left + width).max() <= shape[1]
    assert (top + height).max() == shape[0] and top.min() == 0  # the ends are included
    area = height * width / min(shape) ** 2
    # Rounding the sides moves the area by up to a side in a hundred on the smallest picture.
    assert area.min() > 0.735 and area.max() <= 1.015
    aspect = width / height
    assert aspect.min() > 0.73 and aspect.max() < 1.36


@pytest.mark.parametrize("number", range(4))
def test_random_crop_is_distributed_as_the_reference(number):
    """Two samples of 10,000 crops: torchvision's, kept as histograms, and ours."""
    golden = json.loads((HERE / "golden_crops.json").read_text())[number]
    rng = np.random.default_rng(number)
    crops = np.array(
        [
            transforms.random_crop(*golden["picture"], rng, golden["crop_scale"])
            for _ in range(10_000)
        ]
    )
    names = ("top", "left", "height", "width", "area")
    columns = (*crops.T, crops[:, 2] * crops[:, 3])
    for name, values in zip(names, columns, strict=True):
        expected = golden["histograms"][name]
        edges = np.array(expected["edges"])
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]
        assert counts.sum() == sum(expected["counts"]) == 10_000
        table = np.array([counts, expected["counts"]])
        rare = table.sum(axis=0) < 10  # too few for the test: together they are one bin
        table = np.concatenate([table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)], axis=1)
        table = table[:, table.sum(axis=0) > 0]
        p_value = scipy.stats.chi2_contingency(table).pvalue
        assert p_value > 1e-3, (name, p_value)


def test_random_crop_is_uniform_in_area_and_log_uniform_in_aspect():
    rng = np.random.default_rng(1)
    # So long a picture never refuses a crop for its width; a low area never for its height.
    crops = np.array([transforms.random_crop(800, 4000, rng, (0.2, 0.6)) for _ in range(4000)])
    area = crops[:, 2] * crops[:, 3] / 800**2
    aspect = np.log(crops[:, 3] / crops[:, 2])
    for values, low, high in ((area, 0.2, 0.6), (aspect, np.log(3 / 4), np.log(4 / 3))):
        counts, _ = np.histogram(values, bins=8, range=(low, high))
        assert np.abs(counts - 500).max() < 110  # 5 standard deviations
    left_share = crops[:, 1] / (4000 - crops[:, 3])
    assert abs(left_share.mean() - 0.5) < 0.02


def test_random_crop_falls_back_to_the_centre():
    # Areas above four squares never fit.
    rng = np.random.default_rng(0)
    assert transforms.random_crop(100, 400, rng, (4.5, 5.0)) == (0, 133, 100, 133)
    assert transforms.random_crop(400, 100, rng, (4.5, 5.0)) == (133, 0, 133, 100)
    assert transforms.random_crop(90, 100, rng, (4.5, 5.0)) == (0, 0, 90, 100)


@pytest.mark.parametrize(
    "image, mask",
    [
        (np.zeros((4, 4), np.uint8), None),
        (np.zeros((4, 4, 3), np.float32), None),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8)),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.int32)),
    ],
)
def test_wrong_arrays_are_refused(image, mask):
    with pytest.raises(ValueError, match="must be"):
        transforms.evaluation_view(image, mask)
