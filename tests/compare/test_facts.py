"""What a report says of its making."""

import subprocess

import jax
import pytest

from dias_jax.compare.facts import checkout_name, list_facts


def test_command_and_versions():
    facts = "\n".join(list_facts(["--seed=1", "--out=two words"]))
    assert "python -m dias_jax.compare --seed=1 '--out=two words'" in facts
    assert f"jax {jax.__version__}" in facts
    assert "torch" not in facts and "Reference" not in facts


def test_a_checkout_is_named_with_its_commit(tmp_path):
    directory = tmp_path / "reference"
    directory.mkdir()
    assert checkout_name(directory) == "reference, not a git checkout"
    git = ["git", "-C", str(directory), "-c", "user.name=a", "-c", "user.email=a@b"]
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("needs git")
    assert checkout_name(directory) == "reference, commit unknown"
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert checkout_name(directory) == f"reference, commit {commit.strip()}"
