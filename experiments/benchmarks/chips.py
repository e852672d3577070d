"""TPUs and GPUs that programs are compiled for without having them."""

import os
from typing import NamedTuple
from unittest import mock

from dias_jax.errors import UserError, reason

# libtpu would look for the TPU that this machine is part of, and be alone with it.
LIBTPU = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


class Gpu(NamedTuple):
    """What XLA asks of a kind of GPU besides, by its names."""

    core_count: int
    fpus_per_core: int
    l2_cache_size: int  # bytes, as all that follow
    shared_memory_per_core: int
    shared_memory_per_block_optin: int
    cuda_compute_capability: str


class Chip(NamedTuple):
    """What a chip can do, as its maker tells."""

    flops: float  # a second, in bfloat16
    bandwidth: float  # bytes a second of HBM
    memory: float  # bytes of HBM
    clock: float  # cycles a second; of TPUs: `flops` over what the matrix units do in a cycle
    gpu: Gpu | None = None


KIB, MIB = 2**10, 2**20
AMPERE = Gpu(108, 64, 40 * MIB, 164 * KIB, 163 * KIB, "{ major: 8 }")
HOPPER = Gpu(132, 128, 50 * MIB, 228 * KIB, 227 * KIB, "{ major: 9 }")
EVERY_GPU = {
    "threads_per_block_limit": 1024,
    "threads_per_warp": 32,
    "threads_per_core_limit": 2048,
    "shared_memory_per_block": 48 * KIB,
    "registers_per_core_limit": 2**16,
    "registers_per_block_limit": 2**16,
    "block_dim_limit_x": 2**31 - 1,
    "block_dim_limit_y": 2**16 - 1,
    "block_dim_limit_z": 2**16 - 1,
}
CHIPS = {
    "v5e": Chip(197e12, 819e9, 16e9, 197e12 / (4 * 2 * 128**2)),
    "v5p": Chip(459e12, 2765e9, 95e9, 459e12 / (8 * 2 * 128**2)),
    "a100": Chip(312e12, 2039e9, 80e9, 1.41e9, AMPERE),
    "h100": Chip(989e12, 3350e9, 80e9, 1.98e9, HOPPER),
    "h200": Chip(989e12, 4800e9, 141e9, 1.98e9, HOPPER),
}


def describe_topology(name):
    """The devices of a topology like v5e:2x4 or h200:8, and the Chip that they are.

    For GPUs it also makes `attend` choose what there is on them.
    """
    for variable, value in LIBTPU.items():
        os.environ.setdefault(variable, value)
    kind, _, shape = name.partition(":")
    if kind not in CHIPS:
        raise UserError(f"--topology={name}: known are {', '.join(CHIPS)}, as in v5e:2x4, h200:8")
    chip = CHIPS[kind]
    if chip.gpu and not (shape.isdecimal() and int(shape)):
        raise UserError(f"--topology={name}: say how many GPUs of one machine, as in {kind}:8")
    from jax.experimental import topologies

    try:
        if chip.gpu is None:
            return topologies.get_topology_desc(name, "tpu").devices, chip
        mock.patch("dias_jax.models.attention.has_cudnn_attention", return_value=True).start()
        options = {"topology": f"1x1x{shape}", "target_config": gpu_target(kind, chip)}
        return topologies.get_topology_desc(name, "cuda", **options).devices, chip
    except Exception as error:  # as many kinds as there are reasons
        library, extra = ("libtpu", "tpu") if chip.gpu is None else ("JAX for CUDA", "cuda13")
        raise UserError(
            f"--topology={name}: {library} does not describe it ({reason(error)}): install the "
            f"extra {extra}, or name one that exists, like v5e:2x4 or h200:8"
        ) from error


def gpu_target(kind, chip):
    """XLA's description of a GPU, a text protocol buffer."""
    device = EVERY_GPU | chip.gpu._asdict()
    device["memory_bandwidth"], device["device_memory_size"] = int(chip.bandwidth), int(chip.memory)
    device["clock_rate_ghz"] = chip.clock / 1e9
    fields = "\n".join(f"{key}: {value}" for key, value in device.items())
    versions = "dnn_version_info { major: 9 minor: 10 }\nruntime_version { major: 13 }"
    return f'gpu_device_info {{ {fields} }}\nplatform_name: "CUDA"\n{versions}\n' + (
        f'device_description_str: "{kind}"'
    )
