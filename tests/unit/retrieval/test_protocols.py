import numpy as np
import pytest

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.protocols import PROTOCOLS, Protocol, draw_gallery, protocol_named, splits

PERSONS = np.array([3, 7, 3, 5, 7, 7, 3])


def test_names_are_those_of_the_metrics() -> None:
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())
    assert protocol_named("market").exclusion == "same_person_and_camera"
    assert protocol_named("no_camera").exclusion == "none"


def test_unknown_name() -> None:
    with pytest.raises(ParamsError, match=r"protocol 'markt' \(did you mean 'market'\?\)"):
        protocol_named("markt")


def test_trials_must_be_positive() -> None:
    with pytest.raises(ParamsError, match="protocol p: 0 trials; expected at least 1"):
        Protocol("p", exclusion="none", trials=0)


def test_given_roles_are_kept_where_nothing_is_drawn() -> None:
    is_query = np.array([True, False, False, True, False, False, False])
    (split,) = splits(PROTOCOLS["market"], PERSONS, is_query)
    assert split.query_rows.tolist() == [0, 3]
    assert split.gallery_rows.tolist() == [1, 2, 4, 5, 6]


def test_one_image_of_each_person_is_drawn_in_every_trial() -> None:
    protocol = PROTOCOLS["vehicleid"]
    made = list(splits(protocol, PERSONS, np.zeros(7, bool)))
    assert len(made) == protocol.trials
    for split in made:
        assert PERSONS[split.gallery_rows].tolist() == [3, 5, 7]
        together = [*split.query_rows.tolist(), *split.gallery_rows.tolist()]
        assert sorted(together) == list(range(7))
    assert len({tuple(split.gallery_rows.tolist()) for split in made}) > 1


def test_a_draw_depends_on_seed_and_trial() -> None:
    persons = np.repeat(np.arange(50), 9)
    first = draw_gallery(persons, seed=0, trial=0)
    np.testing.assert_array_equal(first, draw_gallery(persons, seed=0, trial=0))
    assert not np.array_equal(first, draw_gallery(persons, seed=0, trial=1))
    assert not np.array_equal(first, draw_gallery(persons, seed=1, trial=0))


def test_nothing_to_draw_from() -> None:
    with pytest.raises(EvaluationError, match="0 images; expected at least one person"):
        draw_gallery(np.empty(0, np.int64), 0, 0)


def test_card_tells_what_alters_a_score() -> None:
    card = PROTOCOLS["vehicleid"].card
    assert card["gallery_draw"] == "one_image_per_person"
    assert (card["trials"], card["seed"], card["exclusion_rule"]) == (10, 0, "junk; none")
    assert PROTOCOLS["market"].card["exclusion_rule"] == "junk; same person and camera"
