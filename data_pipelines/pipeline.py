"""Batches for training and evaluation, as dicts of numpy arrays with leading axis B.

  "image" uint8 (B, H, W, 3), "index" int32 (B,): the sample's number in its split;
  training adds "replaced" bool (B,), True where the sample stands in for a damaged one;
  evaluation adds "valid" bool (B,), False for the samples that only fill the last batch; and,
  where the data set has them, "mask" uint8 (B, H, W), 0 = not annotated, 1 = background, 2.. =
  objects, "classes" int32 (B, G) and "boxes" float32 (B, G, 4) of the objects as the view shows
  them: left, top, right, bottom in sides of the view; class -1 where there is none; "crowd" bool
  (B, G), which of them are crowds, False where the data set does not say; and, where the data set
  has `Properties`, "kinds" int32 (B, G, P), -1 unknown or no object, and "numbers" float32
  (B, G, Q), of the whole object and of the image as the data set tells it.

Of videos a sample is a clip. "image" is (B, F, H, W, 3): in training F = `data.clip_frames`
contiguous frames in one view, in evaluation a whole video, which zeros fill up to the longest;
there "mask" is (B, F, H, W), "boxes" (B, F, G, 4), and there are "frame_valid" bool (B, F), False
for frames that only fill; "visible" bool (B, F, G), which objects a frame shows; and, of drawn
videos, what their source tells of them: of `moving_shapes` "hidden" bool (B, F, G), which ones
others hide, and "events" bool (B, E), in the order of `data_pipelines.drawn.motion.EVENTS`; of
`bouncing` motion and question, as `data_pipelines.drawn.bouncing.Bouncing` documents them; of
`physion` only "scenario" int32 (B,) and, where something is asked, "answer" bool (B,), and none of
what masks tell. Of all videos there is "video" int32 (B,): the number of the one that is cut.

Features that were computed before come as "features" (B, h, w, C), of videos (B, F, h, w, C): in
training instead of "image", in evaluation beside all the rest.

A batch is a pure function of its number: which samples, in which order and view does not depend on
the number of threads and hosts, nor on where reading started.
"""

import functools
import os

import grain
import numpy as np

from data_pipelines.building.masks import crowds_in_view, labels_in_view
from data_pipelines.clips import pad_clip
from data_pipelines.damage import MAX_NEIGHBOURS, ReadableSamples
from data_pipelines.properties import properties_in_view
from data_pipelines.sources import open_split
from data_pipelines.workers import InProcesses
from dias_jax.errors import UserError

_OF_SOME_VIDEOS = ("hidden", "events", "centres", "velocities", "radii", "contacts")
_OF_SOME_VIDEOS += ("queried", "answer", "ghost_answer", "scenario", "video")


def train_batches(
    data_config,
    batch_size,
    seed,
    start_step=0,
    shard=(0, 1),
    num_threads=None,
    with_boxes=False,
    num_processes=0,
):
    """An endless iterator over training batches, as dicts.

    Every epoch is shuffled anew. A batch may span the end of an epoch: nothing is left out.
    data_config: as for `open_split`, with `crop_scale` and `flip` of the random view, `clip_frames`
    and `skip_damaged`, whether the next readable sample replaces one that is not; batch_size:
    samples over all hosts; seed: decides order and views; start_step: number of the first batch,
    the same as skipping that many; shard: this host's number and the number of hosts, whose parts
    of batch k together hold the same samples in the same views as batch k of a single host;
    num_threads: readers, None: one for each processor core, at most 16; with_boxes: of videos,
    whether there are "boxes" float32 (B, G, 4) of the objects that the clip's first frame shows, as
    above; num_processes: other processes that read in place of threads (`data_pipelines.workers`),
    unless samples are kept in memory. Raises UserError when there are fewer samples than a batch or
    the hosts do not divide it, and while iterating for a damaged sample, which it names, unless
    that is replaced.
    """
    source = open_split(data_config, "train", with_boxes, data_config.clip_frames)
    samples = ReadableSamples(source, MAX_NEIGHBOURS if data_config.skip_damaged else 0)
    view = functools.partial(
        _training_sample, source=source, data_config=data_config, with_boxes=with_boxes
    )
    num_processes = 0 if data_config.keep_in_memory else num_processes
    return shuffled_batches(
        samples, view, batch_size, seed, start_step, shard, num_threads, num_processes
    )


def shuffled_batches(
    samples, view, batch_size, seed, start_step, shard, num_threads, num_processes=0
):
    """An endless iterator over batches of views, every epoch shuffled anew.

    samples: for random access; view: a function of a sample and a random generator; the others,
    and what is raised, as in `train_batches`.
    """
    # The random view comes before the host's share is taken: its key is the global position.
    views = _shuffled(samples, batch_size, seed).random_map(view)
    return _share(views, batch_size, start_step, shard, num_threads, num_processes)


def feature_batches(features, views, batch_size, seed, start_step, shard, num_threads):
    """An endless iterator over training batches of features, in the order of `train_batches`.

    features: random access to samples, so many `views` of one image after the other, of which epoch
    e takes number e modulo `views`; the others, and what is raised, as in `train_batches`.
    """
    size = len(features) // views

    def view(position, number):
        return features[number * views + position // size % views]

    samples = _shuffled(range(size), batch_size, seed).map_with_index(view)
    return _share(samples, batch_size, start_step, shard, num_threads)


def _shuffled(samples, batch_size, seed):
    """The samples without end, every epoch in another order."""
    if len(samples) < batch_size:
        raise UserError(
            f"a batch of {batch_size} is larger than the training split of {len(samples)} samples: "
            "take a smaller one, --config.batch_size=N"
        )
    return grain.MapDataset.source(samples).seed(seed).shuffle().repeat()


def _share(samples, batch_size, start_step, shard, num_threads, num_processes=0):
    """A host's part of the batches from `start_step` on."""
    local_size = _local_batch_size(batch_size, shard)
    host, num_hosts = shard
    own = samples[start_step * batch_size + host :: num_hosts]
    if num_processes:
        return _read_in_processes(own, local_size, num_processes)
    return _read(own, local_size, num_threads)


def evaluation_batches(
    data_config,
    split,
    batch_size,
    shard=(0, 1),
    start=0,
    limit=0,
    num_threads=None,
    clip_frames=0,
    views=0,
    features=None,
):
    """An iterator over a split, each sample once over all hosts.

    All hosts get the same number of batches of the same shape. What fills the last one repeats the
    last sample and has valid = False. start: number of the first sample; limit: only the first so
    many samples of the split, 0: all; clip_frames: of videos, windows of so many frames instead of
    whole ones; views: as many random views of training instead of each sample's one of evaluation,
    which count as samples in `start`, `limit` and "index": number k is of sample k // views;
    features: random access to those of the samples, which then come too; the others as in
    `train_batches`. Raises UserError when the hosts do not divide the batch, and while iterating
    for a damaged image.
    """
    source = open_split(data_config, split, clip_frames=clip_frames)
    local_size = _local_batch_size(batch_size, shard)
    host, num_hosts = shard
    num_samples = _count(source, views, limit)
    sample = functools.partial(
        _evaluation_sample,
        source=source,
        num_samples=num_samples,
        data_config=data_config,
        views=views,
        features=features,
    )
    samples = _in_order(sample, start, num_samples, batch_size)[host::num_hosts]
    return _read(samples, local_size, num_threads)


def view_batches(
    data_config, split, batch_size, views=0, start=0, limit=0, num_threads=None, clip_frames=0
):
    """An iterator over images alone, each once, for what is computed of them and kept.

    Batches have "image", "index" and "valid" as in evaluation, of videos "frame_valid" too, and,
    because the next readable sample may stand in for a damaged one in a view of training,
    "replaced" as there; "index" is that of the sample, not of the view. Arguments as in
    `evaluation_batches`; what is raised as well, unless a damaged sample is replaced.
    """
    source = open_split(data_config, split, with_masks=False, clip_frames=clip_frames)
    is_replacing = views and data_config.skip_damaged
    num_samples = _count(source, views, limit)
    sample = functools.partial(
        _view_sample,
        samples=ReadableSamples(source, MAX_NEIGHBOURS if is_replacing else 0),
        num_samples=num_samples,
        data_config=data_config,
        views=views,
    )
    return _read(_in_order(sample, start, num_samples, batch_size), batch_size, num_threads)


def _count(source, views, limit):
    """How many samples, or views, there are up to `limit`."""
    size = len(source) * max(views, 1)
    return min(limit or size, size)


def _in_order(sample, start, num_samples, batch_size):
    """`sample` of the positions from `start` on, which fill whole batches."""
    stop = start + -(-(num_samples - start) // batch_size) * batch_size
    return grain.MapDataset.range(start, stop).map(sample)


def _training_sample(sample, rng, source, data_config, with_boxes):
    image, mask = source.training_view(sample, rng, data_config)
    index, replaced = np.int32(sample["index"]), np.bool_(sample["replaced"])
    view = {"image": image, "index": index, "replaced": replaced}
    if with_boxes:
        capacity = source.num_masks - 1
        view["boxes"] = labels_in_view(sample["classes"], mask[0], capacity)[1]
    return view


def _view_sample(position, samples, num_samples, data_config, views):
    number, source = min(int(position), num_samples - 1), samples.source
    sample = samples[number // max(views, 1)]
    image, _ = _numbered_view(sample, number, source, data_config, views)
    index, replaced = np.int32(sample["index"]), np.bool_(sample["replaced"])
    valid = np.bool_(position < num_samples)
    view = {"image": image, "index": index, "replaced": replaced, "valid": valid}
    return pad_clip(view, source.max_frames) if source.max_frames else view


def _numbered_view(sample, number, source, data_config, views):
    """Image and mask of a sample as evaluated or, of so many `views`, in the training view."""
    if not views:
        return source.evaluation_view(sample, data_config)
    return source.training_view(
        sample, np.random.default_rng((data_config.seed, number)), data_config
    )


def _evaluation_sample(position, source, num_samples, data_config, views, features):
    number = min(int(position), num_samples - 1)
    sample = source[number // max(views, 1)]
    image, mask = _numbered_view(sample, number, source, data_config, views)
    valid = np.bool_(position < num_samples)
    view = {"image": image, "index": np.int32(number), "valid": valid}
    if features is not None:
        view["features"] = features[number]["features"]
    if mask is not None:
        view["mask"] = mask
    if "classes" in sample:
        classes, boxes = labels_in_view(sample["classes"], mask, source.num_masks - 1)
        crowd = crowds_in_view(sample.get("crowd", ()), classes)
        view |= {"classes": classes, "boxes": boxes, "crowd": crowd}
        if "kinds" in sample:
            view |= properties_in_view(sample, classes)
    return _complete_clip(view, sample, source) if source.max_frames else view


def _complete_clip(view, sample, source):
    """The view of a clip with what is known of its objects over time, and all its frames."""
    if "boxes" in view:
        view["visible"] = view["boxes"].any(axis=-1)
    view |= {name: sample[name] for name in _OF_SOME_VIDEOS if name in sample}
    return pad_clip(view, source.max_frames)


def _local_batch_size(batch_size, shard):
    num_hosts = shard[1]
    if batch_size % num_hosts:
        raise UserError(f"batch size {batch_size} is not divisible by the {num_hosts} hosts")
    return batch_size // num_hosts


def _read(samples, batch_size, num_threads):
    """Reads ahead with threads, which keep the order, and groups samples into batches."""
    if num_threads is None:
        num_threads = min(os.cpu_count() or 1, 16)
    num_threads = max(num_threads, 1)  # older versions of Grain refuse none
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=max(2 * num_threads, batch_size)
    )
    return iter(samples.to_iter_dataset(options).batch(batch_size, drop_remainder=True))


def _read_in_processes(samples, batch_size, num_processes):
    """As `_read`, but every batch is read by one of so many processes."""
    batches = InProcesses(samples.batch(batch_size, drop_remainder=True), num_processes)
    options = grain.ReadOptions(num_threads=num_processes, prefetch_buffer_size=num_processes)
    return iter(grain.MapDataset.source(batches).to_iter_dataset(options))
