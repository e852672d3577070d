"""The training step: the gradient of any loss, averaged, and one update of the optimiser."""

import functools

import jax
import jax.numpy as jnp
import optax


def train_step(state, batch, rng, *, loss_fn, optimizer, accumulation=1, axis_name=None):
    """One optimiser step: (TrainState, batch, key) -> (TrainState, metrics).

    `loss_fn(variables, batch, rng, step)` -> loss, metrics: a scalar and a dict of arrays that may
    be averaged; its key depends on `rng` and the step only. The batch, a tree of arrays (B, ...),
    is taken in `accumulation` equal parts. Under pmap, `axis_name` is the axis over which gradients
    and metrics are averaged. The metrics get "gradient_norm", that before `optimizer` acts, and
    "skipped", 1 where metrics["loss"] or that norm is not finite: then only the step is counted.
    """
    rng = jax.random.fold_in(rng, state.step)

    def loss_of(params, part):
        return loss_fn(state.variables | {"params": params}, part, rng, state.step)

    gradients, metrics = mean_gradients(loss_of, state.params, batch, accumulation)
    if axis_name is not None:
        gradients, metrics = jax.lax.pmean((gradients, metrics), axis_name)
    with jax.named_scope("optimizer"):
        norm = optax.tree.norm(gradients)
        is_sound = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)
        before = (state.params, state.optimizer_state)
        updates, optimizer_state = optimizer.update(gradients, before[1], before[0])
        after = (optax.apply_updates(state.params, updates), optimizer_state)
        kept = jax.tree.map(lambda x, y: jnp.where(is_sound, x, y), after, before)
    params, optimizer_state = kept
    state = state.replace(step=state.step + 1, params=params, optimizer_state=optimizer_state)
    skipped = 1 - is_sound.astype(jnp.int32)
    return state, metrics | {"gradient_norm": norm, "skipped": skipped}


def train_steps(state, batches, rng, **options):
    """`train_step` on each of `batches`, a tree of arrays (K, B, ...), in one call.

    Takes and gives what it does, the metrics of all steps as arrays (K, ...).
    """
    step = functools.partial(train_step, rng=rng, **options)
    return jax.lax.scan(step, state, batches)


def mean_gradients(loss_of, params, batch, parts):
    """Gradients and metrics of `loss_of(params, part)`, averaged over equal parts of the batch."""
    gradient_fn = jax.grad(loss_of, has_aux=True)
    if parts == 1:
        return gradient_fn(params, batch)
    gradient_fn = jax.jit(gradient_fn)  # traced once for its shapes and the loop

    def add(total, part):
        return jax.tree.map(jnp.add, total, gradient_fn(params, part)), None

    batch = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
    first = jax.tree.map(lambda x: x[0], batch)
    zeros = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(gradient_fn, params, first)
    )
    total, _ = jax.lax.scan(add, zeros, batch)
    return jax.tree.map(lambda x: x / parts, total)
