"""The compiled step is lowered for accelerators that this machine does not have."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import pytest
from jax import export

from dias_jax.config.defaults import get_config
from dias_jax.losses import dias_objective
from dias_jax.models import layers
from dias_jax.models.build import build
from dias_jax.models.inputs import initialize
from dias_jax.runs.state import TrainState
from dias_jax.steps.training import train_step
from dias_jax.tasks.discovery import discovery_loss, objective_options
from dias_jax.tasks.video import VideoDiscovery
from dias_jax.training.optimizer import build_optimizer
from tests.tiny import make_tiny_config, make_tiny_video_config


def loss_of(config, model):
    """The loss of an image config without its data, or of a drawn video config."""
    if config.model.kind == "video":
        return VideoDiscovery(config).loss_fn
    objective = functools.partial(dias_objective, **objective_options(config))
    return functools.partial(discovery_loss, model=model, objective=objective)


def step_and_shapes(config):
    """`train_step` of a config and the shapes of its arguments; no array is made."""
    model, optimizer = build(config.model), build_optimizer(config)
    step = functools.partial(
        train_step,
        loss_fn=loss_of(config, model),
        optimizer=optimizer,
        accumulation=config.accumulation,
    )

    def arguments():
        key = jax.random.key(config.seed)
        variables = initialize(model, key, image_size=config.data.image_size)
        state = TrainState(
            step=jnp.int32(0), optimizer_state=optimizer.init(variables["params"]), **variables
        )
        side, size = config.data.image_size, config.batch_size
        frames = (config.data.clip_frames,) if config.model.kind == "video" else ()
        batch = {
            "image": jnp.zeros((size, *frames, side, side, 3), jnp.uint8),
            "index": jnp.zeros(size, jnp.int32),
            "replaced": jnp.zeros(size, bool),
        }
        return state, batch, key

    return step, jax.eval_shape(arguments)


def lower(config, *platforms):
    """The step of `config` as exported for these platforms."""
    step, shapes = step_and_shapes(config)
    compiled = jax.jit(functools.partial(step, axis_name=None), donate_argnums=0)
    return export.export(compiled, platforms=platforms)(*shapes)


@pytest.mark.parametrize("make_config", [make_tiny_config, make_tiny_video_config])
def test_the_tiny_step_is_lowered(make_config):
    exported = lower(make_config(), "tpu", "cuda")
    assert exported.platforms == ("tpu", "cuda")
    assert "stablehlo." in exported.mlir_module()


def test_attention_is_lowered_for_the_platform_that_is_asked_for():
    tokens = jnp.zeros((2, 5, 8))
    attention = jax.jit(functools.partial(layers.attend, heads=4))
    for platform, num_products in [("cpu", 8), ("tpu", 2), ("cuda", 2)]:
        text = attention.trace(tokens, tokens, tokens).lower(lowering_platforms=(platform,))
        assert text.compiler_ir("hlo").as_hlo_text().count(" dot(") == num_products


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_the_published_step_of_coco_is_lowered(platform, dtype):
    config = get_config()
    config.model.dtype = dtype
    assert lower(config, platform).platforms == (platform,)


@pytest.mark.slow
def test_the_tiny_step_is_compiled_for_a_tpu(tiny_config):
    if importlib.util.find_spec("libtpu") is None:
        pytest.skip("libtpu is absent: pip install libtpu compiles for a TPU without one")
    from jax.experimental import topologies

    device = topologies.get_topology_desc("v5e:2x2", "tpu").devices[0]
    step, shapes = step_and_shapes(tiny_config)
    sharding = jax.sharding.SingleDeviceSharding(device)
    compiled = jax.jit(
        functools.partial(step, axis_name=None), in_shardings=sharding, out_shardings=sharding
    )
    compiled.lower(*shapes).compile()
