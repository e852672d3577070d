"""Both implementations of one model, with the same weights."""

import dataclasses
import os
import tempfile

from dias_jax.compare.case import build_case
from dias_jax.compare.reference.imported import (
    build_reference,
    import_reference,
    load_trained,
    load_weights,
)
from dias_jax.interop.torch_dias import save_torch_dias
from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained.tensors import read_tensors


@dataclasses.dataclass(frozen=True)
class Pair:
    """Which model, and where its weights come from; small enough to be sent to a process."""

    reference: str  # a checkout of the PyTorch repository
    size: str  # one of case.MODELS
    seed: int  # of random weights and sampled quantities
    workdir: str | None = None  # a run, or a converted checkpoint, instead of random weights

    def case(self, dtype, batch_size, num_steps):
        """Our model and weights, and what both are given: -> Case."""
        return build_case(self.size, dtype, batch_size, num_steps, self.seed, self.workdir)

    def theirs(self, case):
        """The reference with the case's weights, on its device."""
        library = import_reference(self.reference)
        wrapper = build_reference(library, case.model)
        self.hand_over(case, wrapper)

        from dias_jax.compare.reference.optimizer import allow_tf32  # needs torch

        allow_tf32(False)
        return wrapper

    def hand_over(self, case, wrapper):
        """Load the case's weights into the reference, by way of a checkpoint in its own layout."""
        if not isinstance(case.model.backbone, VisionTransformer):
            load_trained(wrapper, case.model, case.variables["params"])
            return
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "weights.safetensors")
            save_torch_dias(case.model, case.variables, path)
            load_weights(wrapper, read_tensors(path))
