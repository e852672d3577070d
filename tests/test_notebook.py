"""The notebook: empty as stored, and executed from start to end as a reader does it."""

import os
import pathlib

import nbclient
import nbformat
import numpy as np
import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]
NOTEBOOK = REPOSITORY / "experiments" / "colab.ipynb"


@pytest.fixture
def notebook():
    """The notebook as it is stored."""
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook, text):
    """The outputs of the only cell that contains `text`."""
    (cell,) = (cell for cell in code_cells(notebook) if text in cell.source)
    return cell.outputs


def printed(outputs):
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_stored_without_outputs(notebook):
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.outputs == [] and cell.execution_count is None
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_runs_and_the_model_learns(notebook, tmp_path, monkeypatch):
    """From another folder, like a reader's, and without a place to install from."""
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY), prepend=os.pathsep)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # the kernel's own draws into the notebook
    (cell,) = (cell for cell in code_cells(notebook) if "config.steps = 400" in cell.source)
    cell.source = cell.source.replace("400", "160")  # enough to see that it learns
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, resources=resources).execute()

    assert outputs_of(notebook, "SOURCE =") == []  # nothing to install
    pictures = [
        output
        for cell in code_cells(notebook)
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 6
    assert all(len(picture.data["image/png"]) > 20_000 for picture in pictures)
    (live,) = outputs_of(notebook, "meet_held_out(0)")
    assert live in pictures

    head, *rows = printed(outputs_of(notebook, "'before':")).splitlines()
    assert head.split() == ["before", "after"]
    scores = {name: (float(before), float(after)) for name, before, after in map(str.split, rows)}
    assert list(scores) == ["ari", "fg_ari", "mbo", "miou"]
    before, after = np.mean(list(scores.values()), axis=0)
    assert after > before + 3
    assert list(tmp_path.iterdir()) == []
