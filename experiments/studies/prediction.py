"""What comes next and why, from slots, and what each idea of the paper adds to it.

python -m dias_jax.experiments.studies.prediction --out=runs/prediction_study

Discs that bounce. Every arm with every seed: an image model learns on `shapes`, a video model goes
on from it on `bouncing` and its slots are extracted, a roll-out learns from those of `train`, and
read-outs from those of `readout` answer questions that they are asked about `test`, from the
observed frames, from these and predicted ones and from all true ones (oracle). "true states" has
places and radii instead of slots: what roll-out and read-out do alone. What is in OUT already is
continued or not repeated. At the end OUT holds slots.md, prediction.md, steps.md (errors over the
horizon) and reasoning.md over all seeds found there, and differences.md: what the whole method has
over the same without an idea.
"""

import pathlib

from absl import flags

from dias_jax.cli import require, run
from dias_jax.config.experiments import load_experiment
from dias_jax.evaluation.extraction import extract_split
from dias_jax.evaluation.split import compile_evaluation, evaluate_split, open_evaluation
from dias_jax.pictures.tables import markdown_table
from dias_jax.tasks import prediction, reasoning
from dias_jax.tasks.of_config import task_of
from dias_jax.training.loop import fit
from dias_jax.training.train_model import train_model

from . import arms

EXTRACTED = flags.DEFINE_multi_integer(
    "extracted", [4_000, 2_400, 0], "videos of train, readout and test; 0: all", 0
)

WHOLE, STATES = "DIAS", "true states"
# {arm: changes to the configs of both models}, in the order of the tables.
ARMS = {
    WHOLE: {},
    "merged, not aggregated again": {"model.reinit.num_iterations": 0},
    "not merged": {"model.reinit.threshold": 0.0, "model.reinit.num_iterations": 0},
    "no self-distillation": {"loss.distillation_weight": 0.0},
    STATES: {},
}
SEEN = {"observed": ":observed", "rolled_out": "", "oracle": ":oracle"}  # variants of the read-out
SPLITS = "train", "readout", "test"
SCORED = 100  # test videos whose masks, and whose futures, are scored: decoding takes long
SLOTS = {
    "decoder/mbo": "decoder mBO",
    "decoder/frame_mbo": "of frames",
    "aggregator/mbo": "aggregator mBO",
    "aggregator/frame_mbo": "of frames",
    "aggregator/consistency": "consistency",
    "active_slots": "slots in use",
}
PREDICTION = {
    "roll_out/error": "roll-out",
    "linear/error": "linear",
    "steps_below_copy": "steps below copying",
    "below_linear_from": "below linear from step",
}
REASONING = {
    f"{seen}/{name}": f"{seen.replace('_', ' ')}{title}"
    for seen in SEEN
    for name, title in (("accuracy", ""), ("accuracy/ghost_wrong", ", ghost wrong"))
}
DIFFERENCES = {
    "roll_out/error": "error of the roll-out",
    **{f"{seen}/accuracy": f"accuracy, {seen.replace('_', ' ')}" for seen in SEEN},
}
STEPS = 1, 2, 5, 10, 15, 20  # of the horizon, in steps.md


def run_arm(name, seed, out):
    """Model, slots, roll-out, read-outs and their tests of one arm, unless the result is there."""
    directory = out / name / str(seed)
    if (directory / arms.RESULT).exists():
        return
    model, folder = (name, directory) if name != STATES else (WHOLE, out / name)
    seed_of_model = seed if name != STATES else int(arms.SEEDS.value[0])  # states have no model
    image, model = (out / model / str(seed_of_model) / part for part in ("image", "model"))
    train_model(model_config("shapes", name, seed_of_model), image)
    config = model_config("bouncing", name, seed_of_model, arms.STEPS.value)
    config.start_from = str(image)
    trained = train_model(config, model)
    metrics = score_model(trained)
    slots = extract_all(trained, name, folder, str(model))
    workdir = directory / "rollout"
    found = learn(prediction_config(name, seed, slots), workdir, prediction.report)
    metrics |= found["metrics"] | beats(found["metrics"])
    protocols = [found["protocol"]]
    for seen, variant in SEEN.items():
        config = reasoning_config(variant, seed, slots, workdir)
        found = learn(config, directory / seen, reasoning.report)
        metrics |= {f"{seen}/{key}": value for key, value in found["metrics"].items()}
        protocols.append(found["protocol"])
    arms.keep_result(directory, metrics, "; ".join(protocols))


def model_config(experiment, name, seed, steps=0):
    """The config of a model of an arm; steps 0: those of the recipe."""
    config = load_experiment(experiment)
    config.steps = steps or config.steps
    config.update_from_flattened_dict(ARMS[name])
    config.seed = seed
    config.evaluation.every = config.steps
    return config


def prediction_config(name, seed, slots):
    """The config of the roll-out of an arm."""
    config = load_experiment("prediction_bouncing" + (":states" if name == STATES else ""))
    config.seed, config.probe.slots = seed, str(slots)
    config.evaluation.limit = SCORED
    return config


def reasoning_config(variant, seed, slots, rollout):
    """The config of a read-out; variant: of SEEN, rollout: the work directory of the roll-out."""
    config = load_experiment(f"reasoning_bouncing{variant}")
    config.seed, config.probe.slots = seed, str(slots)
    config.readout.rollout = str(rollout)
    return config


def score_model(trained):
    """What masks a model finds on the first test videos: -> metrics."""
    config = trained.config
    config.evaluation.limit = SCORED
    step = compile_evaluation(config, trained.model, open_evaluation(config, "test").num_masks)
    return evaluate_split(step, trained.variables, config, "test")[0]


def extract_all(trained, name, folder, model):
    """Extract what an arm learns from; model: where it is: -> the folder."""
    representation = "true_states" if name == STATES else "slots"
    for split, limit in zip(SPLITS, EXTRACTED.value, strict=True):
        trained.config.evaluation.limit = limit
        extract_split(trained, split, folder / "slots", "aggregator", representation, name=model)
    return folder / "slots"


def learn(config, workdir, report):
    """Train on slots and report on the test split."""
    fit(task_of(config), config, workdir)
    return report(config, workdir, "test", "best")


def beats(metrics):
    """On how many steps a roll-out is better than copying, and from which on than going on."""
    ours, linear = metrics["roll_out/errors"], metrics["linear/errors"]
    worse = [step for step, pair in enumerate(zip(ours, linear), 1) if pair[0] >= pair[1]]
    below = sum(error < 1 for error in ours)
    return {"steps_below_copy": below, "below_linear_from": max(worse, default=0) + 1}


def steps_table(results):
    """Markdown: errors at some steps, of roll-outs and linear extrapolation."""
    columns = {}
    flat = {name: {seed: {} for seed in seeds} for name, seeds in results.items()}
    for step in STEPS:
        for who, title in (("roll_out", "roll-out"), ("linear", "linear")):
            columns[f"{who}/{step}"] = f"{title} {step}"
            for name, seeds in results.items():
                for seed, metrics in seeds.items():
                    flat[name][seed][f"{who}/{step}"] = metrics[f"{who}/errors"][step - 1]
    return arms.results_table(flat, columns, digits=2)


def differences(results):
    """Markdown: what the whole method has over every other arm of slots."""
    rows = []
    for name in ARMS:
        shared = results[WHOLE].keys() & results.get(name, {}).keys()
        if name not in (WHOLE, STATES) and shared:
            pairs = [paired(results, name, metric, shared) for metric in DIFFERENCES]
            rows.append([name, *(f"{mean:.2f} ± {half:.2f}" for mean, half in pairs)])
    return markdown_table([f"without: {WHOLE} has more", *DIFFERENCES.values()], rows)


def paired(results, name, metric, seeds):
    """Mean difference to the whole method over the seeds of both, and its confidence interval."""
    whole, other = results[WHOLE], results[name]
    return arms.interval([whole[seed][metric] - other[seed][metric] for seed in sorted(seeds)])


def main(arguments):
    """Run what is missing, then write the tables."""
    require("out")
    out = pathlib.Path(arms.OUT.value)
    for seed, name in arms.chosen_arms(ARMS):
        print(f"seed {seed}: {name}", flush=True)
        run_arm(name, seed, out)
    results = arms.read_results(out, ARMS)
    texts = {
        "slots.md": arms.results_table(without_states(results), SLOTS),
        "prediction.md": arms.results_table(results, PREDICTION, digits=2),
        "steps.md": steps_table(results),
        "reasoning.md": arms.results_table(results, REASONING),
        "differences.md": differences(results) if WHOLE in results else "",
    }
    for file, text in texts.items():
        (out / file).write_text(text + "\n")
        print(text, end="\n\n")
    print(*(out / file for file in texts))


def without_states(results):
    """The results of arms with slots."""
    return {name: seeds for name, seeds in results.items() if name != STATES}


if __name__ == "__main__":
    run(main)
