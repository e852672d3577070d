"""Differences between two sets of named arrays, and Markdown tables."""

import numpy as np

# A tensor's difference is taken relative to its largest magnitude, but not to less than this
# share of the largest of its kind: some gradients are zero but for rounding.
SMALLEST_SHARE = 1e-3


def markdown(header, rows):
    """A Markdown table of strings."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def difference_rows(ours, theirs):
    """One row a stage or group of parameters: name, size, largest and relative difference."""
    relative_to = scales(theirs)
    groups = {}
    for name in theirs:
        groups.setdefault(group(name), []).append(name)
    rows = []
    for title, names in groups.items():
        if np.issubdtype(theirs[names[0]].dtype, np.integer):
            rows.append(index_row(title, ours[title], theirs[title]))
            continue
        largest = {name: float(np.abs(ours[name] - theirs[name]).max()) for name in names}
        relative = max(largest[name] / (relative_to[name] or 1.0) for name in names)
        size = sum(theirs[name].size for name in names)
        rows.append([title, f"{size:,}", f"{max(largest.values()):.1e}", f"{relative:.1e}"])
    return rows


def index_row(title, ours, theirs):
    """A row for maps of indices: how many entries differ."""
    count = int((ours != theirs).sum())
    return [title, f"{theirs.size:,}", f"{count} differ", f"{count / theirs.size:.1e}"]
