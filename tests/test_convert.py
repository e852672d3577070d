"""Checkpoints of the PyTorch reference become work directories, and the other way round."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import load_file, save_file

from dias_jax.compare.fixture import GOLDEN
from dias_jax.compare.reference import imported as reference
from dias_jax.config.checks import check_config
from dias_jax.config.defaults import released
from dias_jax.errors import UserError
from dias_jax.interop import load_torch_dias, work_directory
from dias_jax.interop.torch_dias import BACKBONE
from dias_jax.interop.work_directory import Untold, export_checkpoint, import_checkpoint
from dias_jax.models.inputs import normalize
from dias_jax.runs.config_file import load_config, save_config
from dias_jax.runs.trained_model import open_run
from dias_jax.segmentation import slot_map
from dias_jax.tasks.discovery import Discovery
from dias_jax.training import loop
from dias_jax.training.optimizer import build_optimizer

CHECKPOINT = GOLDEN.with_suffix(".safetensors")
UNTOLD = Untold(num_slots=5, backbone_heads=2, decoder_heads=4)
ROUNDING = 5e-6  # of float32 in another order of summation, relative to the largest magnitude


@pytest.fixture
def config(tiny_config):
    """The tiny experiment without re-initialisation, on another backbone, in two steps."""
    released(tiny_config)
    tiny_config.model.backbone.input_scale = 0.875
    tiny_config.steps = 2
    tiny_config.evaluation.limit = 8
    tiny_config.evaluation.pictures = 0
    return tiny_config


def assert_same_tensors(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=ROUNDING * np.abs(expected).max())


@pytest.mark.slow
def test_there_and_back_is_the_identity(config, tmp_path):
    import_checkpoint(CHECKPOINT, tmp_path / "run", config, UNTOLD)
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert files == {"config.json", "checkpoints", "backbone.safetensors"}
    (tmp_path / "run").rename(tmp_path / "moved")
    notes = export_checkpoint(tmp_path / "moved", tmp_path / "copy.safetensors")
    assert_same_tensors(load_file(tmp_path / "copy.safetensors"), load_file(CHECKPOINT))
    assert any("--num_slots=5 --backbone_heads=2 --decoder_heads=4" in note for note in notes)
    assert not list(tmp_path.glob("incomplete*"))


@pytest.mark.slow
def test_a_converted_run_is_the_loaded_model_and_can_be_trained(config, tmp_path):
    import_checkpoint(CHECKPOINT, tmp_path, config, UNTOLD)
    config = load_config(tmp_path)
    check_config(config)
    assert config.data.image_size == 64 and config.model.backbone.position_grid == 6
    trained = open_run(tmp_path, config)
    expected = load_torch_dias(CHECKPOINT, num_slots=5, backbone_heads=2, decoder_heads=4)[1]
    jax.tree.map(np.testing.assert_array_equal, trained.variables, expected)
    assert trained.step == 0
    assert "decoder/ari" in loop.fit(Discovery(config), config, tmp_path).metrics
    assert (tmp_path / "checkpoints" / "2").is_dir()
    weights = '"weights": "backbone.safetensors"'
    assert weights in (tmp_path / "config.json").read_text()  # still relative


def test_training_goes_on_at_the_step_that_is_told(config, tmp_path):
    config.steps = 10
    params = {"kernel": jnp.ones(3)}
    state = work_directory.start_state(config, params, {}, 7)
    assert int(state.step) == 7
    updates, after = build_optimizer(config).update(params, state.optimizer_state, params)
    counts = {
        key[0][-1].tuple_name: int(key[1])
        for key in optax.tree.get_all_with_path(state.optimizer_state, "count")
    }
    assert counts == {"ScaleByAdamState": 0, "ScaleByScheduleState": 7}
    rate = loop.learning_rate_schedule(config)(7)
    np.testing.assert_allclose(updates["kernel"], -rate, rtol=1e-5)  # Adam's first step


@pytest.mark.slow
def test_golden_numbers_through_a_work_directory(shared_golden, config, tmp_path):
    with np.load(shared_golden("dias_tiny.npz")) as file:
        golden = dict(file)
    numbers = {name[4:]: int(value) for name, value in golden.items() if name.startswith("cfg/")}
    state = {name[6:]: x for name, x in golden.items() if name.startswith("state/")}
    save_file({k: np.ascontiguousarray(x) for k, x in state.items()}, tmp_path / "a.safetensors")
    untold = Untold(5, numbers["vit_heads"], numbers["dec_heads"])
    import_checkpoint(tmp_path / "a.safetensors", tmp_path / "run", config, untold)
    config = load_config(tmp_path / "run")
    model, variables, *rest = open_run(tmp_path / "run", config)
    assert config.data.image_size == 128 == golden["image"].shape[-1]
    images = golden["image"].transpose(0, 2, 3, 1)
    with jax.default_matmul_precision("highest"):
        output = model.apply(variables, images, initial_slots=golden["eval/query"])
    assert_close(output.slots, golden["eval/slots"])
    assert_close(
        output.decoder_attention.reshape(golden["eval/dec_attn"].shape), golden["eval/dec_attn"]
    )
    differ = np.asarray(slot_map(output.decoder_attention, (128, 128))) != golden["eval/segment"]
    assert differ.mean() <= 1e-4  # ties


def test_the_golden_checkpoint_itself(shared_golden, config, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = shared_golden("dias_tiny.pth")
    import_checkpoint(path, tmp_path / "run", config, Untold(5, 3, 4))
    export_checkpoint(tmp_path / "run", tmp_path / "copy.pth")
    copy, original = (torch.load(x, weights_only=True) for x in (tmp_path / "copy.pth", path))
    assert_same_tensors(copy, original)


def test_published_sizes_need_no_flags(config):
    model = load_torch_dias(CHECKPOINT, 5, 2, 4)[0]
    small = model.backbone.clone(width=384, depth=12, num_registers=4, position_grid=16)
    decoder = model.decoder.clone(num_tokens=256, num_layers=4)
    work_directory.set_sizes(config, model.clone(backbone=small, decoder=decoder), Untold(), "a")
    assert config.model.backbone.name == "dinov2_vits14_reg4"
    assert (config.model.decoder.heads, config.data.image_size) == (4, 256)
    base = small.clone(width=768, num_registers=0)
    work_directory.set_sizes(config, model.clone(backbone=base, decoder=decoder), Untold(), "a")
    assert (config.model.backbone.name, config.model.decoder.heads) == ("dinov2_vitb14", 6)


@pytest.mark.parametrize(
    ("untold", "message"),
    [
        (Untold(5, None, 4), "--backbone_heads is missing: .* width 16"),
        (Untold(5, 2, None), "--decoder_heads is missing"),
        (Untold(5, 3, 4), "heads=3 does not divide"),
        (Untold(5, 2, 3), "heads=3 does not divide"),
    ],
)
def test_what_cannot_be_told_is_asked_for(config, tmp_path, untold, message):
    with pytest.raises(UserError, match=message):
        import_checkpoint(CHECKPOINT, tmp_path / "run", config, untold)
    assert not list(tmp_path.iterdir())


def test_slots_of_their_own_cannot_change_in_number(config, tmp_path):
    tensors = load_file(CHECKPOINT)
    for name in ("m.initializ.mean", "m.initializ.logstd"):
        tensors[name] = np.ones((1, 6, 12), np.float32)
    save_file(tensors, tmp_path / "separate.safetensors")
    with pytest.raises(UserError, match="--num_slots=5: .* has 6 Gaussians"):
        import_checkpoint(tmp_path / "separate.safetensors", tmp_path / "run", config, UNTOLD)
    untold = Untold(None, 2, 4)
    import_checkpoint(tmp_path / "separate.safetensors", tmp_path / "run", config, untold)
    stored = load_config(tmp_path / "run").model
    assert (stored.initializer, stored.num_slots) == ("separate", 6)


def test_sizes_that_no_config_has_are_refused(config, tmp_path):
    tensors = load_file(CHECKPOINT)
    for name, shape in (("0.weight", (24, 12)), ("0.bias", (24,)), ("2.weight", (12, 24))):
        tensors[f"m.aggregat.ffn.{name}"] = np.ones(shape, np.float32)
    save_file(tensors, tmp_path / "narrow.safetensors")
    with pytest.raises(UserError, match=r"narrow.*aggregator/mlp/hidden/kernel \(12, 24\)"):
        import_checkpoint(tmp_path / "narrow.safetensors", tmp_path / "run", config, UNTOLD)
    assert not (tmp_path / "run").exists()


def test_nothing_is_overwritten(config, tmp_path):
    (tmp_path / "notes").write_text("precious")
    with pytest.raises(UserError, match="exists"):
        import_checkpoint(CHECKPOINT, tmp_path, config, UNTOLD)
    with pytest.raises(UserError, match="exists"):
        export_checkpoint(tmp_path / "run", tmp_path / "notes")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_an_interrupted_conversion_leaves_nothing(config, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(work_directory, "start_state", interrupt)
    with pytest.raises(KeyboardInterrupt):
        import_checkpoint(CHECKPOINT, tmp_path / "run", config, UNTOLD)
    assert not list(tmp_path.iterdir())


def test_notes_name_what_the_reference_does_otherwise(config):
    config.model.dtype, config.model.token_stride = "bfloat16", 2
    config.model.reinit.threshold, config.model.decoder.order = 0.12, "raster"
    config.model.decoder.evaluation_sees_tokens = False
    notes = " ".join(work_directory.notes(config))
    for words in (
        "model.dtype=bfloat16, the reference computes with float32",
        "model.token_stride=2",
        "model.reinit.threshold=0.12, the reference computes with 0.0",
        "model.decoder.order=raster, the reference computes with random",
        "model.decoder.evaluation_sees_tokens=False",
    ):
        assert words in notes
    assert "bilevel" not in notes


def test_backbone_weights_inside_a_work_directory_move_with_it(config, tmp_path):
    for name, place in (("inside", tmp_path / "run"), ("outside", tmp_path)):
        (tmp_path / "run").mkdir(exist_ok=True)
        (place / "w.safetensors").touch()
        config.model.backbone.weights = str(place / "w.safetensors")
        save_config(config, tmp_path / "run")
        moved = (tmp_path / "run").rename(tmp_path / name)
        expected = moved / "w.safetensors" if name == "inside" else place / "w.safetensors"
        assert load_config(moved).model.backbone.weights == str(expected)


@pytest.mark.slow
def test_the_command(run_module, tmp_path):
    result = run_module(
        "dias_jax.convert",
        CHECKPOINT,
        tmp_path / "run",
        "--num_slots=5",
        "--backbone_heads=2",
        "--decoder_heads=4",
        "--step=3",
        "--config.data.name=shapes",
    )
    assert f"--workdir={tmp_path / 'run'}" in result.stdout and not result.stderr
    stored = load_config(tmp_path / "run")
    assert stored.data.name == "shapes" and stored.model.reinit.num_iterations == 0
    assert open_run(tmp_path / "run", stored).step == 3
    result = run_module("dias_jax.convert", tmp_path / "run", tmp_path / "copy.safetensors")
    assert "note: " in result.stdout and not result.stderr
    assert_same_tensors(load_file(tmp_path / "copy.safetensors"), load_file(CHECKPOINT))
    command = ("dias_jax.train", f"--workdir={tmp_path / 'run'}")  # with the config it holds
    result = run_module(*command, "--config.batch_size=7", check=False)
    assert "holds a run with config.batch_size=32, not 7" in result.stderr
    result = run_module("dias_jax.convert", tmp_path / "run", tmp_path / "run", check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1


def test_a_run_of_ours_gives_its_numbers_in_the_reference(checkout, config, tmp_path):
    """Trained here on a random backbone whose position grid is another than that of tokens."""
    import torch

    sizes = {"width": 24, "depth": 2, "heads": 2, "patch_size": 14, "position_grid": 6}
    config.model.backbone.update(name="vision_transformer", weights="random", **sizes)
    config.model.decoder.heads, config.data.image_size = 4, 64
    loop.fit(Discovery(config), config, tmp_path / "run")
    export_checkpoint(tmp_path / "run", tmp_path / "run.pth")

    model, variables, *rest = open_run(tmp_path / "run", load_config(tmp_path / "run"))
    random = np.random.default_rng(0)
    images = np.asarray(normalize(random.integers(0, 255, (2, 64, 64, 3), np.uint8)))
    slots = random.standard_normal((2, 4, 16), np.float32)
    with jax.default_matmul_precision("highest"):
        output = model.apply(variables, images, initial_slots=slots)

    wrapper = reference.build_reference(reference.import_reference(checkout), model).eval()
    wrapper.load_state_dict(torch.load(tmp_path / "run.pth", weights_only=True))
    wrapper.m.initializ.forward = lambda batch: torch.tensor(slots)
    with torch.inference_mode():
        theirs = wrapper(input=torch.tensor(images.transpose(0, 3, 1, 2)))
    assert_close(output.features, theirs["feature"].permute(0, 2, 3, 1).numpy())
    assert_close(output.slots, theirs["slotz"].numpy())
    assert_close(output.reconstruction, theirs["recon"].permute(0, 2, 3, 1).numpy())
    assert_close(output.decoder_attention, theirs["attentd"].numpy())
    name = f"{BACKBONE}pos_embed"
    assert wrapper.state_dict()[name].shape == (1, 16, 24)
