"""Write golden/dinov2.npz: tiny random DINOv2 models as Hugging Face saves and computes them.

python tests/interop/make_golden_dinov2.py, in an environment with torch and transformers.
"""

import pathlib
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import (
    Dinov2Config,
    Dinov2Model,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
)

PATH = pathlib.Path(__file__).parents[1] / "golden" / "dinov2.npz"
SIZES = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
MODELS = {
    "plain": Dinov2Model(Dinov2Config(**SIZES, image_size=8, patch_size=2)),
    "registers": Dinov2WithRegistersModel(
        Dinov2WithRegistersConfig(**SIZES, image_size=8, patch_size=2)
    ),
}


def record(model):
    """Its tensors as in a published file, one image and the features before the final norm."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory)
        tensors = load_file(f"{directory}/model.safetensors")
    image = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        tokens = model.eval().encoder(model.embeddings(image)).last_hidden_state
    features = tokens[:, -16:].reshape(1, 4, 4, -1)
    return {
        "image": image.permute(0, 2, 3, 1).numpy(),
        "features": features.numpy(),
        **{f"tensors/{name}": value for name, value in tensors.items()},
    }


if __name__ == "__main__":
    torch.manual_seed(0)
    arrays = {
        f"{kind}/{name}": value
        for kind, model in MODELS.items()
        for name, value in record(model).items()
    }
    np.savez_compressed(PATH, **arrays)
