"""Checkpoints of RandSF.Q, the PyTorch reference's video model."""

from dias_jax.interop.torch_dias import (
    HIDDEN,
    LAYERS,
    POSITIONS,
    QUERY,
    check_heads,
    check_telling,
    common_entries,
    gaussian_entries,
    read_checkpoint,
    read_parts,
    torch_shapes,
    variable_shapes,
)
from dias_jax.models.initializer import BoxInitializer, SharedGaussian
from dias_jax.models.transition import RandomPastTransition
from dias_jax.models.video import VideoDIAS
from dias_jax.pretrained.dinov2 import count_layers
from dias_jax.pretrained.tensors import Entry, check_shapes, linear, norm, shapes_of, to_jax

TIME, BOXES, READOUT = "m.transit.te.weight", "m.initializ.0.weight", "m.decode.readout.weight"
TELLING = {QUERY: 2, HIDDEN: 2, POSITIONS: 3, TIME: 2}


def transition_entries():
    """Entries of the transition with random past frames."""
    layer = "m.transit.transit"
    entries = [Entry("transition/time", TIME)]
    entries += linear("transition/project_tokens", "m.transit.proji")
    for ours, theirs in (("self", "self_attn"), ("cross", "multihead_attn")):
        path = f"transition/{ours}_attention"
        fused = f"{layer}.{theirs}.in_proj_weight"
        entries.append(Entry(f"{path}/query_key_value", fused, True))
        entries += linear(f"{path}/output", f"{layer}.{theirs}.out_proj", bias=False)
    entries += linear("transition/mlp/hidden", f"{layer}.linear1", bias=False)
    entries += linear("transition/mlp/output", f"{layer}.linear2", bias=False)
    for i in (1, 2, 3):
        entries += norm(f"transition/norm{i}", f"{layer}.norm{i}", bias=False)
    return entries


def box_entries():
    """Entries of the initializer that takes boxes."""
    hidden = linear("initializer/hidden", "m.initializ.0")
    return hidden + linear("initializer/output", "m.initializ.2")


def model_entries(num_layers, has_boxes, has_readout):
    """Entries of everything that is trained."""
    entries = common_entries(num_layers) + transition_entries()
    entries += box_entries() if has_boxes else gaussian_entries(is_shared=True)
    return entries + linear("readout", "m.decode.readout") if has_readout else entries


def load_torch_randsfq(path, num_slots=7, backbone_heads=6, decoder_heads=4, transition_heads=4):
    """Model and variables from a checkpoint of RandSF.Q: -> (VideoDIAS, {"params", "backbone"}).

    Widths, depths, the time window, and whether slots start from boxes and the decoder predicts
    similarity over time are read off the checkpoint. What it does not hold are arguments; dropout
    is 0. Names and errors as in `load_torch_dias`.
    """
    tensors, backbone, transformer = read_checkpoint(path, backbone_heads)
    check_telling(tensors, TELLING, path)
    width, window = tensors[QUERY].shape[0], tensors[TIME].shape[0]
    check_heads(transition_heads, width, "transition_heads")
    has_boxes, has_readout = BOXES in tensors, READOUT in tensors
    initializer = BoxInitializer if has_boxes else SharedGaussian
    model = VideoDIAS(
        initializer=initializer(num_slots, width),
        transition=RandomPastTransition(transition_heads, window),
        predicts_similarity=has_readout,
        **read_parts(tensors, transformer, decoder_heads, path),
    )
    entries = model_entries(count_layers(tensors, LAYERS), has_boxes, has_readout)
    shapes = variable_shapes(model)
    check_shapes(shapes_of(tensors), torch_shapes(entries, shapes), path)
    return model, {"params": to_jax(entries, tensors, path), "backbone": {"params": backbone}}
