"""Orbax checkpoints: asynchronous, the latest and the best are kept."""

import pathlib

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from dias_jax.errors import UserError

DIRECTORY = "checkpoints"


def score(metrics):
    """What decides the best checkpoint (see `dias_jax.evaluation.score`)."""
    return metrics["score"]


class Checkpoints:
    """The checkpoints of a work directory.

    A checkpoint holds the step, trained parameters and optimiser state, not the frozen backbone:
    of that it records the identity (`dias_jax.weights`).
    """

    def __init__(self, workdir, identity):
        self.identity = identity
        self.directory = pathlib.Path(workdir).resolve() / DIRECTORY
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(1),
                preservation_policy.BestN(
                    get_metric_fn=score, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self.manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy, best_fn=score, best_mode="max"
            ),
        )

    def save(self, state, metrics=None):
        """Start writing `state`; metrics: {"score": float, ...} or None without evaluation."""
        content = jax.device_get(trained(state))
        self.manager.save(
            int(content["step"]),
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(content),
                record=ocp.args.JsonSave({"backbone": self.identity}),
            ),
            metrics=metrics,
            force=True,
        )

    def steps(self):
        """{"latest": step, "best": step} of what is there; empty before the first checkpoint."""
        latest = self.manager.latest_step()
        if latest is None:
            return {}
        best = self.manager.best_step()
        return {"latest": latest, "best": latest if best is None else best}

    def restore(self, state, step):
        """`state` with everything trained replaced by the checkpoint of `step`.

        Raises UserError when that was trained on another backbone.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.device_get(trained(state))),
            record=ocp.args.JsonRestore(),
        )
        content = self.manager.restore(step, args=args)
        recorded = content["record"]["backbone"]
        if recorded != self.identity:
            raise UserError(
                f"{self.directory}/{step} was trained on backbone weights {recorded}, not on "
                f"{self.identity}: name the same file with --config.model.backbone.weights"
            )
        return state.replace(**jax.tree.map(jax.numpy.asarray, content["state"]))

    def close(self):
        """Wait for what is being written."""
        self.manager.close()


def trained(state):
    """The part of a TrainState that a checkpoint holds."""
    return {
        "step": state.step,
        "params": state.params,
        "optimizer_state": state.optimizer_state,
    }
