"""Discs that bounce: physics, questions, exact masks, determinism."""

import colorsys
import pickle

import numpy as np
import pytest
from configs import data_config

from data_pipelines import pipeline
from data_pipelines.drawn import bouncing, discs, touching
from data_pipelines.drawn.discs import Discs
from data_pipelines.drawn.touching import NUM_FRAMES, OBSERVED
from dias_jax.errors import UserError


@pytest.fixture(scope="module")
def motion():
    start = discs.draw_discs(np.random.default_rng(0), 300)
    return start.radius, discs.simulate(start, NUM_FRAMES)


@pytest.fixture(scope="module")
def worlds():
    return [touching.draw_world(0, 0, index) for index in range(40)]


@pytest.fixture(scope="module")
def videos():
    return [bouncing.render(index, "train", 64) for index in range(8)]


def two_discs(position, velocity, radius=(0.1, 0.1)):
    return Discs(*(np.array([x], np.float64) for x in (position, velocity, radius)))


def test_a_head_on_collision_swaps_velocities():
    start = two_discs([[0.301, 0.5], [0.699, 0.5]], [[0.02, 0], [-0.02, 0]])
    motion = discs.simulate(start, 15)
    np.testing.assert_array_equal(motion.velocity[0, -1], [[-0.02, 0], [0.02, 0]])
    assert np.flatnonzero(motion.hits[0, :, 0]).tolist() == [5]
    # Without the collision they would have covered each other.
    np.testing.assert_allclose(motion.gaps[0, 4:6, 0], [0.038, -0.2])


def test_a_light_disc_bounces_off_a_heavy_one():
    masses = np.array([1, 4])
    start = two_discs([[0.2, 0.5], [0.5, 0.5]], [[0.03, 0], [0, 0]], [0.05, 0.1])
    velocity = discs.simulate(start, 12).velocity[0, -1, :, 0]
    np.testing.assert_allclose(velocity, 0.03 * np.array([1 - 4, 2]) / masses.sum())


def test_a_grazing_gap_is_told_as_it_would_have_been():
    start = two_discs([[0.3, 0.4], [0.6, 0.597]], [[0.02, 0], [-0.02, 0]])
    motion = discs.simulate(start, 12)
    assert motion.hits.any() and motion.gaps.min() == pytest.approx(-0.003)


def test_discs_that_part_do_not_collide():
    start = two_discs([[0.4, 0.5], [0.55, 0.5]], [[-0.02, 0], [0.01, 0]])
    motion = discs.simulate(start, 4)
    assert motion.gaps[0, 0, 0] < 0 and not motion.hits.any()
    np.testing.assert_array_equal(motion.velocity[0, -1], start.velocity[0])


def test_energy_stays(motion):
    radius, motion = motion
    energy = (np.square(motion.velocity).sum(-1) * np.square(radius)[:, None]).sum(-1)
    np.testing.assert_allclose(energy / energy[:, :1], 1, rtol=1e-12)
    assert motion.hits.any((1, 2)).mean() > 0.5


def test_discs_stay_inside_and_apart(motion):
    radius, motion = motion
    edge = radius[:, None, :, None]
    assert (motion.position >= edge - 1e-12).all() and (motion.position <= 1 - edge + 1e-12).all()
    gaps = np.stack([discs.find_gaps(motion.position[:, t], radius) for t in range(NUM_FRAMES)], 1)
    # Half of the largest closing speed in a step, and a little where three meet.
    assert gaps[:, 0].min() >= discs.MIN_START_GAP and gaps.min() > -0.02
    assert (gaps < -0.01).mean() < 0.002


def test_a_world_is_the_same_alone_and_among_others(motion):
    start = discs.draw_discs(np.random.default_rng(0), 300)
    alone = discs.simulate(Discs(*(x[17:18] for x in start)), NUM_FRAMES)
    for one, other in zip(alone, motion[1], strict=True):
        np.testing.assert_array_equal(one[0], other[17])


def test_drifting_is_moving_until_the_first_collision(motion):
    radius, motion = motion
    start = Discs(motion.position[:, 0], motion.velocity[:, 0], radius)
    ghost = discs.drift(start, np.arange(NUM_FRAMES))
    free = ~np.logical_or.accumulate(motion.hits.any(2), axis=1)
    assert 0.3 < free.mean() < 0.9
    np.testing.assert_allclose(ghost[free], motion.position[free], atol=1e-12)
    assert not np.allclose(ghost, motion.position, atol=1e-3)


def test_questions_are_balanced_over_the_four_cells(worlds):
    cells = np.array([2 * world.answer + world.ghost_answer for world in worlds]).reshape(-1, 4)
    np.testing.assert_array_equal(np.sort(cells), np.tile(np.arange(4), (10, 1)))
    assert len(np.unique(cells, axis=0)) > 4  # not always in the same order
    assert 0.2 < np.mean([red < blue for red, blue in (world.queried for world in worlds)]) < 0.8


def test_answers_follow_from_the_motion(worlds):
    for world in worlds:
        red, blue = world.queried
        contact = world.contact[red, blue]
        assert red != blue and (world.contact == world.contact.T).all()
        assert (contact >= OBSERVED) if world.answer else (contact == -1)
        times = slice(OBSERVED - 1, None)
        apart = np.linalg.norm(world.position[times, red] - world.position[times, blue], axis=-1)
        closest = apart.min() - world.radius[red] - world.radius[blue]
        # Of four steps a frame, some at which two touched are not seen.
        assert closest < 0.03 if world.answer else closest > touching.GRAZING / 2
        together = np.diff(world.velocity[:, [red, blue]], axis=0).any((1, 2))
        if world.answer:
            assert together[contact - 1]


def test_the_ghost_goes_on_from_the_last_observed_frame(motion):
    radius, motion = motion
    last = OBSERVED - 1
    askable, _, ghost_answer = touching.judge(motion, radius)
    start = Discs(motion.position[:, last], motion.velocity[:, last], radius)
    gaps = [
        discs.find_gaps(discs.drift(start, np.array([time]))[:, 0], radius)
        for time in np.arange(1, 81) / 4
    ]
    closest = np.min(gaps, axis=0)
    np.testing.assert_array_equal(closest < 0, ghost_answer)
    assert np.abs(closest[askable]).min() > touching.GRAZING


def test_what_is_asked_about_neither_has_touched_nor_grazes(motion):
    radius, motion = motion
    askable, answer, ghost_answer = touching.judge(motion, radius)
    first, second = np.triu_indices(discs.MAX_DISCS, 1)
    both = (radius[:, first] > 0) & (radius[:, second] > 0)
    assert not (askable & ~both).any() and not (askable & motion.hits[:, :OBSERVED].any(1)).any()
    assert ((motion.gaps[:, OBSERVED:].min(1) < 0) == answer)[askable].all()
    assert np.abs(motion.gaps[:, OBSERVED:].min(1))[askable].min() > touching.GRAZING
    assert 0.7 < askable.sum() / both.sum() < 0.95
    # Of all pairs the ghost knows nearly everything, which is why questions have to be chosen.
    assert 0.8 < (answer == ghost_answer)[askable].mean() < 0.95
    assert 0.15 < answer[askable].mean() < 0.35


def test_a_video_is_a_pure_function_of_its_number():
    one = bouncing.render(3, "test", 32)
    bouncing._draw_world.cache_clear()
    other = bouncing.render(np.int64(3), "test", 32)
    for first, second in zip(one[:3] + one.world, other[:3] + other.world, strict=True):
        np.testing.assert_array_equal(first, second)


def test_frames_can_be_drawn_alone(videos):
    part = bouncing.render(3, "train", 64, times=range(5, 8))
    np.testing.assert_array_equal(part.image, videos[3].image[5:8])
    np.testing.assert_array_equal(part.mask, videos[3].mask[5:8])


def test_looks_do_not_change_motion(videos, monkeypatch):
    drawn = bouncing._Scene.__init__

    def other_looks(scene, random, world, size):
        random.random(7)
        drawn(scene, random, world, size)

    monkeypatch.setattr(bouncing._Scene, "__init__", other_looks)
    other = bouncing.render(3, "train", 64)
    np.testing.assert_array_equal(other.mask, videos[3].mask)
    assert np.abs(other.image.astype(int) - videos[3].image).mean() > 10


def test_splits_seeds_and_numbers_differ():
    found = [
        bouncing.render(index, split, 24, seed, range(1)).mask.tobytes()
        for index in range(4)
        for split in bouncing.SPLIT_SIZES
        for seed in (0, 1)
    ]
    assert len(set(found)) == len(found)


def test_masks_are_discs_in_their_places(videos):
    steps = (np.arange(64) + 0.5) / 64
    x, y = np.meshgrid(steps, steps)
    for video in videos:
        world = video.world
        place = world.position[..., None, None]
        away = np.hypot(x - place[:, :, 0], y - place[:, :, 1])  # (F, K, 64, 64)
        inside = away <= world.radius[:, None, None]
        number = np.arange(2, 2 + len(world.radius))[:, None, None]
        assert (inside.any(1) == (video.mask > 1)).mean() > 0.9995
        assert (inside | (video.mask[:, None] != number)).mean() > 0.9995
        seen = (video.mask[:, None] == number).sum((2, 3)) / inside.sum((2, 3))
        assert seen.min() > 0.85  # where two touch one lies on top


def hue_of(image, mask):
    red, green, blue = image[mask].mean(0) / 255
    return colorsys.rgb_to_hsv(red, green, blue)[0]


def test_red_and_blue_are_the_queried_ones_alone(videos):
    def distance(hue, other):
        return abs((hue - other + 0.5) % 1 - 0.5)

    for video in videos:
        red, blue = video.world.queried
        for number in range(len(video.forms)):
            hue = hue_of(video.image[0], video.mask[0] == number + 2)
            assert (distance(hue, 0) < 0.07) == (number == red)
            assert (distance(hue, 0.64) < 0.07) == (number == blue)


def test_source():
    source = pickle.loads(pickle.dumps(bouncing.Bouncing("readout", size=32, seed=5)))
    assert len(source.num_frames) == bouncing.SPLIT_SIZES["readout"]
    assert set(source.num_frames) == {NUM_FRAMES} == {source.max_frames}
    sample = source.read(np.int64(3), 2, 6)
    video = bouncing.render(3, "readout", 32, 5)
    np.testing.assert_array_equal(sample["image"], video.image[2:6])
    np.testing.assert_array_equal(sample["mask"], video.mask[2:6])
    count = len(video.forms)
    np.testing.assert_allclose(sample["centres"][:, :count], video.world.position[2:6], rtol=1e-6)
    moved = np.diff(sample["centres"], axis=0)
    steady = np.abs(np.diff(sample["velocities"], axis=0)).max((0, 2)) == 0
    np.testing.assert_allclose(moved[:, steady], sample["velocities"][1:, steady], atol=1e-6)
    assert sample["index"] == 3 and video.image.dtype == video.mask.dtype == np.uint8
    with pytest.raises(UserError, match="choose one of train"):
        bouncing.Bouncing("val")


def test_batches_tell_motion_and_question():
    config = data_config("bouncing", "", 24)
    batch = next(pipeline.evaluation_batches(config, "readout", 4, num_threads=0))
    assert batch["image"].shape == (4, NUM_FRAMES, 24, 24, 3)
    source = bouncing.Bouncing("readout", 24)
    for index in range(4):
        sample = source.read(index, 0, NUM_FRAMES)
        for name in sample.keys() - {"classes"}:  # these are those of the view
            np.testing.assert_array_equal(batch[name][index], sample[name], err_msg=name)
    assert batch["answer"].sum() == 2
