"""A profile of some calls of the training step, as TensorBoard, XProf and Perfetto read them."""

import logging

import jax

UNTRACED = 2  # calls at the start: compilation, and what it leaves behind
TRACED = 5  # calls

log = logging.getLogger(__name__)


class Tracer:
    """Writes a profile of `TRACED` calls into a folder, once `UNTRACED` are done."""

    def __init__(self, folder):
        self.folder, self.num_calls, self.is_tracing = folder, 0, False

    def after_call(self, results):
        """Begin or end the profile where it is time; results: arrays that the call gives."""
        self.num_calls += 1
        if self.num_calls in (UNTRACED, UNTRACED + TRACED):
            jax.block_until_ready(results)
            self.stop()
        if self.num_calls == UNTRACED:
            jax.profiler.start_trace(str(self.folder))
            self.is_tracing = True

    def close(self):
        """End the profile, or say that there is none."""
        self.stop()
        if self.num_calls < UNTRACED:
            log.warning("--trace: no profile, for one begins after %d calls of the step", UNTRACED)

    def stop(self):
        """End the profile, if it goes on."""
        if self.is_tracing:
            jax.profiler.stop_trace()
            self.is_tracing = False
