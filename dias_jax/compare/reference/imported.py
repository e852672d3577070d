"""The PyTorch reference, imported from the user's checkout and built at any size.

Every released revision will do from version 3 (October 2025) on.
"""

import contextlib
import importlib
import importlib.util
import io
import pathlib
import sys
from unittest import mock

from dias_jax.compare.case import image_size
from dias_jax.errors import UserError
from dias_jax.interop.torch_dias import BACKBONE, trained_entries
from dias_jax.models.backbone import VisionTransformer
from dias_jax.models.initializer import SharedGaussian
from dias_jax.pretrained.tensors import to_torch

PACKAGE = "object_centric_bench"
PARTS = ("model", "learn", "util_model")  # of the package, that are used here
REQUIREMENTS = ("torch", "torchvision", "timm", "einops", "scipy")
OUTPUTS = ["feature", "slotz", "attenta", "recon", "attentd"]


def import_reference(directory):
    """The package of models of a checkout of github.com/Genera1Z/DIAS.

    Its metrics and schedules are imported as well (`reference_module`). Raises UserError when
    `directory` is no checkout or a package that it needs is missing.
    """
    if not (pathlib.Path(directory) / PACKAGE / "model" / "dias.py").is_file():
        raise UserError(
            f"--reference={directory}: no {PACKAGE}/model/dias.py there; "
            "name a checkout of github.com/Genera1Z/DIAS"
        )
    missing = [name for name in REQUIREMENTS if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the PyTorch reference needs {', '.join(missing)}: pip install {' '.join(missing)}"
        )
    import_torchvision()
    sys.path.insert(0, str(directory))
    try:
        for name in PARTS:
            importlib.import_module(f"{PACKAGE}.{name}")
    except ImportError as error:
        raise UserError(f"--reference={directory}: cannot be imported: {error}") from error
    finally:
        sys.path.remove(str(directory))
    return reference_module("model")


def reference_module(name):
    """A part of the imported reference: "model", "learn" or "util_model"."""
    return sys.modules[f"{PACKAGE}.{name}"]


def import_torchvision():
    """Import torchvision, which timm needs for names only, even beside a PyTorch it is not for.

    A torchvision made for CUDA finds its operators missing in a PyTorch for the CPU; to declare
    them is enough, since nothing here calls them.
    """
    import torch

    try:
        importlib.import_module("torchvision")
    except (RuntimeError, OSError):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_torchvision.library = library  # the declarations live as long as this object
        importlib.import_module("torchvision")


def build_backbone(library, model):
    """The reference's frozen backbone with the sizes of ours, random weights.

    Where ours is one that the reference does not have, ours gives its features, too.
    """
    resize = library.Interpolate(scale_factor=model.input_scale, interp="bicubic")
    if not isinstance(model.backbone, VisionTransformer):
        from dias_jax.compare.reference.our_features import OurFeatures  # needs torch

        return library.Sequential([resize, OurFeatures(model.backbone)])
    return library.Sequential([resize, build_transformer(library, model)])


def build_transformer(library, model):
    """The reference's vision transformer with the sizes of ours, random weights."""
    import timm
    from timm.models import vision_transformer

    ours = model.backbone

    def create_model(name, pretrained, img_size):
        """In place of a download."""
        return vision_transformer.VisionTransformer(
            img_size=img_size,
            patch_size=ours.patch_size,
            embed_dim=ours.width,
            depth=ours.depth,
            num_heads=ours.heads,
            init_values=1e-5,
            reg_tokens=ours.num_registers,
            no_embed_class=ours.num_registers > 0,  # as timm has these models
            num_classes=0,
        )

    with mock.patch.object(timm, "create_model", create_model):
        return library.DINO2ViT(in_size=int(image_size(model) * model.input_scale), norm_out=False)


def build_decoder(library, model):
    """The reference's decoder with the sizes of ours."""
    width, ours = model.backbone.width, model.decoder

    def project(source):
        linear = library.Linear(source, width, bias=False)
        return library.Sequential([linear, library.LayerNorm(width)])

    layer = library.TransformerDecoderLayer(
        width,
        ours.heads,
        4 * width,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
        bias=False,
    )
    return library.ARRandTransformerDecoder(
        width,  # by place: its name has changed
        posit_embed=library.LearntPositionalEmbedding([ours.num_tokens], width),
        project1=project(width),
        project2=project(model.aggregator.slot_width),
        backbone=library.TransformerDecoder(layer, ours.num_layers),
        readout=library.Identity(),
    )


def build_reference(library, model):
    """The reference with the sizes of our `model`, in its wrapper, backbone frozen.

    Its weights are its own random ones; it is on the GPU where PyTorch sees one.
    """
    from dias_jax.compare.reference.passes import DEVICE  # needs torch

    width, aggregator = model.backbone.width, model.aggregator
    is_shared = isinstance(model.initializer, SharedGaussian)
    gaussian = library.NormalShared if is_shared else library.NormalSeparat
    with contextlib.redirect_stdout(io.StringIO()):  # it reports every attribute it copies
        network = library.DIAS(
            encode_backbone=build_backbone(library, model),
            encode_posit_embed=library.Identity(),
            encode_project=library.MLP(width, [width, width], "pre", 0.0),
            initializ=gaussian(model.initializer.num_slots, aggregator.slot_width),
            aggregat=library.SlotAttentionWithAllAttent(
                aggregator.num_iterations,
                aggregator.slot_width,
                aggregator.hidden,
                dropout=0,
                kv_dim=width,
                trunc_bp="bi-level" if aggregator.bilevel else None,
            ),
            decode=build_decoder(library, model),
        )
    network.encode_backbone.requires_grad_(False)
    return library.ModelWrap(network, ["input"], OUTPUTS).to(DEVICE)


def load_trained(wrapper, model, params):
    """Load what is trained of our `params`; the backbone stays as it is."""
    import torch

    is_shared = isinstance(model.initializer, SharedGaussian)
    tensors = to_torch(trained_entries(model.decoder.num_layers, is_shared), params)
    frozen = {k: v for k, v in wrapper.state_dict().items() if k.startswith(BACKBONE)}
    wrapper.load_state_dict(frozen | {k: torch.tensor(v) for k, v in tensors.items()})


def load_weights(wrapper, tensors):
    """Load named arrays of the released layout, strictly; positions are resampled by timm."""
    import torch
    from timm.layers import resample_abs_pos_embed

    state = {name: torch.tensor(value) for name, value in tensors.items()}
    positions = f"{BACKBONE}pos_embed"
    transformer = wrapper.m.encode_backbone[1]
    grid, num_prefix = transformer.out_size, int(not transformer.no_embed_class)
    state[positions] = resample_abs_pos_embed(
        state[positions], [grid, grid], num_prefix_tokens=num_prefix
    )
    wrapper.load_state_dict(state)
