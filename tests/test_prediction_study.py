"""The study of prediction: which configs it trains, and what becomes of its results."""

from dias_jax.config.checks import check_config
from dias_jax.config.defaults import flatten
from dias_jax.config.experiments import load_experiment
from experiments.studies import arms, prediction


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def changed_keys(config, name):
    whole = flatten(load_experiment(name))
    return {key for key, value in flatten(config).items() if value != whole[key]}


def test_every_arm_is_valid_and_changes_only_its_idea():
    for name, changes in prediction.ARMS.items():
        for experiment in ("shapes", "bouncing"):
            config = prediction.model_config(experiment, name, 7, steps=500)
            check_config(config)
            own = {"seed", "steps", "evaluation.every"}
            assert changed_keys(config, experiment) == own | changes.keys()
        config = prediction.prediction_config(name, 7, "runs/slots")
        check_config(config)
        variant = ":states" if name == prediction.STATES else ""
        assert changed_keys(config, f"prediction_bouncing{variant}") == {
            *("seed", "probe.slots", "evaluation.limit"),
        }
    for seen, variant in prediction.SEEN.items():
        config = prediction.reasoning_config(variant, 7, "runs/slots", "runs/rollout")
        check_config(config)
        assert config.readout.sees == seen and config.readout.rollout == "runs/rollout"
        assert config.readout.observed == load_experiment("prediction_bouncing").rollout.observed


def write_results(out, name, seeds, value):
    names = [*prediction.SLOTS, *prediction.PREDICTION, *prediction.REASONING]
    for seed in seeds:
        directory = out / name / str(seed)
        directory.mkdir(parents=True)
        errors = {
            "roll_out/errors": [0.5] * 10 + [1.5] * 10,
            "linear/errors": [0.25] * 3 + [2] * 17,
        }
        found = dict.fromkeys(names, value + seed) | errors | prediction.beats(errors)
        arms.keep_result(directory, found, "a protocol")


def test_tables_hold_what_was_found(tmp_path):
    write_results(tmp_path, prediction.WHOLE, (1, 3), 20.0)
    write_results(tmp_path, "not merged", (1,), 10.0)
    write_results(tmp_path, prediction.STATES, (1, 3), 50.0)
    results = arms.read_results(tmp_path, prediction.ARMS)
    table = arms.results_table(results, prediction.PREDICTION, digits=2).splitlines()
    assert [cells(line)[0] for line in table[2:]] == ["DIAS", "not merged", "true states"]
    assert cells(table[2]) == ["DIAS", *["22.00 ± 1.41"] * 2, *["10.00 ± 0.00", "4.00 ± 0.00"], "2"]
    assert cells(table[3]) == ["not merged", "11.00", "11.00", "10.00", "4.00", "1"]
    steps = prediction.steps_table(results).splitlines()
    titles, values = cells(steps[0]), cells(steps[2])
    for title, expected in (("roll-out 1", "0.50"), ("roll-out 15", "1.50"), ("linear 5", "2.00")):
        assert values[titles.index(title)] == f"{expected} ± 0.00"
    assert prediction.STATES not in prediction.without_states(results)
    (row,) = prediction.differences(results).splitlines()[2:]
    assert cells(row) == ["not merged", *["10.00 ± inf"] * len(prediction.DIFFERENCES)]


def test_what_a_roll_out_beats():
    metrics = {"roll_out/errors": [0.9, 1.1, 0.8], "linear/errors": [0.1, 1.2, 1.5]}
    assert prediction.beats(metrics) == {"steps_below_copy": 2, "below_linear_from": 2}
    metrics["linear/errors"] = [1, 2, 3]
    assert prediction.beats(metrics)["below_linear_from"] == 1
