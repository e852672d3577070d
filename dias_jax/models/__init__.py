"""The door to the models: build one, load one that is trained, let it look at images.

frozen backbone -> projector -> initializer -> aggregator -> decoder
"""

from dias_jax.models.build import build, build_video
from dias_jax.models.dias import DIAS, DIASOutput, Reinit
from dias_jax.models.draws import Draws
from dias_jax.models.prediction import predict
from dias_jax.models.reduction import reduce_slots
from dias_jax.models.video import VideoDIAS
from dias_jax.models.video_output import VideoOutput

__all__ = [
    "DIAS",
    "DIASOutput",
    "Draws",
    "Reinit",
    "VideoDIAS",
    "VideoOutput",
    "build",
    "build_video",
    "load",
    "predict",
    "reduce_slots",
]


def load(name_or_workdir):
    """A trained model: -> (DIAS or VideoDIAS, variables {"params", "backbone"}).

    The name of a checkpoint that ships ("shapes"), or the work directory of a run, of which the
    best checkpoint is taken. Raises UserError where there is none.
    """
    from dias_jax.runs.trained_model import open_by_name  # what this package knows comes first

    trained = open_by_name(name_or_workdir)
    return trained.model, trained.variables
