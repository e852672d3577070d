"""The event file of a run, for TensorBoard."""

import time

import numpy as np
from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog


class TensorBoard:
    """An event file, written at once: tensorboardX's own thread would hide a full disk and wait."""

    def __init__(self, folder, first_step):
        self.file = EventsWriter(str(folder / "events"))
        restart = SessionLog(status=SessionLog.START)  # hides what an earlier file has from there
        self.write(Event(wall_time=time.time(), step=first_step, session_log=restart))

    def scalar(self, step, name, value):
        """One number."""
        self.add(step, summary.scalar(name, value))

    def shares(self, step, name, values):
        """A histogram of the shares of samples with 1, 2 ... of something."""
        per_mille = np.round(1000 * np.asarray(values)).astype(int)
        counted = np.repeat(np.arange(1, len(values) + 1), per_mille)
        self.add(step, summary.histogram(name, counted, "auto"))

    def picture(self, step, name, picture):
        """A PIL image."""
        self.add(step, summary.image(name, np.asarray(picture), dataformats="HWC"))

    def add(self, step, content):
        """One summary of tensorboardX."""
        self.write(Event(wall_time=time.time(), step=step, summary=content))

    def write(self, event):
        """Append an event, which from then on survives this process."""
        self.file.write_event(event)
        self.file.flush()

    def close(self):
        """Close the file."""
        self.file.close()
