"""The compiled step is lowered for accelerators that this machine does not have."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax import export

from dias_jax.config.defaults import get_config
from dias_jax.errors import UserError
from dias_jax.models import attention
from experiments.benchmarks import ahead, step_shapes
from experiments.benchmarks.chips import describe_topology
from experiments.benchmarks.compiled_text import summarize
from tests.tiny import make_tiny_config, make_tiny_video_config


def lower(config, *platforms):
    """The step of `config` as exported for these platforms."""
    step, shapes = step_shapes.training_of(config)
    compiled = jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    return export.export(compiled, platforms=platforms)(*shapes)


@pytest.mark.parametrize("make_config", [make_tiny_config, make_tiny_video_config])
def test_the_tiny_step_is_lowered(make_config):
    exported = lower(make_config(), "tpu", "cuda")
    assert exported.platforms == ("tpu", "cuda")
    assert "stablehlo." in exported.mlir_module()


def test_attention_is_lowered_for_the_platform_that_is_asked_for():
    tokens = jnp.zeros((2, 5, 8))
    attend = jax.jit(functools.partial(attention.attend, heads=4))
    for platform, num_products in [("cpu", 8), ("tpu", 8), ("cuda", 2)]:
        text = attend.trace(tokens, tokens, tokens).lower(lowering_platforms=(platform,))
        assert text.compiler_ir("hlo").as_hlo_text().count(" dot(") == num_products


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_published_step_of_coco_is_lowered(dtype):
    config = get_config()
    config.model.dtype = dtype
    assert lower(config, "tpu", "cuda").platforms == ("tpu", "cuda")


@pytest.mark.slow
@pytest.mark.parametrize("step_of", [step_shapes.training_of, step_shapes.evaluation_of])
def test_the_tiny_steps_are_compiled_for_tpus(tiny_config, step_of):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is absent: pip install libtpu compiles for a TPU without one")
    chips, chip = describe_topology("v5e:2x4")
    is_training = step_of is step_shapes.training_of
    compiled = ahead.compile_ahead(*step_of(tiny_config), chips, split_results=not is_training)
    program = summarize(compiled.as_text())
    assert program.cycles > 100_000 and program.collectives["all-reduce"] >= 1
    assert any("backbone" in module for _, _, module, _ in program.costs)
    assert any("backward" in module for _, _, module, _ in program.costs) == is_training
    text = ahead.report(compiled, chip, images=1, flops=1e9)
    assert "bound by: cycles, estimated" in text and "DOES NOT FIT" not in text


@pytest.mark.slow
@pytest.mark.parametrize("topology", ["h200:1", "a100:2"])
def test_the_tiny_steps_are_compiled_for_gpus(tiny_config, monkeypatch, topology):
    if importlib.util.find_spec("jax_cuda13_plugin") is None:
        pytest.skip("JAX for CUDA is absent: the extra cuda13 compiles for a GPU without one")
    monkeypatch.setattr(attention, "has_cudnn_attention", lambda: True)
    tiny_config.model.dtype = "bfloat16"
    tiny_config.model.decoder.heads = 2  # cuDNN takes no narrower ones
    step, shapes = step_shapes.training_of(tiny_config)
    gpus, gpu = describe_topology(topology)
    compiled = ahead.compile_ahead(step, shapes, gpus)
    program = summarize(compiled.as_text())
    assert "__cudnn$fmhaSoftmaxBackward" in compiled.as_text()
    assert program.cycles == 0 and program.hbm_bytes > 1e6
    assert bool(program.collectives["all-reduce"]) == (len(gpus) > 1)
    flops = ahead.operations_of(compiled, step, shapes, images=1)
    text = ahead.report(compiled, gpu, images=1, flops=flops)
    assert "cycles" not in text and "% of traffic" in text and flops > 1e6


def test_a_topology_that_is_not_known_is_named():
    with pytest.raises(UserError, match="--topology=v2:2x2: known are v5e, v5p, a100, h100, h200"):
        describe_topology("v2:2x2")
