"""Training goes on past a damaged sample: the next readable one stands in for it."""

import logging

from dias_jax.errors import UserError

log = logging.getLogger(__name__)

MAX_NEIGHBOURS = 16  # more damage in a row is no accident: a file is missing, or a disk


class ReadableSamples:
    """A source whose unreadable samples are replaced.

    Which sample stands in depends on the data alone, so it is the same for every thread, host and
    epoch. Each damaged sample is named in one warning. `samples[i]` is the source's dict, of which
    "index" names the sample it is, and "replaced" bool. source: random access, raises UserError for
    a sample that cannot be read; num_neighbours: following samples to try, 0: the error is passed
    on. Reading raises UserError when neither the sample nor a neighbour can be read.
    """

    def __init__(self, source, num_neighbours):
        self.source, self.num_neighbours, self.named = source, num_neighbours, set()

    def __len__(self):
        return len(self.source)

    def __getitem__(self, index):
        for step in range(self.num_neighbours):
            position = (int(index) + step) % len(self)
            try:
                return self.source[position] | {"replaced": step > 0}
            except UserError as error:
                self._name(position, error)
        last = (int(index) + self.num_neighbours) % len(self)
        return self.source[last] | {"replaced": self.num_neighbours > 0}

    def _name(self, position, error):
        if position not in self.named:
            self.named.add(position)
            log.warning("%s (until then the next readable sample takes its place)", error)
