"""DINOv2 checkpoints: what is read, and what is refused in one line that names it."""

import pathlib
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from changes import plus, without
from safetensors.numpy import save_file

from dias_jax.errors import UserError
from dias_jax.interop import load_dinov2
from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained.dinov2 import backbone_to_torch, vision_transformer

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "dinov2.npz"


@pytest.fixture(scope="module")
def params():
    """Parameters of a small transformer, all different from their start."""
    module = VisionTransformer(width=24, depth=2, heads=2, num_registers=4, position_grid=5)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 28, 28, 3)))["params"]
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: random.standard_normal(x.shape, np.float32), shapes)


@pytest.fixture
def tensors(params):
    """The same in timm's layout."""
    return {name: np.ascontiguousarray(x) for name, x in backbone_to_torch(params, 14).items()}


@pytest.fixture
def write(tmp_path):
    """A function from tensors to a file of them."""

    def write(tensors):
        save_file(tensors, tmp_path / "model.safetensors")
        return tmp_path / "model.safetensors"

    return write


@pytest.fixture(params=["plain", "registers"])
def hugging_face(request):
    """-> tensors as Hugging Face publishes them, an image and its features there."""
    prefix = f"{request.param}/"
    with np.load(GOLDEN) as file:
        golden = {name.removeprefix(prefix): file[name] for name in file if prefix in name}
    tensors = {name[8:]: value for name, value in golden.items() if name.startswith("tensors/")}
    return tensors, golden["image"], golden["features"]


def change_layout(tensors, layout):
    """timm's tensors as other publishers store them."""
    norm = {"norm.weight": np.ones(24, np.float32), "norm.bias": np.zeros(24, np.float32)}
    if layout == "original":  # a position for the class token, and what pre-training needed
        class_position = np.full((1, 1, 24), 0.25, np.float32)
        tensors["register_tokens"] = tensors.pop("reg_token")
        tensors["pos_embed"] = np.concatenate([class_position, tensors["pos_embed"]], axis=1)
        tensors["cls_token"] = tensors["cls_token"] - class_position
        tensors["mask_token"] = np.zeros((1, 24), np.float32)
    return tensors | norm


@pytest.mark.parametrize("layout", ["timm", "original"])
def test_layouts_load_to_the_same_parameters(params, tensors, write, layout):
    loaded = load_dinov2(write(change_layout(tensors, layout)))
    assert jax.tree.structure(loaded) == jax.tree.structure(params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), loaded, params)


def test_without_registers_the_class_token_has_a_position_in_timms_layout(params, write):
    params = params | {"prefix": params["prefix"][:1]}
    tensors = backbone_to_torch(params, 14)
    assert tensors["pos_embed"].shape == (1, 26, 24) and "reg_token" not in tensors
    loaded = load_dinov2(write({name: np.ascontiguousarray(x) for name, x in tensors.items()}))
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


@pytest.mark.parametrize("prefix", ["", "dinov2.", "dinov2_with_registers."])
def test_hugging_face_computes_the_same(hugging_face, write, prefix):
    tensors, image, features = hugging_face
    params = load_dinov2(write({prefix + name: value for name, value in tensors.items()}))
    actual = vision_transformer(params, heads=2).apply({"params": params}, image)
    # Rounding in another order of summation.
    np.testing.assert_allclose(actual, features, atol=2e-6 * np.abs(features).max())


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_becomes_float32(params, tensors, write, dtype):
    loaded = load_dinov2(write({name: value.astype(dtype) for name, value in tensors.items()}))
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(loaded))
    expected = params["positions"].astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(loaded["positions"], expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("blocks.1.mlp.fc1.bias"), ["missing: blocks.1.mlp.fc1.bias"]),
        (without("blocks.0.ls1.gamma", "cls_token"), ["cls_token: not a DINOv2 checkpoint"]),
        (without("blocks.0.ls1.gamma"), ["missing: blocks.0.ls1.gamma"]),
        (without("pos_embed"), ["pos_embed: not a DINOv2 checkpoint"]),
        (plus("pos_embed", 1, 24, 24), ["pos_embed has 24 positions"]),
        (plus("pos_embed", 25, 24), ["pos_embed (25, 24) must have 3 axes"]),
        (plus("head.weight", 9), ["without a place in the model: head.weight"]),
        (plus("blocks.3.norm1.weight", 24), ["missing: blocks.2.norm1.weight"]),
        (plus("blocks.0.attn.qkv.bias", 24), ["blocks.0.attn.qkv.bias (24,) instead of (72,)"]),
        (plus("blocks.0.mlp.fc1.weight", 48, 24), ["(48, 24) instead of (96, 24)"]),
        (
            plus("patch_embed.proj.weight", 24, 3, 14, 7),
            ["(24, 3, 14, 7) instead of (24, 3, 7, 7)"],
        ),
        (plus("blocks.1.ls2.gamma", 1), ["blocks.1.ls2.gamma (1,) instead of (24,)"]),
        (plus("reg_token", 4, 24), ["reg_token (4, 24) instead of"]),
        (plus("blocks.0.mlp.w12.weight", 9), ["giant"]),
        (plus("blocks.0.mlp.weights_in.weight", 9), ["giant"]),
        (plus("blocks.0.mlp.fc1.weight", 192, 24), ["giant"]),  # timm's name: gate and value
    ],
)
def test_what_does_not_fit_is_named(tensors, write, change, words):
    change(tensors)
    with pytest.raises(UserError) as caught:
        load_dinov2(write(tensors))
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value) and "model.safetensors" in str(caught.value)


def test_a_tensor_of_hugging_face_is_named_as_there(hugging_face, write):
    tensors = hugging_face[0]
    name = "encoder.layer.1.attention.attention.key.bias"
    del tensors[name]
    with pytest.raises(UserError, match=f"missing: {name}$"):
        load_dinov2(write(tensors))


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_a_damaged_file_is_named(tensors, write, content):
    path = write(tensors)
    path.write_bytes(path.read_bytes()[:-1] if content is None else content)
    with pytest.raises(UserError, match="model.safetensors is damaged: fetch it again"):
        load_dinov2(path)


def test_a_pointer_is_not_the_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(UserError, match="pointer of Git LFS"):
        load_dinov2(path)


def test_a_folder_or_another_format_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"x")
    for name, words in (("", "does not exist"), ("model.onnx", "expected .safetensors")):
        with pytest.raises(UserError, match=words):
            load_dinov2(tmp_path / name)


def test_pth_without_torch_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    (tmp_path / "weights.pth").write_bytes(b"content")
    with pytest.raises(UserError, match="need torch: pip install"):
        load_dinov2(tmp_path / "weights.pth")


@pytest.mark.parametrize("suffix", [".pth", ".bin"])
def test_pth(params, tensors, tmp_path, suffix):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / f"weights{suffix}"
    torch.save({name: torch.tensor(value) for name, value in tensors.items()}, path)
    jax.tree.map(np.testing.assert_array_equal, load_dinov2(path), params)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("truncated", "is damaged or holds more than tensors"),
        ("empty", "is damaged or holds more than tensors"),
        ("module", "is damaged or holds more than tensors"),
        ("list", "holds a list"),
        ("wrapped", "holds other things than tensors \\(model, epoch\\)"),
    ],
)
def test_other_pickles_are_refused(tensors, tmp_path, kind, words):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    path = tmp_path / "weights.pth"
    contents = {
        "module": torch.nn.Linear(2, 2),
        "list": [torch.zeros(2)],
        "wrapped": {"model": {"cls_token": torch.zeros(2)}, "epoch": 3},
    }
    torch.save(contents.get(kind, {"cls_token": torch.zeros(999)}), path)
    if kind in ("truncated", "empty"):
        path.write_bytes(path.read_bytes()[: 500 if kind == "truncated" else 0])
    with pytest.raises(UserError, match=words) as caught:
        load_dinov2(path)
    assert "\n" not in str(caught.value)
