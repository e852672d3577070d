"""What a profile says takes longest."""

import collections
import gzip
import json

LONGEST = 10  # instructions


def longest_instructions(folder):
    """The newest profile below a folder: -> [[instruction, calls, milliseconds, percent]].

    Of what XLA ran, on all devices together; a loop is counted beside what it holds. Of what a GPU
    is given in one buffer of commands, kernels.
    """
    traces = sorted(folder.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
    if not traces:
        return []
    with gzip.open(traces[-1], "rt") as file:
        events = json.load(file)["traceEvents"]
    time_of, calls_of = collections.Counter(), collections.Counter()
    for event in events:
        name = event.get("args", {}).get("hlo_op")
        if name is not None:
            name = event["name"] if name.startswith("command_buffer") else name
            time_of[name] += event["dur"]  # microseconds
            calls_of[name] += 1
    total = sum(time_of.values())
    return [
        [name, calls_of[name], f"{spent / 1e3:.2f}", f"{100 * spent / total:.1f}"]
        for name, spent in time_of.most_common(LONGEST)
    ]
