"""Damaged files of a prepared data set, for whoever opens it."""

import json

import numpy as np
import pytest
from damage import damaged_bytes, damaged_tree, right_or_one_line
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data_pipelines.building.build import build
from data_pipelines.building.masks import labels_in_view
from data_pipelines.building.verify import verify
from data_pipelines.records import PreparedSplit, prepared_directory
from data_pipelines.sets.folder import Folder

NAMES = ("train/a", "train/b", "val/c")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Three small images with masks: -> their directories, and that of the prepared data set."""
    home = tmp_path_factory.mktemp("prepared")
    for number, name in enumerate(NAMES):
        indices = np.zeros((8, 9), np.uint8)
        indices[2:5, 1 : 4 + number], indices[6:] = 1, 2
        for folder, picture in (("images", indices * 99), ("masks", indices)):
            path = home / folder / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    options = {"source": home / "images", "masks": home / "masks", "data_dir": home / "data"}
    build(Folder(**options))
    return options, prepared_directory("folder", home / "data")


@pytest.mark.parametrize("suffix", ["json", "array_record*"])
@given(data=st.data())
def test_damaged_files(prepared, suffix, data):
    options, directory = prepared
    path = data.draw(st.sampled_from(sorted(directory.glob(f"*.{suffix}"))))
    whole = path.read_bytes()
    if suffix == "json" and data.draw(st.booleans()):
        damaged = json.dumps(data.draw(damaged_tree(json.loads(whole)))).encode()
    else:
        damaged = data.draw(damaged_bytes(whole))
    path.write_bytes(damaged)
    try:
        with right_or_one_line():
            verify(directory)
        for split in ("train", "validation"):
            with right_or_one_line():
                source = PreparedSplit(directory, split)
                for index in range(len(source)):
                    sample = source[index]
                    if source.num_masks:
                        labels_in_view(sample["classes"], sample["mask"], source.num_masks - 1)
        with right_or_one_line():
            build(Folder(**options))
    finally:
        path.write_bytes(whole)
