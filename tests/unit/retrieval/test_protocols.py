import json
from dataclasses import replace

import numpy as np
import pytest

from reid.errors import ParamsError
from reid.retrieval.protocols import PROTOCOLS, Protocol, protocol_named
from reid.retrieval.testset import TestSet


def toy(trials: int = 0) -> TestSet:
    return TestSet(
        "toy",
        np.array([3, 7, 3]),
        np.array([0, 1, 2]),
        np.array(["query", "gallery", "gallery"]),
        draws=np.zeros((3, trials), np.int64),
    )


def test_names_are_those_of_the_metrics() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert protocol_named("market").exclusion == "same_person_and_camera"
    assert protocol_named("no_camera").exclusion == "none"


def test_unknown_name() -> None:
    with pytest.raises(ParamsError, match=r"protocol 'markt' \(did you mean 'market'\?\)"):
        protocol_named("markt")


@pytest.mark.parametrize("name", ["trials", "shots"])
def test_counts_must_be_positive(name: str) -> None:
    with pytest.raises(ParamsError, match=f"protocol p: 0 {name}; expected at least 1"):
        Protocol("p", exclusion="none", **{name: 0})


@pytest.mark.parametrize("gallery", ["single_shot_expected", "single_shot_drawn"])
def test_single_shot_galleries_hold_every_person_and_count_images(gallery: str) -> None:
    with pytest.raises(ParamsError, match=f"exclusion same_camera with gallery {gallery};"):
        Protocol("p", exclusion="same_camera", gallery=gallery)
    with pytest.raises(ParamsError, match=f"counting persons with gallery {gallery};"):
        Protocol("p", exclusion="none", gallery=gallery, counting="persons")


def test_a_card_names_the_cameras_of_both_sides() -> None:
    indoor = PROTOCOLS["sysu_indoor_visible_to_infrared"].card(toy())
    assert indoor["query_images"] == "visible, cameras 0, 1"
    assert indoor["gallery_images"] == "infrared, cameras 2, 5"


def test_places() -> None:
    cameras = np.array([0, 2, 1, 2, 5])
    assert PROTOCOLS["sysu_all_single"].places_of(cameras).tolist() == [0, 1, 1, 1, 5]
    assert cameras.tolist() == [0, 2, 1, 2, 5]
    assert PROTOCOLS["market"].places_of(cameras).tolist() == cameras.tolist()


def test_a_swap_of_places_is_no_chain() -> None:
    swap = replace(PROTOCOLS["market"], places=((0, 1), (1, 0)))
    assert swap.places_of(np.array([0, 1, 2])).tolist() == [1, 0, 2]


def test_what_sets_the_published_protocols_apart() -> None:
    found = {
        name: (p.query_modality, p.exclusion, p.counting, p.shots, p.trials, p.normalise)
        for name, p in PROTOCOLS.items()
        if p.query_modality
    }
    sysu, everyone = ("ir", "same_camera", "persons"), (10, True)
    camera, whole = "same_person_and_camera", (1, 1, False)
    assert found == {
        "sysu_all_single": (*sysu, 1, *everyone),
        "sysu_all_multi": (*sysu, 10, *everyone),
        "sysu_indoor_single": (*sysu, 1, *everyone),
        "sysu_indoor_multi": (*sysu, 10, *everyone),
        "sysu_all_visible_to_infrared": ("rgb", *sysu[1:], 1, 1, True),
        "sysu_indoor_visible_to_infrared": ("rgb", *sysu[1:], 1, 1, True),
        "regdb_visible_to_thermal": ("rgb", "none", "images", *whole),
        "regdb_thermal_to_visible": ("ir", "none", "images", *whole),
        "regdb_visible_to_thermal_idkl": ("rgb", "none", "persons", *whole),
        "regdb_thermal_to_visible_idkl": ("ir", "none", "persons", *whole),
        "llcm_nir_to_visible": ("ir", camera, "persons", 1, *everyone),
        "llcm_visible_to_nir": ("rgb", camera, "persons", 1, *everyone),
        "llcm_full_gallery_nir_to_visible": ("ir", "none", "persons", *whole),
        "llcm_full_gallery_visible_to_nir": ("rgb", "none", "persons", *whole),
    }
    indoor = [p for p in PROTOCOLS.values() if p.name.startswith("sysu_indoor")]
    sides = [(p.query_cameras, p.gallery_cameras) for p in indoor]
    assert sides == [(None, (0, 1)), (None, (0, 1)), ((0, 1), (2, 5))]


def test_card_tells_what_alters_a_score() -> None:
    card = PROTOCOLS["vehicleid"].card(toy())
    assert card["gallery_draw"] == "one_image_per_person"
    assert (card["trials"], card["seed"], card["exclusion_rule"]) == (10, 0, "junk; none")
    assert card["query_images"] == "all that are not drawn"
    card = PROTOCOLS["market"].card(toy())
    assert card["exclusion_rule"] == "junk; same person and camera"
    assert (card["query_images"], card["gallery_images"]) == ("role query", "role gallery")
    assert (card["draw"], card["counting"], card["places"]) == ("none", "images", "none")


def test_card_names_the_draw_that_was_used() -> None:
    sysu = PROTOCOLS["sysu_all_multi"]
    cards = [sysu.card(toy(trials)) for trials in (0, 10)]
    assert [card["draw"] for card in cards] == ["seeded", "official"]
    assert [card["gallery_draw"] for card in cards] == [
        "10 per person and camera, seeded",
        "10 per person and camera, official",
    ]
    assert cards[0]["places"] == "camera 2 as 1"
    assert cards[0]["query_images"] == "infrared"
    assert cards[0]["gallery_images"] == "visible, cameras 0, 1, 3, 4"
    # official draws are of images per camera: no other gallery follows them
    draws = {name: PROTOCOLS[name].card(toy(10))["draw"] for name in ("market", "cuhk03")}
    assert draws == {"market": "none", "cuhk03": "expected"}
    assert PROTOCOLS["cuhk03_drawn"].card(toy(10))["draw"] == "seeded"


def test_every_card_can_be_written_and_tells_the_protocols_apart() -> None:
    cards = {json.dumps(p.card(toy())) for p in PROTOCOLS.values()}
    assert len(cards) == len(PROTOCOLS)
