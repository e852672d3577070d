"""Downloading weights, from a local server that answers as the Hub does."""

import contextlib
import functools
import hashlib
import http.server
import pathlib
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from huggingface_hub import constants
from safetensors.numpy import save_file

from dias_jax.errors import UserError
from dias_jax.models.backbone import VisionTransformer
from dias_jax.pretrained import download
from dias_jax.pretrained.dinov2 import backbone_to_torch

REPOSITORY = "timm/tiny"


def transformer(width):
    """Random parameters of a tiny transformer."""
    module = VisionTransformer(width=width, depth=1, heads=2, num_registers=4, position_grid=3)
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 14, 14, 3)))["params"]
    random = np.random.default_rng(0)
    return jax.tree.map(lambda x: random.standard_normal(x.shape, np.float32), shapes)


class Hub(http.server.BaseHTTPRequestHandler):
    """One file, as the Hub serves it; what is asked for is kept in `requests`."""

    def do_HEAD(self):  # noqa: N802, the name that http.server calls
        self.answer()

    def do_GET(self):  # noqa: N802
        content = self.answer()
        hub = self.server
        if hub.break_after and len(content) > hub.break_after:
            content = content[: hub.break_after]
            self.close_connection = True
        self.wfile.write(content)

    def answer(self):
        """Send the headers: -> the content asked for."""
        hub, wanted = self.server, self.headers.get("Range")
        hub.requests.append((self.command, self.path, wanted))
        if hub.status != 200:
            self.send_error(hub.status)
            return b""
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        content, total = hub.content[start:], len(hub.content)
        self.send_header("ETag", f'"{hub.digest}"')
        self.send_header("X-Repo-Commit", 40 * "a")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.end_headers()
        return content

    def log_message(self, *arguments):
        """No line for each request."""


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The server, with a tiny model; huggingface_hub asks it and keeps its cache in tmp_path."""
    source = tmp_path / "published.safetensors"
    tensors = backbone_to_torch(transformer(8), 14)
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, source)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.content, server.requests = source.read_bytes(), []
    server.digest = hashlib.sha256(server.content).hexdigest()
    server.break_after, server.status = 0, 200
    address = f"http://127.0.0.1:{server.server_port}"
    url = functools.partial(download.hf_hub_url, endpoint=address)
    cache = tmp_path / "cache"
    get = functools.partial(download.hf_hub_download, endpoint=address, cache_dir=cache)
    monkeypatch.setattr(download, "hf_hub_url", url)
    monkeypatch.setattr(download, "hf_hub_download", get)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    with contextlib.suppress(OSError):
        server.shutdown()
    thread.join()
    server.server_close()


def gets(server):
    """The ranges of the downloads that were asked for."""
    requests = [request for request in server.requests if request[1].endswith(download.FILE_NAME)]
    return [wanted for command, _, wanted in requests if command == "GET"]


def test_what_is_published_arrives_once(hub, tmp_path):
    path = tmp_path / "new" / "weights.safetensors"
    assert hub.digest in download.fetch(REPOSITORY, path, transformer(8))
    assert path.read_bytes() == hub.content and not path.is_symlink()
    assert ("HEAD", f"/{REPOSITORY}/resolve/main/model.safetensors", None) in hub.requests
    assert gets(hub) == [None]
    assert "is there already" in download.fetch(REPOSITORY, path, transformer(8))
    path.unlink()
    download.fetch(REPOSITORY, path, transformer(8))  # out of the cache
    assert gets(hub) == [None] and path.read_bytes() == hub.content


def test_a_broken_connection_is_resumed(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1_000)  # 10 MB otherwise
    hub.break_after = len(hub.content) // 1_000 * 1_000 - 2_000
    download.fetch(REPOSITORY, tmp_path / "weights.safetensors", transformer(8))
    assert gets(hub) == [None, f"bytes={hub.break_after}-"]
    assert (tmp_path / "weights.safetensors").read_bytes() == hub.content


def test_another_content_than_published_leaves_nothing(hub, tmp_path):
    path = tmp_path / "weights.safetensors"
    hub.content = hub.content[:-1] + b"?"
    with pytest.raises(UserError, match=f"arrived damaged.*published is {hub.digest}.*removed"):
        download.fetch(REPOSITORY, path, transformer(8))
    assert not [
        file
        for file in tmp_path.rglob("*")
        if file.is_file() and file.stat().st_size > 999 and file.name != "published.safetensors"
    ]
    hub.content = (tmp_path / "published.safetensors").read_bytes()
    download.fetch(REPOSITORY, path, transformer(8))
    assert path.read_bytes() == hub.content


def test_another_model_is_refused(hub, tmp_path):
    with pytest.raises(UserError, match="does not fit"):
        download.fetch(REPOSITORY, tmp_path / "weights.safetensors", transformer(16))
    assert not list(tmp_path.glob("*weights*"))


def test_a_foreign_file_is_not_overwritten(hub, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(UserError, match="exists and is not .*model.safetensors: move it away"):
        download.fetch(REPOSITORY, path, transformer(8))
    assert path.read_bytes() == b"precious" and not gets(hub)


def test_a_missing_repository_is_named(hub, tmp_path):
    hub.status = 404
    with pytest.raises(UserError, match="cannot fetch http.*/timm/tiny/.*weights.safetensors$"):
        download.fetch(REPOSITORY, tmp_path / "weights.safetensors", transformer(8))


def test_without_a_server_a_file_that_fits_is_enough(hub, tmp_path):
    path = tmp_path / "weights.safetensors"
    download.fetch(REPOSITORY, path, transformer(8))
    hub.shutdown()
    hub.server_close()
    assert "without a connection" in download.fetch(REPOSITORY, path, transformer(8))
    path.write_bytes(hub.content[:-1])
    with pytest.raises(UserError, match="damaged"):
        download.fetch(REPOSITORY, path, transformer(8))


def test_out_must_be_a_safetensors_file(tmp_path):
    with pytest.raises(UserError, match="must end in .safetensors"):
        download.fetch(REPOSITORY, tmp_path / "weights.pth", transformer(8))


def test_no_connection_says_what_to_fetch_by_hand(run_module, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    out = tmp_path / "weights.safetensors"
    result = run_module("dias_jax.weights", "dinov2_vits14_reg4", f"--out={out}", check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    file = "timm/vit_small_patch14_reg4_dinov2.lvd142m/resolve/main/model.safetensors"
    for words in (file, f"put it under {out}"):
        assert words in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["dinov2_vitg14"]])
def test_names_are_listed(run_module, arguments):
    result = run_module("dias_jax.weights", *arguments, check=False)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
    assert all(name in result.stderr for name in download.REPOSITORIES)
    assert all(name in result.stderr for name in arguments)


def test_published_names():
    assert download.REPOSITORIES["dinov2_vitl14"] == "timm/vit_large_patch14_dinov2.lvd142m"
    assert len(download.REPOSITORIES) == 6 and pathlib.Path(download.FILE_NAME).suffix
