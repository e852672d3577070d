"""How commands end: one line, an exit code that says what to do."""

import errno
import io
import sys
import threading

import pytest
from absl import app, flags
from ml_collections import config_flags

from dias_jax import cli
from dias_jax.errors import Stopped, UserError


def raised(kind, *arguments):
    """An exception that went through a frame."""
    try:
        raise kind(*arguments)
    except BaseException as error:
        return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (raised(UserError, "x is wrong"), 2, "x is wrong"),
        (raised(Stopped, "stopped at step 3"), 75, "stopped at step 3"),
        (raised(KeyboardInterrupt), 130, "interrupted"),
        (raised(MemoryError), 2, "out of memory: give a smaller --config.batch_size"),
        (raised(RuntimeError, "RESOURCE_EXHAUSTED: 9 GB"), 2, "out of memory"),
        (raised(OSError, errno.ENOSPC, "full", "a.png"), 2, "a.png: no room on the disk: free"),
        (raised(OSError, errno.EACCES, "no", "a.png"), 2, "a.png: no permission"),
        (raised(OSError, errno.EROFS, "no", "a.png"), 2, "a.png: the disk is read-only"),
        (raised(OSError, errno.EEXIST, "no", "a"), 2, "a: is there already, as a file"),
        (raised(OSError, errno.EIO, "Input/output error", "a"), 2, "a: Input/output error"),
        (raised(ValueError, "what\nis this"), 1, "ValueError: what (.*test_cli.py:.*not foreseen"),
    ],
)
def test_every_error_is_a_line_and_a_code(error, code, words, monkeypatch, capsys):
    def fail(main, argv, flags_parser):
        raise error

    monkeypatch.setattr(app, "run", fail)
    for module in (sys, threading):
        monkeypatch.setattr(module, "excepthook", module.excepthook)  # `run` sets others
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BytesIO(), "ascii"))
    with pytest.raises(SystemExit) as end:
        cli.run(None)
    assert end.value.code == code
    sys.stderr.flush()
    line = sys.stderr.buffer.getvalue().decode()
    assert line.startswith("error: ") and line.count("\n") == 1
    for part in words.split(".*"):
        assert part in line
    print("\udcff")  # the name of a file that is no text
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == b"\\udcff\n"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("[1]", "gives a list, not a ConfigDict"),
        ("defaults.get_config().nothing", "no such key: nothing"),
        ("setattr(defaults.get_config(), 'nam', 1)", "no such key: nam"),
        ("defaults.get_config().steps_(", "never closed"),
        ("missing.thing", "NameError: name 'missing' is not defined"),
    ],
)
def test_what_is_wrong_in_an_experiment_file_is_one_line(tmp_path, code, words):
    path = tmp_path / "mine.py"
    imports = "from dias_jax.config import defaults"
    path.write_text(f"{imports}\n\ndef get_config():\n    return {code}\n")
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    with pytest.raises(UserError, match=words) as caught, cli.flag_errors():
        values(["x", f"--config={path}"])
        cli.check_is_config(values["config"].value)
    assert "\n" not in str(caught.value)


def test_empty_flags_and_stray_words_are_refused():
    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "", flag_values=values)
    values(["x", "--out="])
    with pytest.raises(UserError, match="--out= is empty"):
        cli.check_not_empty(values)
    with pytest.raises(UserError, match='"junk" is not understood'):
        cli.parse_flags(["x", "junk"])
