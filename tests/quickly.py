"""What makes JAX compile quickly, in tests that would compile for longer than they run."""

import importlib.metadata
import os

# XLA's newer kernels for CPUs take twice as long to compile; later versions cannot do without.
# JAX itself is not asked: once imported, it has read the environment.
VERSION = tuple(map(int, importlib.metadata.version("jax").split(".")[:2]))
OLDER_KERNELS = "--xla_cpu_use_fusion_emitters=false" if VERSION < (0, 11) else ""


def quick_environment(devices=1):
    """This process's, for one on so many virtual CPU devices that compiles quickly, not well."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices} {OLDER_KERNELS}",
    }
