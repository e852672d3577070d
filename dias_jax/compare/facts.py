"""What a reader of a report must know to get the same numbers."""

import importlib.metadata
import pathlib
import platform
import shlex
import subprocess

import jax

from dias_jax.devices import cpu_threads

PACKAGES = ("jax", "flax", "torch", "timm")


def list_facts(arguments, reference=None):
    """Lines of text: command, versions, device and, where one is used, the reference's checkout."""
    names = PACKAGES if reference is not None else PACKAGES[:2]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    lines = [
        f"Command: python -m dias_jax.compare {shlex.join(arguments)}".strip(),
        f"Versions: Python {platform.python_version()}, {', '.join(versions)}",
        f"Device: {', '.join(devices(reference))}; {cpu_threads()} CPU threads",
    ]
    if reference is not None:
        lines.append(f"Reference: {checkout_name(reference)}")
    return lines


def devices(reference):
    """The devices of both implementations."""
    ours = jax.devices()[0]
    if ours.platform == "cpu":
        return [f"CPU ({cpu_name()})"]
    if reference is None:
        return [ours.device_kind]
    import torch

    theirs = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return [f"ours {ours.device_kind}", f"reference {theirs}"]


def cpu_name():
    """What the system calls the processor."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def checkout_name(directory):
    """The folder's name, and the commit where it is a git checkout."""
    directory = pathlib.Path(directory).resolve()
    if not (directory / ".git").exists():
        return f"{directory.name}, not a git checkout"
    command = ["git", "-C", str(directory), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"{directory.name}, commit unknown"
    return f"{directory.name}, commit {result.stdout.strip()}"
