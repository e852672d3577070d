"""Fetching a publisher's archives. Their sizes and checksums are in checksums.tsv.

TensorFlow Datasets downloads, checks and keeps them; it cannot unpack without TensorFlow.
"""

import pathlib
import shutil
import tarfile
import zipfile

import tensorflow_datasets as tfds

from dias_jax.errors import UserError


def fetch(dl_manager, urls, name):
    """Download archives and unpack them into one folder, which appears complete: -> its path.

    What is there already stays. dl_manager: the builder's tfds.download.DownloadManager; urls: of
    .tar or .zip archives; name: of the folder, below the directory of downloads. Raises UserError
    when an archive cannot be had, is not the published one or cannot be unpacked.
    """
    folder = pathlib.Path(dl_manager.download_dir) / name / "unpacked"
    if folder.is_dir():
        return folder
    try:
        archives = dl_manager.download(list(urls))
        partial = folder.with_name("incomplete")
        shutil.rmtree(partial, ignore_errors=True)
        for archive in archives:
            unpack(archive, partial)
        partial.rename(folder)
    except (
        OSError,  # no network, no room
        tarfile.TarError,
        zipfile.BadZipFile,
        tfds.download.DownloadError,
        tfds.download.download_manager.NonMatchingChecksumError,
    ) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"cannot fetch {name} ({reason}): try again, or fetch {', '.join(urls)} yourself, "
            "unpack them and name the folder that holds the data with --source"
        ) from error
    return folder


def unpack(archive, folder):
    """Unpack a .tar or .zip archive, and the archives that are in it where they are."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
            names = opened.namelist()
    else:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
            names = opened.getnames()
    for name in names:
        if name.endswith(".zip"):
            inner = folder / name
            unpack(inner, inner.parent)
            inner.unlink()
