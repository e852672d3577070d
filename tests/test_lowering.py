"""The compiled step is lowered for accelerators that this machine does not have."""

import functools
import importlib.util
from unittest import mock

import jax
import jax.numpy as jnp
import pytest
from jax import export

from dias_jax.config.defaults import get_config
from dias_jax.errors import UserError
from dias_jax.metrics import count_maps
from dias_jax.models import attention
from dias_jax.models.layers import gelu
from experiments.benchmarks import ahead, step_shapes
from experiments.benchmarks.chips import describe_topology
from experiments.benchmarks.compiled_text import summarize
from tests.tiny import make_tiny_config, make_tiny_video_config


def lower(config, *platforms):
    """The step of `config` as exported for these platforms.

    Without cuDNN, whatever GPU is here: its kernel is for one platform at a time.
    """
    step, shapes = step_shapes.training_of(config)
    compiled = jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    with mock.patch.object(attention, "has_cudnn_attention", return_value=False):
        return export.export(compiled, platforms=platforms)(*shapes)


def lowered_text(function, platform, *arguments):
    """What `function` becomes on that platform."""
    traced = jax.jit(function).trace(*arguments)
    return traced.lower(lowering_platforms=(platform,)).as_text()


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


def test_what_gpus_do_in_another_way(monkeypatch):
    x = jnp.zeros((2, 5, 8), jnp.bfloat16)
    monkeypatch.setattr(attention, "attend_by_cudnn", lambda heads, q, k, v: jnp.sin(v))
    attend = functools.partial(attention.attend, heads=4)
    maps = jnp.zeros((64, 4, 4), int)
    count = functools.partial(count_maps, num_slots=3, num_masks=2)
    for platform, is_gpu in (("cuda", True), ("tpu", False), ("cpu", False)):
        assert ("stablehlo.sine" in lowered_text(attend, platform, x, x, x)) == is_gpu
        assert ("stablehlo.tanh" in lowered_text(gelu, platform, x)) != is_gpu
        at_once = "tensor<32x1x16x3xi1>" in lowered_text(count, platform, maps, maps)
        assert at_once == is_gpu


def test_the_gradient_of_gelu_computes_anew_what_it_needs():
    x = jnp.zeros((2, 8), jnp.bfloat16)
    text = lowered_text(jax.grad(lambda x: gelu(x).sum()), "cuda", x)
    assert "optimization_barrier" in text


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
    # It is for `describe_topology` to say so; undone with all that it patches.
    monkeypatch.setattr(attention, "has_cudnn_attention", lambda: False)
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


@pytest.mark.parametrize("name", ["h200", "h200:0", "h200:-1", "h200:2x4", "h200:x"])
def test_gpus_are_a_number_of_one_machine(name):
    with pytest.raises(UserError, match=f"--topology={name}: say how many GPUs of one machine"):
        describe_topology(name)


def test_a_topology_that_is_not_known_is_named():
    with pytest.raises(UserError, match="--topology=v2:2x2: known are v5e, v5p, a100, h100, h200"):
        describe_topology("v2:2x2")
