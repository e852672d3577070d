"""What slots tell of the things they have found, and what each idea of the paper adds to it.

python -m dias_jax.experiments.studies.recognition --out=runs/recognition --models=runs/ablation

Drawn scenes. The models are those of the ablation study, from --models where it has trained them.
Probes are trained on slots, and on what slots are compared with: the boxes of their masks alone,
mean features of true masks and of k-means clusters, as many as a scene has masks at most. Every arm
with every seed, of model and probes; the whole test split. What is in OUT already is continued or
not repeated. At the end OUT holds table.md and properties.md over all seeds found there, and
differences.md: what the whole method has over the same without an idea.
"""

import pathlib

from absl import flags

from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.evaluation.extraction import extract_split
from dias_jax.pictures.tables import markdown_table
from dias_jax.runs.trained_model import open_run
from dias_jax.tasks import properties, recognition
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from dias_jax.training.train_model import train_model

from . import ablation, arms

MODELS = flags.DEFINE_string(
    "models", None, "directory of the ablation's runs; default: OUT/models"
)
SCENES = flags.DEFINE_integer("scenes", 4_000, "of the train split, for the probes", 100)
PROBE_STEPS = flags.DEFINE_integer("probe_steps", 2_000, "of every probe", 1)

WHOLE, CLUSTERS = "DIAS", "k-means clusters"
MOST_MASKS = 7  # of a scene, the ground included
# {arm: (arm of the ablation, what probes are given)}, in the order of the tables.
ARMS = {
    WHOLE: (ablation.WHOLE, "slots"),
    "merged, not aggregated again": ("reduce only", "slots"),
    "not merged": ("no reduction", "slots"),
    "no self-distillation": ("no distillation", "slots"),
    "boxes of its masks": (ablation.WHOLE, "boxes"),
    CLUSTERS: (ablation.WHOLE, "k_means"),
    "true masks": (ablation.WHOLE, "true_masks"),
}
PROBES = {"recognition_shapes": recognition.report, "properties_shapes": properties.report}
COLUMNS = {
    "top1": "top-1",
    "top3": "top-3",
    "box_iou": "box IoU",
    "pairs": "pairs",
    "recall_50": "recall",
    "precision_50": "precision",
    "recognised": "recognised",
    "ap_50": "AP 50",
}
PROPERTIES = {
    "mask/form": "form",
    "mask/pattern": "pattern",
    "mask/hue_r2": "hue R²",
    "mask/centre_r2": "centre R²",
    "mask/radius_r2": "radius R²",
    "loss/hue_r2": "hue R², loss matching",
    "loss/centre_r2": "centre R², loss matching",
}
DIFFERENCES = {"recognised": "recognised", "recall_50": "recall", "top1": "top-1"}


def run_arm(name, seed, out, models):
    """Model, slots, probes and their test of one arm, unless the result is there."""
    directory = out / name / str(seed)
    if (directory / arms.RESULT).exists():
        return
    arm, representation = ARMS[name]
    trained = open_model(arm, seed, models, representation)
    slots = directory / "slots"
    for split, limit in (("train", SCENES.value), ("test", 0)):
        trained.config.evaluation.limit = limit
        extract_split(trained, split, slots, "aggregator", representation)
    metrics, protocols = {}, []
    for probe, report in PROBES.items():
        config = probe_config(probe, seed, slots)
        fit(task_of(config), config, directory / probe)
        found = report(config, directory / probe, "test", "best")
        metrics |= found["metrics"]
        protocols.append(found["protocol"])
    arms.keep_result(directory, metrics, "; ".join(protocols))


def open_model(arm, seed, models, representation):
    """The TrainedModel of the ablation's arm, trained where it is not yet."""
    workdir = models / arm / str(seed)
    trained = train_model(ablation.arm_config(arm, seed, arms.STEPS.value), workdir)
    if representation == "k_means":
        trained.config.model.num_slots = MOST_MASKS
        trained = open_run(workdir, trained.config)
    return trained


def probe_config(name, seed, slots):
    """The config of a probe on the slots of a folder."""
    config = load_experiment(name)
    config.seed, config.steps = seed, PROBE_STEPS.value
    config.probe.slots = str(slots)
    return config


def differences(results):
    """Markdown: what the whole method has over every other arm of slots, in percent points."""
    rows = []
    for name, (_, representation) in ARMS.items():
        shared = results[WHOLE].keys() & results.get(name, {}).keys()
        if name != WHOLE and representation == "slots" and shared:
            pairs = [paired(results, name, metric) for metric in DIFFERENCES]
            rows.append([name, *(f"{mean:.1f} ± {half:.1f}" for mean, half in pairs)])
    return markdown_table(["without: " + WHOLE + " has more", *DIFFERENCES.values()], rows)


def paired(results, name, metric):
    """Mean difference to the whole method over the seeds of both, and its confidence interval."""
    whole, other = results[WHOLE], results[name]
    return arms.interval([whole[s][metric] - other[s][metric] for s in whole.keys() & other])


def main(arguments):
    """Run what is missing, then write the tables."""
    require("out")
    out = pathlib.Path(arms.OUT.value)
    models = pathlib.Path(MODELS.value or out / "models")
    for seed, name in arms.chosen_arms(ARMS):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(name, seed, out, models)
    results = arms.read_results(out, ARMS)
    texts = {
        "table.md": arms.results_table(results, COLUMNS),
        "properties.md": arms.results_table(results, PROPERTIES, digits=2),
        "differences.md": differences(results) if WHOLE in results else "",
    }
    for file, text in texts.items():
        (out / file).write_text(text + "\n")
        print(text, end="\n\n")
    print(*(out / file for file in texts))


if __name__ == "__main__":
    run(main)
