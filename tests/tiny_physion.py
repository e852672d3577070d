"""A folder of tiny videos in Physion's layout."""

import numpy as np

from data_pipelines.sets.physion import SCENARIOS
from data_pipelines.video_files import save_mp4

LABELS, READOUT_LABELS = "PhysionTest-Core/labels.csv", "readout_labels.csv"


def add_video(path, answer, length):
    """A video that gets brighter, red where the answer is yes, and blue otherwise."""
    frames = np.zeros((length, 32, 32, 3), np.uint8)
    frames[..., 0 if answer else 2] = 50 + 4 * np.arange(length)[:, None, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    save_mp4(path, frames, 30)


def write_physion(source, length, test="PhysionTest-Core", training="."):
    """One video a scenario in train, two in readout and test, and a glitchy one: -> the folder."""
    of_test, of_readout = [], []
    test, training = source / test, source / training
    for scenario in SCENARIOS:
        name = scenario.lower()
        add_video(training / f"{scenario}_training_MP4s" / f"{name}_0000_img.mp4", True, length)
        for number in (0, 1):
            answer = number == 0
            readout = training / f"{scenario}_readout_MP4s" / f"{name}_{number:04d}_img.mp4"
            add_video(readout, answer, length)
            of_readout.append((f"{name}_{number:04d}", answer))
            for_models = test / scenario / "mp4s-redyellow"
            add_video(for_models / f"{name}-redyellow_{number:04d}_img.mp4", not answer, length)
            (test / scenario / "mp4s").mkdir(exist_ok=True)
            (test / scenario / "mp4s" / f"{name}_{number:04d}_img.mp4").write_bytes(b"for people")
            of_test.append((f"{name}_{number:04d}_img", not answer))
    add_video(test / "Drape/mp4s-redyellow/test10-redyellow_0014_img.mp4", True, length)
    of_test.append(("test10_0014_img", True))
    for table, labels in (
        (test / "labels.csv", of_test),
        (training / READOUT_LABELS, of_readout),
    ):
        lines = [",ground truth outcome", *(f"{name},{answer}" for name, answer in labels)]
        table.write_text("\n".join(lines) + "\n")
    return source
