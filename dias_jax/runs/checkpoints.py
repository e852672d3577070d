"""Orbax checkpoints: asynchronous, verified; the latest two and the best are kept."""

import hashlib
import itertools
import logging
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from dias_jax import devices
from dias_jax.errors import NonFiniteLoss, UserError, reason
from dias_jax.files import absolute, is_remote

DIRECTORY = "checkpoints"
DAMAGED = "damaged"  # beside it: what a continued run found damaged

log = logging.getLogger(__name__)


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be read, or is not what was written."""


class Manager(ocp.CheckpointManager):
    """Orbax's, to which a checkpoint with a damaged score is one without a score."""

    def metrics(self, step):
        """{"score": float} of a checkpoint, or None."""
        try:
            return {"score": float(super().metrics(step)["score"])}
        except (ValueError, TypeError, KeyError):
            return None


def quality(metrics):
    """What decides the best checkpoint, as given to `save`: the higher the better."""
    return metrics["score"]


class Checkpoints:
    """The checkpoints of a work directory.

    A checkpoint holds the step, trained parameters and optimiser state, not the frozen backbone:
    of that it records the identity (`dias_jax.pretrained.backbone`). It records the sha256 of each
    of these parts too, and what is read is compared with that.
    """

    def __init__(self, workdir, identity):
        self.identity = identity
        self.directory = absolute(workdir) / DIRECTORY
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(2),  # one is left where the other is damaged
                preservation_policy.BestN(
                    get_metric_fn=quality, n=1, keep_checkpoints_without_metrics=False
                ),
            ]
        )
        self.manager = Manager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy, best_fn=quality, best_mode="max"
            ),
        )

    def save(self, state, quality=None):
        """Start writing `state`; quality: a float, or None without evaluation.

        Raises NonFiniteLoss, and writes nothing, where the state is not finite.
        """
        content = jax.device_get(trained(state))
        step = int(content["step"])
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(content)):
            raise NonFiniteLoss(
                f"the parameters of step {step} are not finite and were not saved: "
                f"{self.directory} keeps what was saved before"
            )
        has_score = quality is not None and np.isfinite(quality)
        record = {"backbone": self.identity, "sha256": digests(content)}
        self.manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(content), record=ocp.args.JsonSave(record)
            ),
            metrics={"score": float(quality)} if has_score else None,
            force=True,
        )

    def check_room(self, state):
        """Raise UserError where the disk has no room for two checkpoints of `state`."""
        if is_remote(self.directory):
            return
        needed = 2 * sum(x.nbytes for x in jax.tree.leaves(trained(state)))
        free = shutil.disk_usage(self.directory).free
        if free < needed:
            raise UserError(
                f"{self.directory} has room for {free / 1e6:,.0f} MB, two checkpoints take "
                f"{needed / 1e6:,.0f} MB: free some, or name another --workdir"
            )

    def steps(self, which="latest"):
        """Steps of what is there, in the order in which to try them.

        which: "latest", newest first; or "best", that with the best score before the others.
        """
        newest_first = sorted(self.manager.all_steps(), reverse=True)
        best = self.manager.best_step() if which == "best" else None
        return sorted(newest_first, key=lambda step: step != best)

    def continued(self, state):
        """`state` with everything trained replaced by the newest sound checkpoint, if there is one.

        Damaged ones are moved aside. Raises UserError where none of several is sound, or they were
        trained on another backbone.
        """
        if not self.steps():
            return state
        how = ocp.args.StandardRestore(jax.device_get(trained(state)))
        content, step = self.read_first(self.steps(), how)
        self.set_aside([damaged for damaged in self.steps() if damaged > step])
        return state.replace(**jax.tree.map(jax.numpy.asarray, content))

    def restore_params(self, params, which):
        """The "best" or "latest" parameters, without the optimiser's moments: -> params, step.

        params: as they are to be, or their shapes. Damaged checkpoints are passed over. Raises
        UserError as `continued`, and where there is no checkpoint.
        """
        steps = self.steps(which)
        if not steps:
            raise UserError(f"{self.directory} holds no checkpoint yet: train first, or wait")
        wanted = {"params": params}
        how = ocp.checkpoint_utils.construct_restore_args(wanted)  # older versions ask for it
        args = ocp.args.PyTreeRestore(wanted, restore_args=how, partial_restore=True)
        content, step = self.read_first(steps, args)
        return jax.tree.map(jax.numpy.asarray, content["params"]), step

    def read_first(self, steps, state_args):
        """What `state_args` asks of the first sound checkpoint of `steps`, and its step."""
        problems = []
        for step in steps:
            try:
                content = self.read(step, state_args)
            except DamagedCheckpoint as error:
                problems.append(f"checkpoint {step} in {self.directory} is damaged ({error})")
                continue
            for problem in problems:
                log.warning("%s: that of step %d is taken instead", problem, step)
            return content, step
        raise UserError(
            f"{problems[0]}, as are all others there: put a copy back, or name another work "
            "directory; nothing was changed"
        )

    def read(self, step, state_args):
        """What `state_args` asks of the checkpoint of `step`, verified.

        Raises DamagedCheckpoint, and UserError when it was trained on another backbone.
        """
        args = ocp.args.Composite(state=state_args, record=ocp.args.JsonRestore())
        try:
            content = self.manager.restore(step, args=args)
            state, record = content["state"], content["record"]
            backbone, expected = record["backbone"], record.get("sha256", {})
        except Exception as error:  # whatever the bytes happen to mean to Orbax and its libraries
            raise DamagedCheckpoint(reason(error)) from error
        if backbone != self.identity:
            what, key = "backbone weights", "file with --config.model.backbone.weights"
            if str(backbone).startswith("slots:"):
                what, key = "other slots,", "folder with --config.probe.slots"
            raise UserError(
                f"{self.directory}/{step} was trained on {what} {backbone}, not on "
                f"{self.identity}: name the same {key}"
            )
        for name, digest in digests(state).items():
            if expected.get(name, digest) != digest:  # earlier versions recorded none
                raise DamagedCheckpoint(f"sha256 of {name} is not what was written")
        return state

    def set_aside(self, steps):
        """Move the checkpoints of `steps` out of the way of new ones."""
        if steps and devices.is_main_process():
            folder = self.directory.parent / DAMAGED
            folder.mkdir(exist_ok=True)
            for step in steps:
                places = (folder / f"{step}_{number}" for number in itertools.count())
                place = next(place for place in places if not place.exists())
                (self.directory / str(step)).rename(place)
                log.warning("the damaged checkpoint was moved to %s", place)
        if devices.any_host(bool(steps)):  # and thereby after the main process
            self.manager.reload()

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


def digests(content):
    """{name: sha256 of its arrays} of each part of a checkpoint's content."""

    def digest(tree):
        total = hashlib.sha256()
        for array in jax.tree.leaves(tree):
            total.update(np.ascontiguousarray(array))
        return total.hexdigest()

    return {name: digest(part) for name, part in content.items()}


def latest_step(workdir):
    """The step from which a run in `workdir` would continue, read off the names alone."""
    directory = absolute(workdir) / DIRECTORY
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)
