"""What XLA's text of a compiled program tells: cycles, traffic and where both come from.

The text is that of `compiled.as_text()`: computations of one instruction a line. For TPUs the
compiler writes its own estimate of cycles beside each instruction; arrays that it keeps on the chip
have the memory space 1 in their layout, S(1), all others lie in HBM.
"""

import collections
import dataclasses
import math
import re

HEADER = re.compile(r"^(ENTRY )?%(\S+) \(.*\{$")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%(\S+) = (.*)$")
ARRAY = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\](\{[^}]*\})?")
BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2}
BYTES |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
WRAPPERS = {
    "shard_map",
    "closed_call",
    "checkpoint",
    "rematted_computation",
    "while",
    "body",
    "cond",
    "branch_0_fun",
    "branch_1_fun",
}
# They move nothing: names of arrays, or the end of something that has been counted.
SILENT = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"}


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation."""

    name: str
    result: str  # its type, arrays with layouts
    kind: str  # fusion, copy, all-reduce ...
    operands: tuple[str, ...]  # names
    cycles: int  # estimated by the compiler, 0 where it says nothing
    source: str  # the path of the traced operation
    loop: tuple[str, int | None] | None  # of a while: its body, and how often where it is known


def leading_type(text):
    """ "TYPE KIND(...": -> (TYPE, the rest); a type of several arrays is in parentheses."""
    if not text.startswith("("):
        return text.split(" ", 1)
    depth = 0
    for place, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return text[: place + 1], text[place + 2 :]
    raise ValueError(f"no end of a type in {text[:80]}")


def found(pattern, text, default):
    """The first group of the first match."""
    match = re.search(pattern, text)
    return match[1] if match else default


def parse_instruction(name, text):
    """An Instruction of what stands behind "%NAME = "."""
    result, rest = leading_type(text)
    kind, rest = rest.split("(", 1)
    operands = tuple(re.findall(r"%([\w.\-]+)", rest.split("), ")[0]))
    loop = None
    if kind == "while":
        times = found(r'"known_trip_count":\{"n":"(\d+)"', rest, None)
        loop = found(r"body=%([\w.\-]+)", rest, ""), times and int(times)
    cycles = int(found(r'"estimated_cycles":"(\d+)"', rest, 0))
    return Instruction(
        name, result, kind, operands, cycles, found(r'op_name="(.*?)"', rest, ""), loop
    )


def parse(text):
    """-> ({computation: [Instruction]}, name of the one that is entered)."""
    computations, entry, current = {}, None, []
    for line in text.splitlines():
        if header := HEADER.match(line):
            current = computations[header[2]] = []
            entry = header[2] if header[1] else entry
        elif match := INSTRUCTION.match(line):
            current.append(parse_instruction(*match.groups()))
    return computations, entry


def executed(computations, name, times=1, length=1):
    """(Instruction, how often) of everything that runs.

    length: of the outermost loops of which the text does not tell it; others count once.
    """
    for instruction in computations[name]:
        if instruction.loop:
            body, count = instruction.loop
            yield from executed(computations, body, times * (count or length))
        yield instruction, times


def size(type_text, everywhere=False):
    """Bytes of the arrays of a type that lie in HBM, or of all."""
    total = 0
    for kind, shape, layout in ARRAY.findall(type_text):
        if kind in BYTES and (everywhere or "S(" not in layout):
            total += BYTES[kind] * math.prod(int(n) for n in shape.split(",") if n)
    return total


def traffic(instruction, types):
    """Bytes that an instruction reads from HBM and writes to it; `types`: {name: type}."""
    if instruction.kind in SILENT or instruction.kind.endswith("-done"):
        return 0
    read = sum(size(types.get(name, "")) for name in instruction.operands)
    if instruction.kind.endswith("-start"):  # its result names the operand too
        return read or size(instruction.result)
    return read + size(instruction.result)


def place(source):
    """The module of a path of traced operations, forward or backward, without layers' numbers."""
    steps = [step for step in source.split("/")[:-1] if "(" not in step and "." not in step]
    module = "/".join(re.sub(r"_\d+$", "", step) for step in steps if step not in WRAPPERS)
    return ("backward " if "transpose(" in source else "") + (module or "elsewhere")


@dataclasses.dataclass(frozen=True)
class Program:
    """Sums over everything that one chip does in a step."""

    cycles: int
    hbm_bytes: float
    collectives: collections.Counter  # {kind: how many}
    collective_bytes: float
    unknown_loops: int
    costs: list  # (cycles or bytes, how many, module, kind), the most expensive first


def summarize(text, parts=1):
    """A Program of a compiled text; its costs are bytes where no cycles are told.

    parts: how often the loop over parts of a batch runs, of which the text does not tell.
    """
    computations, entry = parse(text)
    types = {i.name: i.result for lines in computations.values() for i in lines}
    cycles, moved, counts = (collections.Counter() for _ in range(3))
    collectives, collective_bytes, unknown = collections.Counter(), 0, 0
    for instruction, times in executed(computations, entry, length=parts):
        key = place(instruction.source), instruction.kind
        cycles[key] += times * instruction.cycles
        counts[key] += times
        moved[key] += times * traffic(instruction, types)
        unknown += bool(instruction.loop) and instruction.loop[1] is None
        kind = instruction.kind.removesuffix("-start")
        if kind in COLLECTIVES:
            collectives[kind] += times
            collective_bytes += times * sum(size(types[n], True) for n in instruction.operands)
    told = cycles if cycles.total() else moved
    costs = [(value, counts[key], *key) for key, value in told.most_common()]
    return Program(cycles.total(), moved.total(), collectives, collective_bytes, unknown, costs)
