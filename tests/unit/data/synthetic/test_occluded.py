"""An occluded world is a colour world with much in the way."""

import numpy as np

from reid.data.synthetic import WorldSpec, schedule
from reid.data.synthetic.render import scene_of

COLOUR, OCCLUDED = WorldSpec("demo", "A", 2), WorldSpec("demo", "A", 2, "occluded")


def test_the_same_people_pass_the_same_cameras_at_the_same_times() -> None:
    assert schedule(COLOUR) == schedule(OCCLUDED)
    plain, covered = scene_of(COLOUR), scene_of(OCCLUDED)
    for shot in schedule(COLOUR)[::50]:
        assert plain.identity(shot.key) == covered.identity(shot.key)


def test_half_of_the_images_and_more_are_occluded() -> None:
    scene = scene_of(OCCLUDED)
    people = [shot.key for shot in schedule(OCCLUDED) if shot.key.kind == "person"]
    shown = [scene.render(key) for key in people[::6]]
    assert 0.5 < np.mean([image.occluded for image in shown]) < 0.8


def test_an_image_with_nothing_in_front_is_that_of_the_colour_world() -> None:
    plain, covered = scene_of(COLOUR), scene_of(OCCLUDED)
    same, more = 0, 0
    for shot in schedule(OCCLUDED)[::30]:
        image, other = covered.render(shot.key), plain.render(shot.key)
        same += image.jpeg == other.jpeg
        more += image.occ_fraction > other.occ_fraction
        assert image.jpeg == other.jpeg or image.occ_fraction >= other.occ_fraction
    assert same > 5
    assert more > 15
