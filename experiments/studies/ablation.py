"""What each idea of the paper is worth on drawn scenes.

python -m dias_jax.experiments.studies.ablation --out=runs/ablation

The recipe of `shapes` as it is, and with one idea at a time taken away or put in another form:
re-initialised aggregation, self-distillation, random auto-regressive order. Every arm is trained
with every seed and evaluated on the whole test split. What is in OUT already is continued or not
repeated, so the script may be stopped, or started several times with different --seeds beside each
other. At the end OUT holds table.md, differences.md and ablation.png over all seeds found there.
"""

import pathlib

import matplotlib.pyplot as plt
import numpy as np

from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.evaluation.split import evaluate_model, protocol_line
from dias_jax.metrics import METRIC_TITLES, METRICS
from dias_jax.pictures.tables import markdown_table
from dias_jax.segmentation import MASKS
from dias_jax.training.train_model import train_model

from . import arms

WHOLE = "everything"
BLIND = {
    "model.decoder.uniform_probability": 0.0,
    "model.decoder.fixed_visible": 0,
    "model.decoder.evaluation_sees_tokens": False,
}
# {name: changes to the config}, in the order of the table.
CHANGES = {
    WHOLE: {},
    "reduce only": {"model.reinit.num_iterations": 0},
    "no reduction": {"model.reinit.threshold": 0.0, "model.reinit.num_iterations": 0},
    "no distillation": {"loss.distillation_weight": 0.0},
    "textbook distillation": {"loss.distillation": "cross_entropy"},
    "no visible tokens": BLIND,
    "only the fixed tenth": {"model.decoder.uniform_probability": 0.0},
    "raster order": {"model.decoder.order": "raster", "model.decoder.uniform_probability": 1.0},
}
COLUMNS = {  # of the table, with their titles
    **{f"{m}/{name}": f"{m} {title}" for m in MASKS for name, title in METRIC_TITLES.items()},
    "active_slots": "active slots",
    "slot_count_error": "slot count error",
}


def arm_config(name, seed, steps=0):
    """The config of one run; steps 0: those of the recipe."""
    config = load_experiment("shapes")
    config.steps = steps or config.steps
    config.update_from_flattened_dict(CHANGES[name])
    config.seed = seed
    config.data.keep_in_memory = True
    config.evaluation.every = config.steps
    return config


def run_arm(name, seed, directory):
    """Train one arm and evaluate it on the test split, unless its result is there."""
    if (directory / arms.RESULT).exists():
        return
    trained = train_model(arm_config(name, seed, arms.STEPS.value), directory)
    trained.config.evaluation.limit = 0
    metrics, _ = evaluate_model(trained, "test")
    arms.keep_result(directory, metrics, protocol_line(trained.config, "test"))


def mean_of_metrics(metrics, masks):
    """ARI, FG-ARI, mBO and mIoU in one number."""
    return np.mean([metrics[f"{masks}/{name}"] for name in METRICS])


def paired_difference(whole, other, masks):
    """What an arm loses against the whole recipe, over the seeds of both, in the mean of metrics.

    {seed: metrics} twice -> the mean difference and half the width of Student's confidence
    interval, infinite for one seed; None where they share no seed.
    """
    seeds = sorted(whole.keys() & other.keys())
    if not seeds:
        return None
    return arms.interval(
        [mean_of_metrics(whole[s], masks) - mean_of_metrics(other[s], masks) for s in seeds]
    )


def differences(results):
    """Markdown: what every other arm loses, with its confidence interval."""
    rows = []
    for name, seeds in results.items():
        lost = [paired_difference(results.get(WHOLE, {}), seeds, masks) for masks in MASKS]
        if name != WHOLE and None not in lost:
            rows.append([name, *(f"{mean:.1f} ± {half:.1f}" for mean, half in lost)])
    return markdown_table(["loses", *(f"{masks} masks" for masks in MASKS)], rows)


def plot(results, path):
    """One group an arm: the mean of the four metrics of both kinds of masks, a dot a seed."""
    figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
    for number, seeds in enumerate(results.values()):
        for place, masks in enumerate(MASKS):
            scores = np.array([mean_of_metrics(metrics, masks) for metrics in seeds.values()])
            x = number + 0.36 * place - 0.18
            label = f"{masks} masks" if number == 0 else None
            axis.bar(x, scores.mean(), 0.34, color=f"C{place}", alpha=0.5, label=label)
            axis.plot([x] * len(scores), scores, "k.", markersize=5)
    axis.set_xticks(range(len(results)), list(results), rotation=30, ha="right")
    axis.set(ylabel=f"mean of {', '.join(METRIC_TITLES.values())} (%)")
    axis.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments):
    """Run what is missing, then write tables and figure."""
    require("out")
    out = pathlib.Path(arms.OUT.value)
    for seed, name in arms.chosen_arms(CHANGES):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(name, seed, out / name / str(seed))
    results = arms.read_results(out, CHANGES)
    table = arms.results_table(results, COLUMNS)
    for text, file in ((table, "table.md"), (differences(results), "differences.md")):
        (out / file).write_text(text + "\n")
        print(text, end="\n\n")
    plot(results, out / "ablation.png")
    print(out / "table.md", out / "differences.md", out / "ablation.png")


if __name__ == "__main__":
    run(main)
