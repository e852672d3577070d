"""Differences between two sets of named arrays."""

import dataclasses

import numpy as np

# A tensor's difference is taken relative to its largest magnitude, but not to less than this
# share of the largest of its kind: some gradients are zero but for rounding.
SMALLEST_SHARE = 1e-3
# A shift of all queries alike moves no softmax over slots: the true gradient of this bias is zero.
# What is computed is rounding, which Adam scales up to steps of full size.
ZERO_GRADIENT = "aggregator/norm_slots/bias"


@dataclasses.dataclass(frozen=True)
class Difference:
    """How far a stage or a group of parameters is from the reference's."""

    name: str
    size: int  # numbers in it
    largest: float
    mean: float
    relative_largest: float
    relative_mean: float

    def cells(self):
        """A row of a table."""
        values = self.largest, self.mean, self.relative_largest, self.relative_mean
        return [self.name, f"{self.size:,}", *(f"{value:.1e}" for value in values)]


@dataclasses.dataclass(frozen=True)
class IndexDifference:
    """The same of a map of indices: how many entries differ."""

    name: str
    size: int
    count: int

    def cells(self):
        """A row of a table."""
        share = f"{self.count / self.size:.1e}"
        return [self.name, f"{self.size:,}", f"{self.count} differ", "", "", share]


def scales(arrays):
    """What each array's difference is relative to: {name: array} -> {name: float}.

    Names that begin alike up to the first "/" are of one kind.
    """
    magnitudes = {name: float(np.abs(array).max()) for name, array in arrays.items()}
    largest = {}
    for name, magnitude in magnitudes.items():
        kind = name.split("/")[0]
        largest[kind] = max(largest.get(kind, 0.0), magnitude)
    return {
        name: max(magnitude, SMALLEST_SHARE * largest[name.split("/")[0]])
        for name, magnitude in magnitudes.items()
    }


def group(name):
    """Parameters are reported by module: "gradients/decoder/layer_0/mlp/..." by its first three."""
    return "/".join(name.split("/")[:3])


def differences(ours, theirs):
    """{name: array} of both -> list of differences, one a stage or group of parameters.

    ZERO_GRADIENT is left out.
    """
    relative_to = scales(theirs)
    groups = {}
    for name in theirs:
        if not name.endswith(ZERO_GRADIENT):
            groups.setdefault(group(name), []).append(name)
    return [difference(title, names, ours, theirs, relative_to) for title, names in groups.items()]


def difference(title, names, ours, theirs, relative_to):
    """Of one group of arrays, each relative to its own scale."""
    size = sum(theirs[name].size for name in names)
    if np.issubdtype(theirs[names[0]].dtype, np.integer):
        return IndexDifference(title, size, int((ours[title] != theirs[title]).sum()))
    absolute = [np.abs(ours[name] - theirs[name]).ravel() for name in names]
    relative = [x / (relative_to[name] or 1.0) for name, x in zip(names, absolute)]
    absolute, relative = np.concatenate(absolute), np.concatenate(relative)
    values = absolute.max(), absolute.mean(), relative.max(), relative.mean()
    return Difference(title, size, *map(float, values))
