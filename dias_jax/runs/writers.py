"""Where numbers and pictures of a run go: metrics.jsonl, TensorBoard, images/."""

import json
import pathlib

import numpy as np
from tensorboardX import SummaryWriter

FILE_NAME = "metrics.jsonl"


class Writer:
    """Appends to a work directory; lines after `start_step` of an interrupted run are dropped."""

    def __init__(self, workdir, start_step):
        self.workdir = pathlib.Path(workdir)
        (self.workdir / "images").mkdir(parents=True, exist_ok=True)
        self.path = self.workdir / FILE_NAME
        forget_after(self.path, start_step)
        self.tensorboard = SummaryWriter(str(self.workdir), purge_step=start_step + 1)

    def scalars(self, step, split, values, protocol=None):
        """One line of metrics.jsonl, and one TensorBoard scalar or histogram per value.

        A list holds the shares of samples with 1, 2 ... (of slots, say).
        """
        line = {"step": step, "split": split, "values": values}
        if protocol is not None:
            line["protocol"] = protocol
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        for name, value in values.items():
            if isinstance(value, list):
                per_mille = np.round(1000 * np.asarray(value)).astype(int)
                counted = np.repeat(np.arange(1, len(value) + 1), per_mille)
                self.tensorboard.add_histogram(f"{split}/{name}", counted, step)
            else:
                self.tensorboard.add_scalar(f"{split}/{name}", value, step)

    def picture(self, step, split, picture):
        """images/step_*.png and a TensorBoard image of a PIL image."""
        picture.save(self.workdir / "images" / f"step_{step:07d}.png")
        self.tensorboard.add_image(split, np.asarray(picture), step, dataformats="HWC")

    def close(self):
        """Flush everything."""
        self.tensorboard.close()


def forget_after(path, step):
    """Drop the lines of a metrics file that a continued run will write again."""
    if path.exists():
        lines = path.read_text().splitlines()
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        path.write_text("".join(line + "\n" for line in kept))
