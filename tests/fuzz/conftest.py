"""How many cases: a few, always the same ones, or DIAS_JAX_FUZZ=N new ones a test."""

import os

import hypothesis

COUNT = os.environ.get("DIAS_JAX_FUZZ")

hypothesis.settings.register_profile(
    "dias_jax",
    max_examples=int(COUNT or 50),
    deadline=None,
    derandomize=COUNT is None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("dias_jax")
