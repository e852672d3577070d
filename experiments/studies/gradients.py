"""Which of the two losses moves the slots: gradient norms over training.

python -m dias_jax.experiments.studies.gradients --config=shapes --out=DIR [--every=50]

Trains the experiment as it is (with any --config.KEY=VALUE) and, every so many steps, takes the
gradient of the reconstruction and that of the weighted self-distillation apart, on the batch and
the random numbers of that step. Norms are over the parameters that both reach: all but the
decoder's. With a distillation weight of 0 its gradient is that of weight 1, which is not used.
Prints a Markdown table and draws OUT/gradients.png.
"""

import functools
import pathlib

import jax
import matplotlib.pyplot as plt
import optax
from absl import flags

from dias_jax import cli
from dias_jax.config.experiments import define_config_flag
from dias_jax.losses import dias_objective
from dias_jax.pictures.tables import markdown_table
from dias_jax.runs.state import create_state
from dias_jax.steps.training import train_step
from dias_jax.tasks.discovery import Discovery, objective_options
from dias_jax.training.optimizer import build_optimizer

TITLES = (
    *("step", "reconstruction", "distillation", "weight"),
    *("gradient of reconstruction", "gradient of distillation"),
)
PARTS = ("reconstruction", "distillation")


def define_flags(arguments):
    """--config of an experiment, and what is this study's own."""
    flags.DEFINE_string("out", None, "directory for the plot")
    flags.DEFINE_integer("every", 50, "steps between measurements", 1)
    return define_config_flag(arguments)


def measure_gradients(state, batch, rng, *, model, objective):
    """Values of both losses, the weight, and the norms of both gradients: -> dict of scalars."""
    rng = jax.random.fold_in(rng, state.step)  # as in `train_step`

    def loss_of(params, part):
        variables = state.variables | {"params": params}
        _, values, _ = objective(model, variables, batch, rng, state.step)
        return values[part], values

    measured = {}
    for part in PARTS:
        gradient, values = jax.grad(loss_of, has_aux=True)(state.params, part)
        gradient.pop("decoder")
        measured[f"{part}_gradient"] = optax.tree.norm(gradient)
    weight = values["distillation_weight"]
    measured["distillation_gradient"] *= jax.numpy.where(weight > 0, weight, 1)
    return measured | {name: values[name] for name in (*PARTS, "distillation_weight")}


def train_and_measure(config, every):
    """Train a config from its start: -> list of (step, measured)."""
    task, optimizer = Discovery(config), build_optimizer(config)
    state, _ = create_state(config, task.model, optimizer)
    objective = functools.partial(dias_objective, **objective_options(config))
    step = functools.partial(train_step, loss_fn=task.loss_fn, optimizer=optimizer)
    step = jax.jit(step, donate_argnums=0)
    look = functools.partial(measure_gradients, model=task.model, objective=objective)
    look = jax.jit(look)
    rng, found = jax.random.key(config.seed), []
    for number, batch in zip(range(config.steps), task.train_batches(0)):
        if number % every == 0:
            found.append((number, jax.device_get(look(state, batch, rng))))
        state, _ = step(state, batch, rng)
    return found


def table(found):
    """Markdown, a line a measurement."""
    names = (*PARTS, "distillation_weight", *(f"{part}_gradient" for part in PARTS))
    rows = [[number, *(f"{values[name]:.3g}" for name in names)] for number, values in found]
    return markdown_table(TITLES, rows)


def plot(found, path):
    """Both norms over the steps, on a logarithmic scale."""
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for part in PARTS:
        norms = [values[f"{part}_gradient"] for _, values in found]
        axis.semilogy([number for number, _ in found], norms, label=part)
    axis.set(xlabel="step", ylabel="norm of the gradient, decoder left out")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments):
    """Train, print and draw."""
    cli.require("config", "out")
    out = pathlib.Path(flags.FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    found = train_and_measure(flags.FLAGS.config, flags.FLAGS.every)
    print(table(found))
    plot(found, out / "gradients.png")
    print(f"plot in {out / 'gradients.png'}")


if __name__ == "__main__":
    cli.run(main, define_flags)
