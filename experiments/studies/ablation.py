"""The paper's ablation on drawn scenes.

python -m dias_jax.experiments.studies.ablation --out=runs/ablation

{released, reduce only, reduce and re-initialise} x self-distillation {off, released, textbook},
and distillation from the last aggregation. Every arm is trained with every seed and evaluated on
the test split. With --steps=0 and --arm=NAME it makes the README's first table. What is in OUT
already is continued or not repeated, so the script may be stopped, or started several times with
different --seeds beside each other. At the end OUT holds table.md and ablation.png over all seeds
found there.
"""

import itertools
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np
from absl import flags

from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.errors import UserError
from dias_jax.evaluation.split import evaluate_model, protocol_line
from dias_jax.metrics import METRIC_TITLES, METRICS
from dias_jax.pictures.tables import markdown_table
from dias_jax.segmentation import MASKS
from dias_jax.training.train_model import train_model

OUT = flags.DEFINE_string("out", None, "directory for all runs, the table and the figure")
SEEDS = flags.DEFINE_list("seeds", ["42", "43", "44"], "seeds to train with")
ARMS = flags.DEFINE_multi_string("arm", None, "train only this arm; may be given several times")
STEPS = flags.DEFINE_integer(
    "steps", 1_500, "of every run, on 144 tokens; 0: the recipe of shapes as it is", 0
)

# A coarse grid and few slots: 33 runs in about an hour.
SHORT = {
    "model.num_slots": 7,
    "model.token_stride": 1,
    "model.reinit.threshold": 0.05,
    "model.backbone.patch_size": 8,
    "model.decoder.num_tokens": 144,
}

AGGREGATION = {
    "released": {"model.reinit.threshold": 0.0, "model.reinit.num_iterations": 0},
    "reduce": {"model.reinit.num_iterations": 0},
    "reinitialise": {},
}
DISTILLATION = {
    "off": {"loss.distillation_weight": 0.0},
    "released": {"loss.distillation_weight": 1.0},
    "textbook": {"loss.distillation_weight": 1.0, "loss.distillation": "cross_entropy"},
}
FROM_LAST = {"loss.distillation_teacher": "last"}
ORDER = MASKS[::-1]  # the better masks of this model come first
COLUMNS = {  # of the table, with their titles
    **{f"{m}/{name}": f"{m} {title}" for m in ORDER for name, title in METRIC_TITLES.items()},
    "active_slots": "active slots",
    "slot_count_error": "slot count error",
}


def arms():
    """{name: changes to the config}, in the order of the table."""
    pairs = itertools.product(AGGREGATION.items(), DISTILLATION.items())
    changes = {f"{a}, {d}": more | other for (a, more), (d, other) in pairs}
    for form in ("released", "textbook"):
        name = f"reinitialise, {form}"
        changes[f"{name} from last"] = changes[name] | FROM_LAST
    return changes


def chosen_arms():
    """Names of the arms to train. Raises UserError on a name that is none."""
    for name in ARMS.value or ():
        if name not in arms():
            raise UserError(f'--arm="{name}" is unknown: use one of {tuple(arms())}')
    return ARMS.value or list(arms())


def run_arm(changes, seed, directory):
    """Train and evaluate one arm unless its result is there: -> metrics of the test split."""
    path = directory / "test.json"
    if not path.exists():
        config = load_experiment("shapes")
        if STEPS.value:
            config.update_from_flattened_dict(SHORT)
            config.steps, config.evaluation.every = STEPS.value, STEPS.value
        config.update_from_flattened_dict(changes)
        config.seed = seed
        config.data.keep_in_memory = True  # all arms see the same scenes
        trained = train_model(config, directory)
        trained.config.evaluation.limit = 0
        metrics, _ = evaluate_model(trained, "test")
        result = {"metrics": metrics, "protocol": protocol_line(config, "test")}
        path.write_text(json.dumps(result))
    return json.loads(path.read_text())["metrics"]


def read_results(out):
    """{arm: {column: values of all seeds}} of the arms that have a result."""
    results = {}
    for name in arms():
        found = [json.loads(path.read_text()) for path in sorted((out / name).glob("*/test.json"))]
        if found:
            results[name] = {c: [one["metrics"][c] for one in found] for c in COLUMNS}
    return results


def table(results):
    """Markdown: mean and deviation over seeds."""
    rows = [
        [
            name,
            *(f"{np.mean(v):.1f} ± {np.std(v):.1f}" for v in columns.values()),
            str(len(columns["active_slots"])),
        ]
        for name, columns in results.items()
    ]
    return markdown_table(["aggregation, distillation", *COLUMNS.values(), "seeds"], rows)


def plot(results, path):
    """One group an arm: the mean of the four metrics of both kinds of masks, a dot a seed."""
    figure, axis = plt.subplots(figsize=(10, 4), layout="constrained")
    for number, columns in enumerate(results.values()):
        for place, masks in enumerate(ORDER):
            scores = np.mean([columns[f"{masks}/{metric}"] for metric in METRICS], axis=0)
            x = number + 0.36 * place - 0.18
            label = f"{masks} masks" if number == 0 else None
            axis.bar(x, scores.mean(), 0.34, color=f"C{place}", alpha=0.5, label=label)
            axis.plot([x] * len(scores), scores, "k.", markersize=5)
    axis.set_xticks(range(len(results)), list(results), rotation=30, ha="right")
    axis.set(ylabel=f"mean of {', '.join(METRIC_TITLES.values())} (%)")
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments):
    """Run what is missing, then write table and figure."""
    require("out")
    out = pathlib.Path(OUT.value)
    for seed, name in itertools.product(map(int, SEEDS.value), chosen_arms()):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(arms()[name], seed, out / name / str(seed))
    results = read_results(out)
    (out / "table.md").write_text(table(results) + "\n")
    plot(results, out / "ablation.png")
    print(table(results))
    print(out / "table.md", out / "ablation.png")


if __name__ == "__main__":
    run(main)
