"""Video metrics against golden numbers, plain numpy, and tracks that are told by hand."""

import jax
import numpy as np
import pytest

from dias_jax import metrics, video_metrics

pytestmark = pytest.mark.usefixtures("quick_compilation")

EXACT = 1e-6  # float32 arithmetic on exact counts
OF_COUNTS = {
    "ari": metrics.ari_of,
    "fg_ari": metrics.fg_ari_of,
    "mbo": metrics.mbo_of,
    "miou": metrics.miou_of,
}


@pytest.fixture
def golden(shared_golden):
    with np.load(shared_golden("video_tiny.npz")) as file:
        return {name: x for name, x in file.items() if name.startswith("metrics/")}


def golden_counts(golden):
    return video_metrics.count_frames(golden["metrics/pred"], golden["metrics/true"], 5, 5)


def random_maps(seed=0, batch=3, frames=4, slots=6, masks=4, size=(9, 12)):
    """Index maps that overlap more than by chance; some pixels in no true mask."""
    random = np.random.default_rng(seed)
    shape = (batch, frames, *size)
    true = random.integers(-1, masks, shape)
    pred = np.where(random.random(shape) < 0.5, true % slots, random.integers(0, slots, shape))
    return pred, true


@pytest.mark.parametrize("name", OF_COUNTS)
@pytest.mark.parametrize("kind", ["video", "frame"])
def test_golden_numbers(kind, name, golden):
    counts = golden_counts(golden)
    counts = counts if kind == "frame" else video_metrics.over_time(counts)
    values, valid = (np.ravel(x) for x in jax.jit(OF_COUNTS[name])(counts))
    np.testing.assert_array_equal(valid, golden[f"metrics/{kind}/{name}_valid"])
    expected = golden[f"metrics/{kind}/{name}"]
    np.testing.assert_allclose(values[valid], expected[valid], atol=EXACT)


@pytest.mark.parametrize("name", OF_COUNTS)
def test_videos_are_images_of_all_their_pixels(name):
    pred, true = random_maps()
    counts = video_metrics.over_time(video_metrics.count_frames(pred, true, 6, 4))
    one_hot = [np.eye(n + 1, dtype=bool)[m][..., :n] for m, n in ((pred, 6), (true, 4))]
    expected = metrics.METRICS[name](*(x.reshape(3, -1, x.shape[-1]) for x in one_hot))
    for ours, theirs in zip(OF_COUNTS[name](counts), expected):
        np.testing.assert_allclose(ours, theirs, atol=EXACT)


@pytest.mark.parametrize("background", [True, False])
def test_golden_numbers_of_videosaur(background, golden):
    """Their ARI counts as 1 where there is nothing but background; a mean over the batch."""
    counts, folder = golden_counts(golden), "videosaur" if background else "videosaur_fg"
    counts = counts if background else counts.without_background()

    def score(counts):
        video = video_metrics.over_time(counts)
        return {
            "video_ari": metrics.ari_of(video),
            "image_ari": metrics.ari_of(counts),
            "video_mbo": metrics.mbo_of(video),
            "image_mbo": metrics.mbo_of(counts),
            "video_miou": metrics.miou_of(video),
        }

    for name, (values, valid) in jax.jit(score)(counts).items():
        values, valid = np.ravel(values), np.ravel(valid)
        mean = np.where(valid, values, 1).mean() if "ari" in name else values[valid].mean()
        np.testing.assert_allclose(mean, golden[f"metrics/{folder}/{name}"], atol=EXACT)


@pytest.mark.parametrize("background", [True, False])
def test_golden_region_and_boundary_accuracy(background, golden):
    counts, folder = golden_counts(golden), "videosaur" if background else "videosaur_fg"
    maps = golden["metrics/pred"], golden["metrics/true"]
    edges = video_metrics.count_boundaries(*maps, 5, 5)
    if not background:
        counts, edges = counts.without_background(), edges.without_background()
    found = jax.jit(video_metrics.j_and_f)(counts, edges)
    for ours, theirs in (("j_and_f",) * 2, ("j", "jaccard"), ("f", "boundary_f_measure")):
        values, valid = found[ours]
        expected = golden[f"metrics/{folder}/{theirs}"]
        np.testing.assert_allclose(values[valid].mean(), expected, atol=EXACT, err_msg=ours)


def test_the_released_ari_wraps_as_it_did(golden):
    counts = golden["metrics/wrapped/counts"]
    found = [video_metrics.ari_released(x) for x in (counts, counts[..., 1:])]
    expected = golden["metrics/wrapped/ari_and_fg_ari"]
    np.testing.assert_allclose(np.stack(found, -1), expected, atol=EXACT)
    honest, _ = metrics.ari_of(metrics.Counts(counts.astype(np.float32), None, counts.sum(1)))
    assert abs(honest[3]) < 1e-3 and expected[3, 0] > 0.1  # chance


def test_the_released_ari_of_few_pixels_is_right():
    pred, true = random_maps()
    counts = video_metrics.over_time(video_metrics.count_frames(pred, true, 6, 4))
    found = video_metrics.ari_released(counts.shared)
    np.testing.assert_allclose(found, metrics.ari_of(counts)[0], atol=EXACT)


@pytest.mark.slow
def test_padding_changes_nothing():
    pred, true = random_maps()
    valid = np.array([[True, True, False, False], [True] * 4, [False] * 4])
    noise = random_maps(seed=1)
    pred_noise, true_noise = (
        np.where(valid[..., None, None], x, other) for x, other in zip((pred, true), noise)
    )

    @jax.jit
    def score(pred, true, valid):
        areas = video_metrics.count_frames(pred, true, 6, 4, valid)
        edges = video_metrics.count_boundaries(pred, true, 6, 4, valid)
        scores = {name: of(video_metrics.over_time(areas)) for name, of in OF_COUNTS.items()}
        slot = video_metrics.match_things(areas, 0.1)
        visible = areas.true_size[..., 1:] > 0
        scores |= video_metrics.track_metrics(slot, visible, 6)
        return scores | video_metrics.j_and_f(areas, edges, valid)

    padded = score(pred_noise, true_noise, valid)
    short = score(pred[:1, :2], true[:1, :2], np.ones((1, 2), bool))
    for name, (values, has_value) in padded.items():
        np.testing.assert_allclose(values[:1], short[name][0], atol=EXACT, err_msg=name)
        np.testing.assert_array_equal(has_value[:1], short[name][1])
        assert not has_value[2], name


def test_a_boundary_is_what_erosion_takes_away():
    maps = np.zeros((1, 1, 60, 80), int)  # diagonal 100: two pixels
    maps[0, 0, 20:40, 30:50] = 1
    found = np.asarray(video_metrics.boundary(maps))[0, 0]
    expected = np.ones((60, 80), bool)
    expected[2:58, 2:78] = False
    expected[18:42, 28:52] = True
    expected[22:38, 32:48] = False
    np.testing.assert_array_equal(found, expected)


def tracks(slot, visible):
    """Metrics of one thing, `slot` a string of digits and dots, `visible` of x and dots."""
    slot = np.array([[[-1 if x == "." else int(x)] for x in slot]])
    visible = np.array([[[x == "x"] for x in visible]])
    found = video_metrics.track_metrics(slot, visible, 4)
    return {name: float(x[0]) if ok[0] else None for name, (x, ok) in found.items()}


@pytest.mark.parametrize(
    "slot, visible, consistency, switches, recovery, coverage",
    [
        ("1111", "xxxx", 1, 0, None, 1),
        ("1122", "xxxx", 0.5, 100 / 3, None, 1),
        ("1.12", "xxxx", 2 / 3, 50, None, 0.75),
        ("1..1", "x..x", 1, 0, 1, 1),
        ("1..2", "x..x", 0.5, 100, 0, 1),
        ("1...1", "x..xx", 1, 0, 1, 2 / 3),  # found again one frame late
        ("1....", "x..xx", None, None, 0, 1 / 3),
        ("...1", ".xxx", None, None, None, 1 / 3),  # it had not been matched
        ("1.2.2", "x.x.x", 2 / 3, 50, 0.5, 1),
        ("....", "....", None, None, None, None),
    ],
)
def test_tracks(slot, visible, consistency, switches, recovery, coverage):
    found = tracks(slot, visible)
    expected = [consistency, switches, recovery, coverage]
    names = ("consistency", "switches", "recovery", "coverage")
    for name, value in zip(names, expected):
        assert found[name] == (value if value is None else pytest.approx(value, rel=EXACT)), name


def test_things_are_matched_where_they_overlap_by_half():
    true = np.array([[[[0, 0, 1, 1, 2, 2, 3, 3, 3, 3]]]])
    pred = np.array([[[[0, 0, 4, 4, 2, 0, 1, 0, 0, 0]]]])
    counts = video_metrics.count_frames(pred, true, 5, 6)  # two masks are padding
    match = jax.jit(video_metrics.match_things)
    found = match(counts)
    np.testing.assert_array_equal(found[0, 0], [4, 2, -1, -1, -1])
    few = video_metrics.count_frames(np.zeros_like(pred), true, 1, 6)
    np.testing.assert_array_equal(match(few, 0.1)[0, 0], [-1, -1, 0, -1, -1])
