"""DINOv2 weights from timm's repositories on the Hugging Face Hub, checked before they are used.

`huggingface_hub` keeps what it downloads in its cache, shows its progress and goes on where a
connection broke (old versions only when called again); the checksum is compared here.
"""

import pathlib
import re
import shutil

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.utils import logging

from dias_jax.errors import UserError, reason
from dias_jax.files import appearing_file, sha256
from dias_jax.pretrained.backbone import check_same_shapes
from dias_jax.pretrained.dinov2 import load_dinov2

FILE_NAME = "model.safetensors"
REPOSITORIES = {
    f"dinov2_{size}{suffix}": f"timm/vit_{word}_patch14_{registers}dinov2.lvd142m"
    for size, word in (("vits14", "small"), ("vitb14", "base"), ("vitl14", "large"))
    for suffix, registers in (("_reg4", "reg4_"), ("", ""))
}
PATIENCE = 10  # seconds for the first answer
ATTEMPTS = 3  # to download, each going on where the last one broke


def fetch(repository, path, expected):
    """Put the weights of a repository at `path`, whole and checked, or not at all.

    `expected`: the backbone's parameters, or their shapes. What is there already stays.
    -> one line on what was done. Raises UserError without a connection, when what was sent is not
    what was published or does not fit, or `path` holds something else.
    """
    path, address = pathlib.Path(path), hf_hub_url(repository, FILE_NAME)
    if path.suffix != ".safetensors":
        raise UserError(f"--out={path}: the name must end in .safetensors")
    logging.set_verbosity_error()  # of a connection that fails the error below speaks
    try:
        published = get_hf_file_metadata(address, timeout=PATIENCE)
    except Exception as error:  # of the network, in terms of whichever client is used
        if path.exists():
            check_same_shapes(load_dinov2(path), expected, path)
            return f"{path} is there already and fits; without a connection nothing else is checked"
        raise unreachable(address, path, error) from error
    if not re.fullmatch("[0-9a-f]{64}", published.etag or ""):
        raise UserError(f"{address} comes without a sha256 to check it by: fetch it yourself")
    if path.exists():
        if sha256(path) == published.etag:
            return f"{path} is there already and is what was published"
        raise UserError(f"{path} exists and is not {address}: move it away, or name another --out")
    for attempt in range(ATTEMPTS):
        try:
            cached = hf_hub_download(repository, FILE_NAME, revision=published.commit_hash)
            break
        except Exception as error:
            if attempt == ATTEMPTS - 1:
                raise unreachable(address, path, error) from error
    check_download(cached, published.etag, address)
    check_same_shapes(load_dinov2(cached), expected, address)
    with appearing_file(path) as incomplete:
        shutil.copyfile(cached, incomplete)
    return f"{path}: {path.stat().st_size:,} bytes from {address}, sha256 {published.etag}"


def unreachable(address, path, error):
    """The UserError of a download that failed: what to do by hand."""
    return UserError(
        f"cannot fetch {address} ({reason(error)}): try again, or fetch it on another machine and "
        f"put it under {path}"
    )


def check_download(cached, digest, address):
    """Remove `cached` and raise UserError where its sha256 is another one."""
    found = sha256(cached)
    if found != digest:
        pathlib.Path(cached).resolve().unlink()  # a link from the commit to the content
        raise UserError(
            f"{address} arrived damaged (sha256 {found}, published is {digest}) and was removed: "
            "try again"
        )
