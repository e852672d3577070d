"""Damaged masks, and any indices that a mask may hold."""

import io

import numpy as np
from damage import damaged_bytes, right_or_one_line
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from data_pipelines.building.masks import boxes_of, labels_in_view, renumber
from data_pipelines.building.verify import find_problem
from data_pipelines.images import decode_indices

INDICES = np.arange(99, dtype=np.uint8).reshape(9, 11) % 7


def encode(palette):
    picture, stream = Image.fromarray(INDICES), io.BytesIO()
    if palette:
        picture.putpalette(list(range(60)))
    picture.save(stream, "PNG")
    return stream.getvalue()


@given(st.sampled_from([encode(False), encode(True)]).flatmap(damaged_bytes))
def test_damaged_masks(encoded):
    with right_or_one_line():
        indices = decode_indices(encoded, "x.png")
        assert indices.dtype == np.uint8 and indices.ndim == 2
        renumber(indices, "x.png")


@given(
    arrays.arrays(np.uint8, arrays.array_shapes(min_dims=2, max_dims=2, max_side=20)),
    st.sets(st.integers(0, 255), max_size=3),
)
def test_any_indices_become_a_consistent_sample(indices, not_annotated):
    with right_or_one_line():
        mask, objects = renumber(indices, "x.png", not_annotated=tuple(not_annotated - {0}))
        boxes = boxes_of(mask, len(objects))
        image = np.zeros((*mask.shape, 3), np.uint8)
        sample = {"image": image, "mask": mask, "classes": objects, "boxes": boxes}
        assert find_problem(sample) is None
        classes, in_view = labels_in_view(objects, mask, len(objects) + 2)
        assert classes.tolist() == [*objects, -1, -1]
        np.testing.assert_array_equal(in_view[: len(objects)], boxes)
