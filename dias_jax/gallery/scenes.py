"""What a model made of single images, ready to be drawn."""

import dataclasses

import jax
import numpy as np

from data_pipelines import pipeline, sources
from dias_jax.metrics import METRICS
from dias_jax.pictures import overlay
from dias_jax.steps import compare_with_truth, normalize, random_streams


@dataclasses.dataclass(frozen=True)
class Scene:
    """One image and its slots, all numpy. Slots are ordered by cluster, the largest first."""

    index: int  # in its split
    image: np.ndarray  # (H, W, 3) uint8
    truth: np.ndarray  # (H, W) int, -1 = un-annotated
    prediction: np.ndarray  # (H, W) int, clusters by rank of size
    attention: np.ndarray  # (T, S, h, w), of every iteration of the first aggregation
    final_attention: np.ndarray  # (S, h, w), of the last aggregation
    cluster: np.ndarray  # (S,) int, the cluster each slot belongs to, by rank of size
    is_kept: np.ndarray  # (S,) bool, False = merged into the kept slot of its cluster
    scores: dict  # {metric: percent} of `prediction`

    @property
    def num_clusters(self):
        """How many slots are in use."""
        return int(self.is_kept.sum())


def study_scenes(trained, split, count):
    """Run a TrainedModel on the first samples of a split: -> list of `count` Scenes.

    Slots are sampled as in evaluation. Masks are of the kind config.evaluation.best names.
    """
    config, masks = trained.config, trained.config.evaluation.best
    num_masks = sources.open_split(config.data, split).num_masks
    batch = next(pipeline.evaluation_batches(config.data, split, count, limit=count))
    rng = jax.random.key(config.seed)

    @jax.jit
    def forward(variables, batch):
        output = trained.model.apply(
            variables,
            normalize(batch["image"]),
            rngs=random_streams(rng),
            sample_index=batch["index"],
        )
        values, predictions = compare_with_truth(output, batch, num_masks)
        scores = {name: 100 * values[f"{masks}/{name}"][0] for name in METRICS}
        return output, predictions[masks], scores

    output, slot_maps, scores = jax.device_get(forward(trained.variables, batch))
    return [
        describe_scene(i, batch, output, slot_maps[i], {k: float(v[i]) for k, v in scores.items()})
        for i in range(count)
    ]


def describe_scene(i, batch, output, slot_map, scores):
    """The Scene of sample `i` of a batch; slot_map (H, W) int are its predicted slot indices."""
    kept = np.asarray(output.slot_mask[i])
    size = np.bincount(slot_map.ravel(), minlength=len(kept))
    clusters = sorted(np.flatnonzero(kept), key=lambda slot: (-size[slot], slot))
    rank = np.zeros(len(kept), int)
    rank[clusters] = np.arange(len(clusters))
    cluster = rank[output.cluster[i]]
    order = np.lexsort((~kept, cluster))
    return Scene(
        index=int(batch["index"][i]),
        image=np.asarray(batch["image"][i]),
        truth=np.asarray(batch["mask"][i]).astype(int) - 1,
        prediction=rank[slot_map],
        attention=output.attention[:, i][:, order],
        final_attention=output.final_attention[i][order],
        cluster=cluster[order],
        is_kept=kept[order],
        scores=scores,
    )


def large_views(scene):
    """What to look at first: {title: picture (H, W, 3) uint8}; both maps in the same colours."""
    truth = match_labels(scene.truth, scene.prediction)
    return {
        "image": scene.image,
        "ground truth": overlay(scene.image, truth),
        f"prediction: {scene.num_clusters} slots": overlay(scene.image, scene.prediction),
    }


def match_labels(truth, prediction):
    """Give every true mask the number of the predicted one it shares most pixels with.

    (H, W) int twice, -1 = nothing -> (H, W) int. Larger overlaps choose first; a true mask that
    finds none free gets a number of its own.
    """
    matched, free = np.full_like(truth, -1), prediction.max() + 1
    names, taken = [name for name in np.unique(truth) if name >= 0], set()
    overlaps = [
        (np.sum((truth == name) & (prediction == other)), name, other)
        for name in names
        for other in range(free)
    ]
    label = {}
    for overlap, name, other in sorted(overlaps, reverse=True):
        if overlap and name not in label and other not in taken:
            label[name] = other
            taken.add(other)
    for name in names:
        if name not in label:
            label[name], free = free, free + 1
        matched[truth == name] = label[name]
    return matched
