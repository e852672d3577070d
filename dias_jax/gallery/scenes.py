"""What a model made of single images, ready to be drawn."""

import dataclasses

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from data_pipelines import pipeline, sources
from dias_jax.metrics import METRICS
from dias_jax.models.prediction import predict
from dias_jax.pictures.overlays import overlay
from dias_jax.steps.scoring import compare_with_truth, predict_masks


@dataclasses.dataclass(frozen=True)
class Scene:
    """One image and its slots, all numpy. Slots are ordered by cluster, the largest first."""

    index: int  # in its split
    image: np.ndarray  # (H, W, 3) uint8
    truth: np.ndarray | None  # (H, W) int, -1 = un-annotated; None: there is none
    prediction: np.ndarray  # (H, W) int, clusters by rank of size
    attention: np.ndarray  # (T, S, h, w), of every iteration of the first aggregation
    final_attention: np.ndarray  # (S, h, w), of the last aggregation
    slot: np.ndarray  # (S,) int, the number of each slot
    cluster: np.ndarray  # (S,) int, the cluster each slot belongs to, by rank of size
    is_kept: np.ndarray  # (S,) bool, False = merged into the kept slot of its cluster
    scores: dict  # {metric: percent} of `prediction`

    @property
    def num_clusters(self):
        """How many slots are left after merging."""
        return int(self.is_kept.sum())

    @property
    def num_segments(self):
        """How many slots own pixels of the prediction."""
        return len(np.unique(self.prediction))


def study_scenes(trained, split, count):
    """Run a TrainedModel on the first samples of a split: -> list of `count` Scenes.

    Slots are sampled as in evaluation. Masks are of the kind config.evaluation.masks names.
    """
    config, masks = trained.config, trained.config.evaluation.masks
    num_masks = sources.open_split(config.data, split).num_masks
    batch = next(pipeline.evaluation_batches(config.data, split, count, limit=count))
    rng = jax.random.key(config.seed)

    output = predict(trained.model, trained.variables, batch["image"], rng, batch["index"])
    predictions = predict_masks(output, batch["image"].shape[1:3])
    values = compare_with_truth(predictions, batch.get("mask"), num_masks)
    scores = {name: values[f"{masks}/{name}"][0] for name in METRICS} if values else {}
    output, slot_maps, scores = jax.device_get((output, predictions[masks], scores))
    return [
        describe_scene(
            i, batch, output, slot_maps[i], {k: 100 * float(v[i]) for k, v in scores.items()}
        )
        for i in range(len(batch["image"]))
        if batch["valid"][i]
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
        truth=batch["mask"][i].astype(int) - 1 if "mask" in batch else None,
        prediction=rank[slot_map],
        attention=output.attention[:, i][:, order],
        final_attention=output.final_attention[i][order],
        slot=order,
        cluster=cluster[order],
        is_kept=kept[order],
        scores=scores,
    )


def large_views(scene):
    """What to look at first: {title: picture (H, W, 3) uint8}; both maps in the same colours."""
    views = {"image": scene.image}
    if scene.truth is not None:
        truth = match_labels(scene.truth, scene.prediction)
        views["ground truth"] = overlay(scene.image, truth)
    title = f"prediction: {scene.num_segments} slots"
    views[title] = overlay(scene.image, scene.prediction)
    return views | {"colours of its slots": overlay(scene.image, scene.prediction, 1.0)}


def match_labels(truth, prediction):
    """Give true masks the numbers of predicted ones, so that most pixels agree.

    (H, W) int twice, -1 = nothing -> (H, W) int. A true mask that shares no pixel with its partner
    gets a number of its own.
    """
    names = np.unique(truth[truth >= 0])
    others = np.arange(prediction.max() + 1)
    shared = np.array([[np.sum((truth == n) & (prediction == o)) for o in others] for n in names])
    matched, free = np.full_like(truth, -1), len(others)
    partner = {}
    if len(names):
        rows, columns = linear_sum_assignment(shared, maximize=True)
        partner = {r: c for r, c in zip(rows, columns) if shared[r, c]}
    for row, name in enumerate(names):
        matched[truth == name] = partner.get(row, free)
        free += row not in partner
    return matched
