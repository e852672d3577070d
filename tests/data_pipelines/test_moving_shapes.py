"""Drawn videos: exact masks that keep their numbers, promised events, determinism."""

import pickle

import numpy as np
import pytest

from data_pipelines.drawn import motion, moving_shapes
from data_pipelines.drawn.motion import NUM_FRAMES
from dias_jax.errors import UserError


@pytest.fixture(scope="module")
def videos():
    """Pairs of a script and the video that it was drawn to."""
    return [(script_of(index), moving_shapes.render(index, "train", 64)) for index in range(16)]


def script_of(index):
    return motion.draw_script(np.random.default_rng((0, 0, index, 1)))


def roles_of(script):
    return [actor.role for actor in script.actors]


def areas_of(video):
    """Pixels of every object in every frame: (F, K)."""
    count = 2 + len(video.forms)
    return np.stack([np.bincount(mask.ravel(), minlength=count)[2:] for mask in video.mask])


def test_a_video_is_a_pure_function_of_its_number():
    for one, other in zip(*(moving_shapes.render(3, "test", 32) for _ in range(2)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_can_be_drawn_alone():
    whole = moving_shapes.render(3, "train", 32)
    part = moving_shapes.render(3, "train", 32, times=range(5, 8))
    for name in ("image", "mask", "hidden"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[5:8])


def test_splits_seeds_and_numbers_differ():
    found = [
        moving_shapes.render(index, split, 24, seed, range(1)).image.tobytes()
        for index in range(4)
        for split in moving_shapes.SPLIT_SIZES
        for seed in (0, 1)
    ]
    assert len(set(found)) == len(found)


def test_noise_is_new_in_every_frame_and_nothing_else_changes_but_by_motion(videos):
    for script, video in videos:
        image = video.image.astype(int)
        is_ground = (video.mask == 1).all(axis=0)  # and near no object, whose shadow moves
        change = np.abs(np.diff(image, axis=0))[:, is_ground]
        if not script.events["camera"] and is_ground.sum() > 100:
            assert 1 < np.median(change) < 4


def test_half_of_the_videos_have_each_event():
    scripts = [motion.draw_script(np.random.default_rng(seed)) for seed in range(60)]
    for name, role in (("twins", "twin"), ("late", "late"), ("returning", "returning")):
        share = np.mean([script.events[name] for script in scripts])
        assert 0.3 < share < 0.7
        for script in scripts:
            expected = (2 if name == "twins" else 1) * script.events[name]
            assert roles_of(script).count(role) == expected
    moves = [script.camera.centre[0] != script.camera.centre[-1] for script in scripts]
    assert moves == [script.events["camera"] for script in scripts] and 0.3 < np.mean(moves) < 0.7
    assert {len(script.actors) for script in scripts} == {3, 4, 5, 6}
    assert all({"front", "back"} <= set(roles_of(script)) for script in scripts)


def test_shapes_and_flags(videos):
    for script, video in videos:
        count = len(script.actors)
        assert video.image.shape == (NUM_FRAMES, 64, 64, 3) and video.image.dtype == np.uint8
        assert video.mask.shape == (NUM_FRAMES, 64, 64) and video.mask.dtype == np.uint8
        assert video.hidden.shape == (NUM_FRAMES, count) and video.hidden.dtype == bool
        assert video.mask.min() >= 1 and video.mask.max() <= 1 + count <= moving_shapes.NUM_MASKS
        assert dict(zip(motion.EVENTS, video.events, strict=True)) == script.events
        assert video.forms.dtype == np.int32 and video.forms.shape == (count,)


def test_events_are_seen(videos):
    for script, video in videos:
        areas = areas_of(video)
        assert areas.any(axis=1).all()  # there is an object in every frame
        for role, area, hidden in zip(roles_of(script), areas.T, video.hidden.T, strict=True):
            assert not area[hidden].any()
            seen = np.flatnonzero(area)
            gone = area[seen[0] : seen[-1]] == 0
            if role == "back":
                assert 2 <= gone.sum() <= 4 and hidden.sum() >= 2
            if role == "late":
                assert area[0] == 0 and len(seen) >= 4
            if role == "returning":
                assert gone.sum() >= 2 and not hidden[seen[0] : seen[-1]][gone].all()


def test_numbers_stay_with_their_objects(videos):
    """All that a mask shows of an object lies on its path."""
    steps = (np.arange(64) + 0.5) / 64
    x, y = np.meshgrid(steps, steps)
    for script, video in videos:
        for number, actor in enumerate(script.actors, start=2):
            away = np.abs(x + 1j * y - actor.centre[:, None, None])
            assert (away <= 1.05 * actor.radius[:, None, None])[video.mask == number].all()
            assert np.abs(np.diff(actor.angle)).max() < 0.13
        # Only "returning" turns back within a frame; the others move little between two.
        assert all(np.abs(np.diff(actor.centre)).max() < 0.25 for actor in script.actors)


def test_masks_agree_with_the_picture(videos):
    """An object keeps its colour, which is not the ground's."""
    kept, distances = [], []
    for _, video in videos:
        ground = video.image[video.mask == 1].mean(0)
        for number in range(2, 2 + len(video.forms)):
            colours = [
                image[mask == number].mean(0)
                for image, mask in zip(video.image, video.mask, strict=True)
                if (mask == number).sum() > 40
            ]
            kept += [np.linalg.norm(colour - colours[0]) for colour in colours]
            distances += [np.linalg.norm(colour - ground) for colour in colours]
    assert np.quantile(kept, 0.9) < 25 and np.quantile(distances, 0.1) > 40


def test_what_is_hidden_leaves_no_trace_on_what_hides_it():
    for index in range(8):
        random = np.random.default_rng((0, 0, index, 1))
        script = motion.draw_script(random)
        scene = moving_shapes._Scene(random, script, 64)
        roles = roles_of(script)
        back, front = roles.index("back"), roles.index("front")
        frames = [scene.draw(time, np.random.default_rng(time)) for time in range(NUM_FRAMES)]
        times = [time for time, (_, _, hidden) in enumerate(frames) if hidden[back]]
        scene.script = script._replace(actors=script.actors[:back] + script.actors[back + 1 :])
        scene.surfaces = scene.surfaces[:back] + scene.surfaces[back + 1 :]
        assert times
        for time in times:
            alone = scene.draw(time, np.random.default_rng(time))[0]
            covers = frames[time][1] == front + 2
            assert covers.any()
            np.testing.assert_array_equal(alone[covers], frames[time][0][covers])


def test_things_that_are_alike_share_a_hue(videos):
    def hue(image, mask, number):
        red, green, blue = image[mask == number].mean(0) / 255
        return np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue) / (2 * np.pi)

    spreads = {True: [], False: []}
    for script, video in videos:
        masks = [(image, mask) for image, mask in zip(video.image, video.mask)]
        hues = [
            hue(image, mask, number)
            for number in range(2, 2 + len(script.actors))
            for image, mask in masks
            if (mask == number).sum() > 40
        ]
        mean = np.exp(2j * np.pi * np.array(hues)).mean()
        spreads[script.events["alike"]].append(1 - np.abs(mean))
    assert max(spreads[True]) < 0.05 < 0.3 < min(spreads[False])


def test_twins_differ_by_their_paths_alone():
    count = 0
    for index in range(20):
        random = np.random.default_rng(index)
        script = motion.draw_script(random)
        twins = [number for number, role in enumerate(roles_of(script)) if role == "twin"]
        if not twins:
            continue
        scene = moving_shapes._Scene(random, script, 32)
        assert scene.surfaces[twins[0]] is scene.surfaces[twins[1]]
        one, other = (script.actors[i] for i in twins)
        assert (one.form, one.style) == (other.form, other.style)
        np.testing.assert_array_equal(one.radius, other.radius)
        np.testing.assert_array_equal(one.angle, other.angle)
        away = np.abs(one.centre - other.centre)
        meeting = away.argmin()
        assert away[meeting] < one.radius[meeting]  # they overlap,
        assert (
            min(away[max(meeting - 5, 0)], away[meeting + 5 : meeting + 6].min()) > 0.2
        )  # and part
        count += 1
    assert count >= 4


def test_source():
    source = pickle.loads(pickle.dumps(moving_shapes.MovingShapes("test", size=32, seed=5)))
    assert len(source.num_frames) == moving_shapes.SPLIT_SIZES["test"]
    assert set(source.num_frames) == {NUM_FRAMES} == {source.max_frames}
    sample = source.read(np.int64(3), 2, 6)
    video = moving_shapes.render(3, "test", 32, 5)
    np.testing.assert_array_equal(sample["image"], video.image[2:6])
    np.testing.assert_array_equal(sample["mask"], video.mask[2:6])
    assert sample["index"] == 3 and sample["hidden"].shape == (4, source.num_masks - 1)
    with pytest.raises(UserError, match="choose one of train"):
        moving_shapes.MovingShapes("val")


def test_textures_stick_to_objects_and_ground():
    """A texture that holds its own coordinates shows where each pixel looks at it."""
    moved = 0
    for index in range(6):
        random = np.random.default_rng((0, 0, index, 1))
        script = motion.draw_script(random)
        scene, camera = moving_shapes._Scene(random, script, 64), script.camera
        side = len(scene.ground)
        world = (((np.arange(side) + 0.5) / side - 0.5) * 1.5 + 0.5).astype(np.float32)
        steps = (np.arange(64) + 0.5) / 64 - 0.5
        for time in (0, 9):
            for item, (pattern, _) in zip(
                motion.draw_masks(script, time, 64)[0], scene.surfaces, strict=True
            ):
                count = len(pattern)
                own = ((np.arange(count, dtype=np.float32) + 0.5) / count - 0.5) * 2.6
                inside = item.distance <= 0
                if inside.any():
                    for texture, expected in zip(np.meshgrid(own, own), (item.x, item.y)):
                        found = scene._on_object(np.ascontiguousarray(texture), item)
                        np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)
            for axis, texture in enumerate(np.meshgrid(world, world)):
                scene.ground = np.ascontiguousarray(texture)
                centre = camera.centre[time]
                expected = (centre.imag if axis else centre.real) + steps / camera.zoom[time]
                found = scene._on_ground(time).mean(axis=axis)
                np.testing.assert_allclose(found, expected, atol=1e-3)
        moved += camera.zoom[0] != 1
    assert moved >= 2
