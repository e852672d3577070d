"""Where numbers and pictures of a run go: metrics.jsonl, TensorBoard, images/."""

import json
import logging
import math

from etils import epath

from dias_jax.files import appearing_file, is_remote

FILE_NAME = "metrics.jsonl"
DAMAGED_NAME = "metrics.damaged"  # what a torn metrics file held besides lines
log = logging.getLogger(__name__)


class Writer:
    """Appends to a work directory; lines after `start_step` of an interrupted run are dropped."""

    def __init__(self, workdir, start_step):
        self.workdir = epath.Path(workdir)
        (self.workdir / "images").mkdir(parents=True, exist_ok=True)
        self.path = self.workdir / FILE_NAME
        forget_after(self.path, start_step)
        # Here, since tensorboardX imports torch where that is: seconds that other commands spare.
        from dias_jax.runs.tensorboard import TensorBoard

        self.tensorboard = TensorBoard(self.workdir, start_step + 1)

    def scalars(self, step, split, values, protocol=None):
        """One line of metrics.jsonl, and one TensorBoard scalar or histogram per value.

        A list holds the shares of samples with 1, 2 ... (of slots, say). What is not finite is
        left out.
        """
        values = {name: value for name, value in values.items() if is_finite(value)}
        notes = {} if protocol is None else {"protocol": protocol}
        self.line(step, split, values=values, **notes)
        for name, value in values.items():
            add = self.tensorboard.shares if isinstance(value, list) else self.tensorboard.scalar
            add(step, f"{split}/{name}", value)

    def line(self, step, split, **content):
        """One line of metrics.jsonl."""
        text = json.dumps({"step": step, "split": split} | content) + "\n"
        if is_remote(self.path):  # objects cannot grow
            self.path.write_text((self.path.read_text() if self.path.exists() else "") + text)
            return
        with self.path.open("a") as file:
            file.write(text)

    def picture(self, step, split, picture):
        """images/step_*.png and a TensorBoard image of a PIL image."""
        with (self.workdir / "images" / f"step_{step:07d}.png").open("wb") as file:
            picture.save(file, "PNG")
        self.tensorboard.picture(step, split, picture)

    def close(self):
        """Flush everything."""
        self.tensorboard.close()


def is_finite(value):
    """Whether a number or a list of numbers is."""
    return all(map(math.isfinite, value if isinstance(value, list) else [value]))


def forget_after(path, step):
    """Drop the lines of a metrics file that a continued run will write again.

    Pieces that are no such lines, as a full disk or a power cut leaves them, are moved to
    metrics.damaged beside it.
    """
    if not path.exists():
        return
    pieces = path.read_bytes().splitlines(keepends=True)
    steps = [step_of(piece) for piece in pieces]
    damaged = [piece for piece, found in zip(pieces, steps) if found is None and piece.strip()]
    kept = [piece for piece, found in zip(pieces, steps) if found is not None and found <= step]
    if damaged:
        aside = path.with_name(DAMAGED_NAME)
        before = aside.read_bytes() if aside.exists() else b""
        aside.write_bytes(before + b"".join(damaged))
        log.warning("%s: %d damaged lines were moved to %s", path, len(damaged), aside)
    with appearing_file(path) as incomplete:
        incomplete.write_bytes(b"".join(kept))


def step_of(piece):
    """The step of a line of metrics (bytes), or None where it is none."""
    try:
        step = json.loads(piece)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return step if piece.endswith(b"\n") and isinstance(step, int) else None
