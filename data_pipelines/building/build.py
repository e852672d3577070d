"""Building a data set once, from the outside: what is there stays, what fails leaves nothing."""

import contextlib
import io
import pathlib

from data_pipelines.records import is_prepared, open_builder
from dias_jax.errors import UserError


def build(data_set):
    """Build an `ObjectDataSet`: -> a one-line summary.

    One that is there already stays; an interrupted build leaves none. Raises UserError when the
    source is missing, damaged or contradicts itself, nothing can be written, or the one that is
    there was prepared otherwise.
    """
    _require_source(data_set)
    directory = pathlib.Path(data_set.data_path)
    home, data_dir = directory.parents[:2]
    downloads = data_dir / "downloads"  # TFDS makes it in any case
    made = [home, downloads / "extracted", downloads, data_dir, *data_dir.parents]
    absent = [folder for folder in made if not folder.exists()]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads
            data_set.download_and_prepare()
    except (OSError, RuntimeError) as error:  # the latter is what the record writer raises
        reason = str(error).split("; ")[0]
        raise UserError(
            f"cannot write {directory} ({reason}): make room, or name another --data_dir"
        ) from error
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
    info = _require_same(data_set, directory)
    return f"{data_set.name}: {describe(info)}, in {directory}"


def _require_source(data_set):
    source = data_set.source
    if source is None and not data_set.ARCHIVES:
        raise UserError(f"{data_set.name} is not downloaded, it needs --source: {data_set.FILES}")
    if source and not (source.is_dir() or data_set.is_release and source.is_file()):
        kinds = "neither a directory nor an .lmdb file" if data_set.HAS_RELEASE else "no directory"
        raise UserError(f"the source {source} is {kinds}")


def _require_same(data_set, directory):
    """What is prepared in `directory`: -> tfds.core.DatasetInfo."""
    if not is_prepared(directory):
        raise UserError(f"{directory} is there but is no prepared data set: move it away")
    info = open_builder(directory).info
    metadata, stored = info.metadata, info.metadata["max_side"]
    if stored != data_set.max_side:
        raise UserError(
            f"{directory} was prepared with --max_side={stored}, not "
            f"{data_set.max_side}: give the same value or another --data_dir"
        )
    if data_set.fingerprint() != metadata.get("fingerprint", ""):
        raise UserError(
            f"{directory} was prepared from other files: delete it, or give another --name"
        )
    return info


def describe(info):
    """Sizes and bound of a prepared data set, in one line, and what there is to remark.

    Where a split is not what its publisher has, both sizes are named.
    """
    counts, metadata = [], info.metadata
    for name, split in info.splits.items():
        published = metadata.get("published_sizes", {}).get(name, split.num_examples)
        whole = "" if split.num_examples == published else f" of {published} published"
        counts.append(f"{split.num_examples}{whole} {name}")
    bound = metadata["num_masks"]
    masks = f"at most {bound} masks each" if bound else "no masks"
    remarks = metadata.get("remarks", {}).items()
    remarks = ", ".join(f"{what}: {count}" for what, count in remarks if count)
    kind = "videos" if metadata.get("num_frames") else "images"
    return f"{', '.join(counts)} {kind}, {masks}" + (f" ({remarks})" if remarks else "")
