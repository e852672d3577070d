"""What happens to files: bytes and JSON that are damaged in some places, as strategies."""

import contextlib
import copy

from hypothesis import strategies as st

from dias_jax.errors import UserError

JUNK = (
    *(None, True, False, 0, 1, -1, 1.5, 2**31, 10**30, float("nan"), float("inf"), -1e300),
    *("", "x", "7", "..", "../../x.png", "/etc/passwd", "a\0b", "\ud800", "a\nb", "o" * 99),
    *([], {}, [[]], [None], {"a": 1}, [0] * 6, [[1e9] * 6]),
)


@st.composite
def damaged_bytes(draw, content):
    """`content` with one to four damages: bits, ends, parts that are new, doubled, zero or gone."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        part = slice(start, start + draw(st.integers(1, 64)))
        kind = draw(st.sampled_from(("flip", "truncate", "insert", "double", "zero", "remove")))
        if kind == "flip" and start < len(content):
            content[start] ^= 1 << draw(st.integers(0, 7))
        elif kind == "truncate":
            del content[start:]
        elif kind == "insert":
            content[start:start] = draw(st.binary(min_size=1, max_size=8))
        elif kind == "double":
            content[start:start] = content[part]
        elif kind == "zero":
            content[part] = bytes(len(content[part]))
        else:
            del content[part]
    return bytes(content)


@st.composite
def damaged_tree(draw, tree):
    """A JSON tree in which one to three nodes are other things, gone, or there twice."""
    root = [copy.deepcopy(tree)]
    for _ in range(draw(st.integers(1, 3))):
        holder, key = draw(st.sampled_from(list(_places(root))))
        kind = draw(st.sampled_from(("replace", "replace", "replace", "remove", "double")))
        if kind == "remove" and holder is not root:
            del holder[key]
        elif kind == "double" and isinstance(holder, list) and holder is not root:
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return root[0]


def _places(holder):
    """Every (dict or list, key or number) in a tree."""
    keys = range(len(holder)) if isinstance(holder, list) else list(holder)
    for key in keys:
        yield holder, key
        if isinstance(holder[key], (dict, list)):
            yield from _places(holder[key])


@contextlib.contextmanager
def right_or_one_line():
    """The block ends well, or with a UserError of one line; whatever else it raises is a fault."""
    try:
        yield
    except UserError as error:
        assert str(error) and "\n" not in str(error)
