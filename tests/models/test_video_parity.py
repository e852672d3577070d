"""Video models against numbers of RandSF.Q and of baselines in PyTorch, where these are present.

Tolerances are relative to an array's largest magnitude. Float32 rounding in another order of
summation is 1e-6 or less; a LayerNorm epsilon of 1e-6 instead of 1e-5 shows as 2e-5 or more.
"""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from dias_jax import video_losses
from dias_jax.interop import load_torch_randsfq
from dias_jax.interop.torch_dias import common_entries, gaussian_entries
from dias_jax.interop.torch_randsfq import box_entries, transition_entries
from dias_jax.models.dias import Reinit
from dias_jax.models.draws import Draws
from dias_jax.models.initializer import BoxInitializer
from dias_jax.models.transition import EncoderTransition, Past
from dias_jax.models.video import VideoDIAS
from dias_jax.models.video_output import VideoOutput
from dias_jax.pretrained.tensors import Entry, linear, norm, to_jax

FORWARD = 5e-6
TRANSITION = 1e-6  # one layer; its inputs vary so much that a wrong epsilon shows as 3e-6 only
GRADIENT = 2e-5  # backward passes sum over more terms
OPTIMIZED = 1e-4  # Adam turns rounding of small gradients into differences of parameters
# A shift of all queries alike moves no softmax over slots: this gradient is zero but for rounding.
ZERO_GRADIENT = ("aggregator", "norm_slots", "bias")

# The part of these numbers that is always here: RandSF.Q's weights, queries, losses over time.
always_here = pytest.mark.parametrize(
    "golden_file", [pathlib.Path(__file__).parents[1] / "golden" / "video.npz"], ids=["part"]
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@functools.cache
def read(path):
    with np.load(path) as file:
        return dict(file)


@functools.cache
def load(path, folder):
    """RandSF.Q's model and variables, written without PyTorch."""
    golden = read(path)
    heads = (int(golden[f"cfg/{name}_heads"]) for name in ("vit", "dec", "transition"))
    file = folder / "randsfq.safetensors"
    save_file(state(golden, "state/"), file)
    return load_torch_randsfq(file, int(golden["cfg/num_slots"]), *heads)


def state(golden, prefix):
    names = [name for name in golden if name.startswith(prefix)]
    return {name.removeprefix(prefix): np.ascontiguousarray(golden[name]) for name in names}


@pytest.fixture
def golden_file(shared_golden):
    return shared_golden("video_tiny.npz")


@pytest.fixture
def golden(golden_file):
    return read(golden_file)


@pytest.fixture
def randsfq(golden_file, tmp_path_factory):
    return load(golden_file, tmp_path_factory.getbasetemp())


def encoder_entries():
    """The baselines' transition under its names in PyTorch."""
    path, layer = "transition/self_attention", "m.transit"
    entries = [Entry(f"{path}/query_key_value", f"{layer}.self_attn.in_proj_weight", True)]
    entries += linear(f"{path}/output", f"{layer}.self_attn.out_proj", bias=False)
    entries += linear("transition/mlp/hidden", f"{layer}.linear1", bias=False)
    entries += linear("transition/mlp/output", f"{layer}.linear2", bias=False)
    entries += norm("transition/norm1", f"{layer}.norm1", bias=False)
    return entries + norm("transition/norm2", f"{layer}.norm2", bias=False)


@pytest.fixture
def encoder(golden, randsfq):
    """The same model with an encoder layer as its transition."""
    model, variables = randsfq
    layer = to_jax(encoder_entries(), state(golden, "state_encoder/"), "golden")
    transition = EncoderTransition(int(golden["cfg/transition_heads"]))
    params = variables["params"] | layer
    return model.clone(transition=transition), variables | {"params": params}


def check(actual, expected, tolerance, name=""):
    """Relative to the largest magnitude of what is expected."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, name
    difference = np.abs(actual - expected).max() / np.abs(expected).max()
    assert difference <= tolerance, f"{name}: {difference:.1e} of its largest magnitude"


def check_outputs(output, golden, prefix):
    """All that is stored under `prefix` of a VideoOutput."""
    ours = {
        "slots": output.slots,
        "attn": output.final_attention,
        "dec_attn": output.decoder_attention,
        "recon": output.reconstruction.transpose(0, 1, 4, 2, 3),
        "feature": output.features.transpose(0, 1, 4, 2, 3),
    }
    found = [name for name in ours if f"{prefix}/{name}" in golden]
    assert {"slots", "attn", "dec_attn"} <= set(found)
    for name in found:
        check(ours[name], golden[f"{prefix}/{name}"], FORWARD, name)


def video(golden, name):
    return jnp.asarray(golden[name], jnp.float32).transpose(0, 1, 3, 4, 2)


def past_of(golden, slots, frame):
    """What a transition sees of golden slots (B, F, S, D) for the query of `frame`."""
    age = jnp.ones(len(slots), int)
    return Past(slots[:, frame - 1], golden["randsfq/eval/encode"][:, frame], age, age - 1)


@always_here
@pytest.mark.parametrize("arm", ["randsfq", "encoder"])
def test_transition(arm, golden, request):
    model, variables = request.getfixturevalue(arm)
    queries, slots = golden[f"{arm}/eval/queries"], golden[f"{arm}/eval/slots"]
    params = {"params": variables["params"]["transition"]}
    apply = jax.jit(model.transition.apply)
    for frame in range(1, slots.shape[1]):
        query = apply(params, past_of(golden, slots, frame))
        check(query, queries[:, frame - 1], TRANSITION, f"frame {frame}")


@pytest.mark.slow
def test_randsfq(golden, randsfq):
    model, variables = randsfq
    apply = jax.jit(lambda v, x, slots: model.apply(v, x, initial_slots=slots))
    slots = golden["randsfq/eval/query0"]
    output = apply(variables, video(golden, "video_eval"), slots)
    check_outputs(output, golden, "randsfq/eval")
    check(output.attention, golden["randsfq/eval/attn_frame0"], FORWARD)


@pytest.mark.slow
def test_encoder(golden, encoder):
    model, variables = encoder
    apply = jax.jit(lambda v, x, slots: model.apply(v, x, initial_slots=slots))
    slots = golden["encoder/eval/query0"]
    output = apply(variables, video(golden, "video_eval"), slots)
    check_outputs(output, golden, "encoder/eval")


@pytest.mark.slow
def test_boxes(golden, encoder):
    model, variables = encoder
    boxes = golden["condition/boxes"]
    initializer = BoxInitializer(boxes.shape[2], model.aggregator.slot_width)
    model = model.clone(initializer=initializer)
    layer = to_jax(box_entries(), state(golden, "state_condition/"), "golden")
    variables = variables | {"params": variables["params"] | layer}
    apply = jax.jit(lambda v, x, boxes: model.apply(v, x, boxes=boxes))
    output = apply(variables, video(golden, "video_eval"), boxes[:, 0])
    check_outputs(output, golden, "condition/eval")


class GivenClusters(VideoDIAS):
    """Slots merge as they are told to."""

    clusters: tuple = ()

    def find_clusters(self, first, threshold):
        return jnp.asarray(self.clusters)


@pytest.mark.slow
def test_merged_slots_stay_masked(golden, encoder):
    model, variables = encoder
    parts = {x.name: getattr(model, x.name) for x in dataclasses.fields(model)}
    parts = {name: part for name, part in parts.items() if name not in ("name", "parent")}
    clusters = tuple(map(tuple, golden["masked/cluster"].tolist()))
    model = GivenClusters(**parts | {"reinit": Reinit(num_iterations=1)}, clusters=clusters)
    apply = jax.jit(lambda v, x, slots: model.apply(v, x, initial_slots=slots))
    slots = golden["encoder/eval/query0"]
    output = apply(variables, video(golden, "video_eval"), slots)
    check_outputs(output, golden, "masked")
    mask = np.broadcast_to(golden["masked/mask"][:, None], output.slot_mask.shape)
    np.testing.assert_array_equal(output.slot_mask, mask)


@pytest.mark.slow
def test_more_iterations_on_later_frames(golden, encoder):
    model, variables = encoder
    model = model.clone(later_iterations=3)
    apply = jax.jit(lambda v, x, slots: model.apply(v, x, initial_slots=slots))
    output = apply(variables, video(golden, "video_eval"), golden["encoder/eval/query0"])
    check(output.slots, golden["encoder/eval33/slots"], FORWARD)
    assert output.later_attention.shape == (3, 2, 6, 6, 5, 5)


def train(model, variables, golden, given, draws, **inputs):
    """A training pass over the golden clip, with the given order and number of visible tokens."""
    draws = draws.replace(token_order=given["perm"].astype(int), num_visible=given["keep"])
    clip = video(golden, "video_train")
    return model.apply(variables, clip, train=True, draws=draws, **inputs)


@pytest.mark.slow
def test_gradients_through_time(golden, encoder):
    model, variables = encoder
    initial_slots = golden["encoder/train/query0"]

    def loss(params):
        output = train(
            model,
            variables | {"params": params},
            golden,
            {x: golden[f"encoder/train/{x}"] for x in ("perm", "keep")},
            Draws(),
            initial_slots=initial_slots,
        )
        values = {
            "loss_recon": video_losses.reconstruction(output),
            "loss_distill": video_losses.self_distillation(output),
            "loss_distill_textbook": video_losses.self_distillation(output, "cross_entropy"),
        }
        weight = golden["encoder/train/distill_weight"].item()
        values["loss"] = values["loss_recon"] + weight * values["loss_distill"]
        return values["loss"], (values, output.slots)

    gradients, (values, slots) = jax.jit(jax.grad(loss, has_aux=True))(variables["params"])
    check(slots, golden["encoder/train/slots"], FORWARD)
    for name, value in values.items():
        check(value, golden[f"encoder/train/{name}"], FORWARD, name)
    entries = common_entries(int(golden["cfg/dec_layers"])) + encoder_entries()
    expected = to_jax(entries, state(golden, "encoder/train/grad/"), "golden")
    del gradients["initializer"]  # initial slots were given
    check_trees(gradients, expected, GRADIENT)


def check_trees(actual, expected, tolerance):
    actual, expected = (flatten_dict(tree) for tree in (actual, expected))
    assert actual.keys() == expected.keys()
    largest = max(np.abs(value).max() for value in expected.values())
    assert np.abs(actual.pop(ZERO_GRADIENT)).max() < 1e-5 * largest
    for name, value in actual.items():
        check(value, expected[name], tolerance, "/".join(name))


@pytest.mark.slow
def test_three_steps_with_random_past_frames(golden, randsfq):
    model, variables = randsfq
    constants = {x: golden[f"randsfq/train/{x}"].item() for x in ("lr", "clip", "contrast_weight")}
    optimizer = optax.chain(
        optax.clip_by_global_norm(constants["clip"]), optax.adam(constants["lr"])
    )

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def loss(params, given):
        draws = Draws(
            noise=noise_of(params, given["query0"]),
            # The first of the later frames has but one past.
            past_slots=jnp.pad(given["past_slots"], ((0, 0), (1, 0))),
            past_tokens=jnp.pad(given["past_features"], ((0, 0), (1, 0)), constant_values=1),
        )
        output = train(model, variables | {"params": params}, golden, given, draws)
        values = {
            "loss_recon": video_losses.reconstruction(output),
            "loss_contrast": video_losses.slot_contrast(output),
        }
        weight = constants["contrast_weight"]
        values["loss"] = values["loss_recon"] + weight * values["loss_contrast"]
        return values["loss"], (values, output.slots)

    entries = common_entries(int(golden["cfg/dec_layers"])) + transition_entries()
    entries += gaussian_entries(is_shared=True)
    params, memory = variables["params"], optimizer.init(variables["params"])
    for step in range(3):
        prefix, tolerance = f"randsfq/train{step}", OPTIMIZED if step else FORWARD
        names = ("query0", "past_slots", "past_features", "perm", "keep")
        gradients, (values, slots) = loss(params, {x: golden[f"{prefix}/{x}"] for x in names})
        check(slots, golden[f"{prefix}/slots"], tolerance)
        for name, value in values.items():
            check(value, golden[f"{prefix}/{name}"], tolerance, name)
        norm_of = optax.tree.norm(gradients)
        check(norm_of, golden[f"{prefix}/grad_norm"], OPTIMIZED if step else GRADIENT)
        if step == 0:
            expected = to_jax(entries, state(golden, f"{prefix}/grad/"), "golden")
            check_trees(gradients, expected, GRADIENT)
        updates, memory = optimizer.update(gradients, memory, params)
        params = optax.apply_updates(params, updates)
    expected = to_jax(entries, state(golden, "randsfq/train2/param_after/"), "golden")
    params, expected = (flatten_dict(tree) for tree in (params, expected))
    params.pop(ZERO_GRADIENT)  # Adam scales rounding up to its largest step
    for name, value in params.items():
        check(value, expected[name], OPTIMIZED, "/".join(name))


def noise_of(params, initial_slots):
    """The noise behind initial slots, which depends on the parameters; it gets no gradient."""
    gaussian = jax.lax.stop_gradient(params["initializer"])
    return (initial_slots - gaussian["mean"]) / jnp.exp(gaussian["log_deviation"])


@always_here
def test_losses_over_time(golden):
    features = golden["randsfq/eval/feature"].transpose(0, 1, 3, 4, 2)
    logits = golden["losses/similarity_logits"].astype(np.float32)
    batch, frames, tokens = logits.shape[:3]
    logits = logits.reshape(batch, frames, tokens, -1).swapaxes(2, 3)
    slots = golden["randsfq/eval/slots"]
    fields = dict.fromkeys(VideoOutput.__dataclass_fields__) | {
        "features": features,
        "slots": slots,
        "slot_mask": jnp.ones(slots.shape[:3], bool),
        "frame_valid": jnp.ones(slots.shape[:2], bool),
        "similarity": logits,
    }
    output = VideoOutput(**fields)
    check(video_losses.slot_contrast(output), golden["losses/contrast"], FORWARD)
    target = video_losses.similarity_target(features, 1.0)
    check(target, golden["losses/similarity_target"], FORWARD)
    check(video_losses.time_similarity(output), golden["losses/similarity"], FORWARD)
