"""The demonstration from start to end, with a tiny model in place of the shipped one."""

import jax
from absl import flags
from absl.testing import flagsaver

from dias_jax.models import build, shipped
from dias_jax.state import initialize
from experiments import demo


def test_demo_names_files_and_rows(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "package")
    variables = initialize(build(tiny_config.model), jax.random.key(0), 32)
    shipped.save("shapes", variables, {"config": tiny_config.to_dict(), "step": 1_234})
    monkeypatch.setattr(demo, "fresh_config", lambda: tiny_config)
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["demo"])
    with flagsaver.flagsaver(out=str(tmp_path / "out"), scenes=4):
        demo.main([])
    lines = capsys.readouterr().out.splitlines()
    table = lines[lines.index("Look at") - 6 : lines.index("Look at") - 1]
    rows = [line for line in lines if line.startswith("| ")]
    assert sum(row.startswith("| shipped, 1,234 steps") for row in rows) == 4
    assert sum(row.startswith("| fresh, 6 steps") for row in rows) == 4
    assert len(table) == 5
    files = lines[lines.index("Look at") + 1 :]
    assert len(files) == 5
    for name in files:
        assert (tmp_path / "out" / name).exists(), name


def test_the_fresh_run_is_a_short_one_of_the_default():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["demo"])
    with flagsaver.flagsaver(steps=40):
        config = demo.fresh_config()
    assert (config.steps, config.evaluation.every) == (40, 10)
    assert config.model.to_dict() == demo.shapes.get_config().model.to_dict()
