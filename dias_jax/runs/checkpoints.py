"""Orbax checkpoints: asynchronous, the latest and the best are kept."""

import pathlib

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from dias_jax.errors import UserError

DIRECTORY = "checkpoints"


def quality(metrics):
    """What decides the best checkpoint, as given to `save`: the higher the better."""
    return metrics["score"]


class Checkpoints:
    """The checkpoints of a work directory.

    A checkpoint holds the step, trained parameters and optimiser state, not the frozen backbone:
    of that it records the identity (`dias_jax.pretrained.backbone`).
    """

    def __init__(self, workdir, identity):
        self.identity = identity
        self.directory = pathlib.Path(workdir).resolve() / DIRECTORY
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(1),
                preservation_policy.BestN(
                    get_metric_fn=quality, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self.manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy, best_fn=quality, best_mode="max"
            ),
        )

    def save(self, state, quality=None):
        """Start writing `state`; quality: a float, or None without evaluation."""
        metrics = None if quality is None else {"score": quality}
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
        state_args = ocp.args.StandardRestore(jax.device_get(trained(state)))
        content = self.read(step, state_args)
        return state.replace(**jax.tree.map(jax.numpy.asarray, content))

    def restore_params(self, params, step):
        """The parameters of the checkpoint of `step`, without the optimiser's moments.

        params: as they are to be, or their shapes. Raises UserError when it was trained on another
        backbone.
        """
        wanted = {"params": params}
        how = ocp.checkpoint_utils.construct_restore_args(wanted)  # older versions ask for it
        state_args = ocp.args.PyTreeRestore(wanted, restore_args=how, partial_restore=True)
        return jax.tree.map(jax.numpy.asarray, self.read(step, state_args)["params"])

    def read(self, step, state_args):
        """What `state_args` asks of the checkpoint of `step`. Raises UserError as `restore`."""
        args = ocp.args.Composite(state=state_args, record=ocp.args.JsonRestore())
        content = self.manager.restore(step, args=args)
        recorded = content["record"]["backbone"]
        if recorded != self.identity:
            raise UserError(
                f"{self.directory}/{step} was trained on backbone weights {recorded}, not on "
                f"{self.identity}: name the same file with --config.model.backbone.weights"
            )
        return content["state"]

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


def latest_step(workdir):
    """The step from which a run in `workdir` would continue, read off the names alone."""
    directory = pathlib.Path(workdir) / DIRECTORY
    return max(ocp.utils.checkpoint_steps(directory), default=0) if directory.is_dir() else 0
