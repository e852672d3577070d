"""What is read from a compiled program: every line once, loops as often as they run."""

import collections

import pytest

from experiments.benchmarks.compiled_text import parse, place, size, summarize

TEXT = """HloModule jit_step, is_scheduled=true

%body (state: (s32[], f32[8,4])) -> (s32[], f32[8,4]) {
  %state = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) parameter(0)
  %kept = f32[8,4]{1,0:T(8,128)} get-tuple-element(%state), index=1
  %more = f32[8,4]{1,0:T(8,128)} fusion(%kept), kind=kLoop, calls=%inner, metadata={op_name="jit(step)/jvp(DIAS)/DIAS.finish/decoder/layer_2/norm1/mul"}, backend_config={"estimated_cycles":"10"}
  ROOT %both = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) tuple(%state, %more)
}

ENTRY %main (input: f32[8,4]) -> f32[8,4] {
  %input = f32[8,4]{1,0:T(8,128)} parameter(0)
  %near = f32[8,4]{1,0:T(8,128)S(1)} copy(%input), metadata={op_name="jit(step)/transpose(jvp(DIAS))/backbone/block_11/dot"}, backend_config={"estimated_cycles":"7"}
  %sum = (f32[8,4]{1,0:T(8,128)S(1)}, /*index=1*/bf16[2]{0:T(128)S(1)}) all-reduce(%near, %near), channel_id=1
  %loop = (s32[]{:T(128)}, f32[8,4]{1,0:T(8,128)}) while(%sum), condition=%until, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %last = f32[8,4]{1,0:T(8,128)} get-tuple-element(%loop), index=1
}
"""  # noqa: E501


def test_everything_is_counted_as_often_as_it_runs():
    program = summarize(TEXT)
    assert program.cycles == 7 + 3 * 10
    assert program.costs == [
        (30, 3, "decoder/layer/norm1", "fusion"),
        (7, 1, "backward backbone/block", "copy"),
        *[cost for cost in program.costs if not cost[0]],
    ]
    assert program.hbm_bytes == 128 + 3 * 2 * 128  # the copy reads, the loop reads and writes
    assert program.collectives == collections.Counter({"all-reduce": 1})
    assert program.collective_bytes == 2 * 128
    assert program.unknown_loops == 0


def test_a_loop_of_unknown_length_is_that_over_the_parts_of_a_batch():
    text = TEXT.replace("known_trip", "other")
    for parts in (1, 4):
        program = summarize(text, parts)
        assert program.cycles == 7 + parts * 10 and program.unknown_loops == 1


def test_types_of_several_arrays_are_one_type():
    computations, entry = parse(TEXT)
    assert entry == "main"
    summed = computations["main"][2]
    assert summed.kind == "all-reduce" and summed.operands == ("near", "near")
    assert size(summed.result) == 0 and size(summed.result, everywhere=True) == 132


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("", "elsewhere"),
        ("jit(step)/shard_map/add", "elsewhere"),
        ("jit(step)/jvp(DIAS)/DIAS.run/backbone/block_3/norm1/rsqrt", "backbone/block/norm1"),
        ("jit(step)/transpose(jvp(DIAS))/decoder/while/body/layer_0/dot", "backward decoder/layer"),
    ],
)  # fmt: skip
def test_modules_are_found_in_paths(source, module):
    assert place(source) == module
