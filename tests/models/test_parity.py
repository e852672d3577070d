"""Every stage, gradient and optimiser step against numbers of the PyTorch reference.

Two sets of golden numbers: a small one that `python -m dias_jax.compare --write_fixture` has
written into this package, and a second one, made by other code, that is used where present.
"""

import functools

import numpy as np
import pytest
from safetensors.numpy import save_file

from dias_jax.compare import ours
from dias_jax.compare.case import Case
from dias_jax.compare.fixture import GOLDEN, read_fixture
from dias_jax.compare.stages import record, record_ours
from dias_jax.compare.table import scales
from dias_jax.interop.torch_dias import load_torch_dias, trained_entries
from dias_jax.models.backbone import resample_positions
from dias_jax.models.draws import Draws
from dias_jax.pretrained.tensors import to_jax

SOURCES = ("own", "shared")
NUM_STEPS = 3

# Relative to an array's largest magnitude. Float32 rounding in another order of summation is
# 1e-6 or less; a LayerNorm epsilon of 1e-6 instead of 1e-5 shows as 2e-5 or more.
FORWARD = 5e-6
# Backward passes sum over more terms.
GRADIENT = 2e-5
# Three Adam steps of 1e-3 turn rounding of small gradients into differences of parameters.
OPTIMIZED = 1e-4
# Pixels between two slots whose attentions are equal but for rounding may go to either.
TIES = 1e-4
# A shift of all queries alike moves no softmax over slots: this gradient is zero but for
# rounding, which Adam scales up. Only the size of its steps can be checked.
ZERO_GRADIENT = "aggregator/norm_slots/bias"


@functools.cache
def own_numbers():
    """-> ours, expected: {section: {stage: array}}."""
    case, expected = read_fixture(GOLDEN)
    return record_ours(case), expected


@functools.cache
def shared_numbers(path, directory):
    """The same of the shared golden file, whose stages are in PyTorch's layout."""
    with np.load(path) as file:
        golden = dict(file)
    case, expected, latest = read_shared(golden, directory)
    steps = []
    for stages in ours.training_steps(case):
        latest.update(stages)
        steps.append(stages)
    return record(ours.evaluation_pass(case), steps), expected


@pytest.fixture(params=SOURCES)
def numbers(request, shared_golden, tmp_path_factory):
    if request.param == "own":
        return own_numbers()
    directory = tmp_path_factory.getbasetemp()
    return shared_numbers(shared_golden("dias_tiny.npz"), directory)


def read_shared(golden, directory):
    """-> Case, {section: {stage: array}}, a dict that must be given our stages after each step.

    The file holds initial slots instead of noise; the noise behind them depends on the
    parameters that the step starts from.
    """
    config = {name[4:]: int(value) for name, value in golden.items() if name.startswith("cfg/")}
    path = directory / "shared.safetensors"
    state = {name[6:]: x for name, x in golden.items() if name.startswith("state/")}
    save_file({name: np.ascontiguousarray(x) for name, x in state.items()}, path)
    model, variables = load_torch_dias(
        path, config["num_slots"], config["vit_heads"], config["dec_heads"]
    )
    latest = ours.flatten("parameters", variables["params"])

    def noise_of(query):
        mean = latest["parameters/initializer/mean"]
        return (query - mean) / np.exp(latest["parameters/initializer/log_deviation"])

    def recover_draws():
        for step in range(NUM_STEPS):
            query, order, visible = (golden[f"train{step}/{x}"] for x in ("query", "perm", "keep"))
            yield Draws(noise=noise_of(query), token_order=order, num_visible=visible[:, 0])

    case = Case(
        model=model,
        variables=variables,
        images=channels_last(golden["image"]),
        evaluation_noise=noise_of(golden["eval/query"]),
        draws=recover_draws(),
        learning_rate=float(golden["train/lr"]),
        distillation_weight=float(golden["train/distill_weight"]),
    )
    return case, shared_sections(golden, config["dec_layers"]), latest


def shared_sections(golden, num_layers):
    """The shared golden file's stages under our names and in our layout."""
    sections = {"evaluation": shared_stages(golden, "eval/")}
    sections["evaluation"] |= {
        "resized": channels_last(golden["eval/resized"]),
        "features": channels_last(golden["eval/feature"]),
        "projected": golden["eval/encode"],
        "segmentation": golden["eval/segment"],
    }
    for step in range(NUM_STEPS):
        prefix = f"train{step}/"
        sections[f"step {step + 1}"] = shared_stages(golden, prefix) | {
            "loss": golden[f"{prefix}loss"],
            "reconstruction_loss": golden[f"{prefix}loss_recon"],
            "distillation": golden[f"{prefix}loss_distill"],
            "gradient_norm": golden[f"{prefix}grad_norm"],
        }
    for section, prefix, kind in (
        ("step 1", "train0/grad/", "gradients"),
        (f"step {NUM_STEPS}", f"train{NUM_STEPS - 1}/param_after/", "parameters"),
    ):
        tensors = {k.removeprefix(prefix): x for k, x in golden.items() if k.startswith(prefix)}
        tree = to_jax(trained_entries(num_layers, is_shared=True), tensors, prefix)
        sections[section] |= ours.flatten(kind, tree)
    return sections


def shared_stages(golden, prefix):
    attention = golden[f"{prefix}attn"]
    return {f"attention_{number}": value for number, value in enumerate(attention, start=1)} | {
        "slots": golden[f"{prefix}slots"],
        "reconstruction": channels_last(golden[f"{prefix}recon"]),
        "decoder_attention": golden[f"{prefix}dec_attn"],
    }


def channels_last(array):
    return array.transpose(0, 2, 3, 1)


def check(actual, expected, tolerance):
    """Every array of `expected` in `actual`, relative to its largest magnitude."""
    assert expected, "nothing to compare"
    relative_to = scales(expected)
    for name, value in expected.items():
        assert actual[name].shape == value.shape, name
        difference = np.abs(actual[name] - value).max()
        assert difference <= tolerance * relative_to[name], (
            f"{name}: {difference / relative_to[name]:.1e} of its largest magnitude"
        )


def select(stages, *prefixes):
    return {name: value for name, value in stages.items() if name.startswith(prefixes)}


def outputs(stages):
    """What a pass computes: neither gradients nor parameters nor indices."""
    return {
        name: value
        for name, value in stages.items()
        if not name.startswith(("gradient", "parameters/", "segmentation"))
    }


def test_evaluation(numbers):
    actual, expected = (sections["evaluation"] for sections in numbers)
    assert {"resized", "features", "projected", "attention_1", "reconstruction"} <= set(expected)
    check(actual, outputs(expected), FORWARD)
    assert (actual["segmentation"] != expected["segmentation"]).mean() <= TIES


def test_training_pass(numbers):
    actual, expected = (sections["step 1"] for sections in numbers)
    check(actual, outputs(expected), FORWARD)


def test_gradients(numbers):
    actual, expected = (sections["step 1"] for sections in numbers)
    assert select(actual, "gradients/").keys() == select(expected, "gradients/").keys()
    gradients = select(expected, "gradients/")
    rounding = [x.pop(f"gradients/{ZERO_GRADIENT}") for x in (dict(actual), gradients)]
    check(actual, gradients, GRADIENT)
    assert np.abs(rounding).max() <= 1e-6 * expected["gradient_norm"]
    check(actual, select(expected, "gradient_norm"), FORWARD)


@pytest.mark.parametrize("step", range(2, NUM_STEPS + 1))
def test_steps_after_the_first(numbers, step):
    actual, expected = (sections[f"step {step}"] for sections in numbers)
    check(actual, outputs(expected), OPTIMIZED)
    check(actual, select(expected, "gradient_norm"), OPTIMIZED)


def test_parameters_after_all_steps(numbers):
    actual, expected = (sections[f"step {NUM_STEPS}"] for sections in numbers)
    parameters = select(expected, "parameters/")
    assert select(actual, "parameters/").keys() == parameters.keys()
    noise = parameters.pop(f"parameters/{ZERO_GRADIENT}")
    check(actual, parameters, OPTIMIZED)
    largest_step = 1e-3
    difference = np.abs(actual[f"parameters/{ZERO_GRADIENT}"] - noise)
    assert difference.max() <= 2 * NUM_STEPS * largest_step


@pytest.mark.parametrize("side", [16, 24])
def test_position_grid_is_resampled_as_timm_does(side, shared_golden):
    golden = np.load(shared_golden("pos_embed.npz"))
    actual = resample_positions(golden["in"][0], (side, side))
    check({"positions": np.asarray(actual)}, {"positions": golden[f"out{side}"][0]}, FORWARD)
