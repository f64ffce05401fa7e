"""The suites on disk: one for each kind of data, written by the functions that are tested."""

import json
from pathlib import Path

import pytest

from reid.errors import ParamsError
from reid.validation import rebuild_suite
from reid.validation.checks import CHECKS
from reid.validation.facts import FACTS
from reid.validation.kinds import KINDS
from reid.validation.suite import read_suite

FOLDER = Path(__file__).parents[3] / "params/validation"
OF_THE_SPECIFICATION = {
    "schema",
    "path_unique",
    "train_test_ids_disjoint",
    "query_has_cross_camera_match",
    "train_label_support",
    "image_decodes",
    "min_side",
    "aspect_range",
    "no_duplicate_bytes_across_train_test",
    "no_duplicate_bytes_within_split",
    "no_query_copy_in_gallery",
    "camera_in_official_range",
    "all_cameras_in_train",
    "labels_contiguous",
    "official_counts",
    "listed_file_exists",
    "no_unlisted_images",
    "modality_matches_camera",
    "both_modalities_per_test_id",
    "track_time_ordered",
    "junk_distractor_only_in_gallery",
    "no_test_image_in_pretrain",
    "label_noise_guard",
    "camera_drift",
    "ethics_record_present",
}


def names(kind: str) -> set[str]:
    return {rule.name for rule in KINDS[kind]()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_suite_is_what_a_rebuild_gives(kind: str, tmp_path: Path) -> None:
    written = rebuild_suite(kind, tmp_path)
    assert written.read_bytes() == (FOLDER / written.name).read_bytes()


def test_there_is_no_other_suite(tmp_path: Path) -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(KINDS)
    with pytest.raises(ParamsError, match=r"suite 'vehicles' \(did you mean 'vehicle'\?\)"):
        rebuild_suite("vehicles", tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_of_a_suite_is_computed(kind: str) -> None:
    columns = {"images": {*CHECKS}, "facts": {*FACTS}}
    for rule in KINDS[kind]():
        named = rule.arguments.get("column")
        plain = rule.name == "schema" and rule.table == "images"
        assert named is None or named in columns[rule.table] or plain


def test_the_suites_cover_the_specification() -> None:
    assert set().union(*map(names, KINDS)) >= OF_THE_SPECIFICATION
    across = {"modality_matches_camera", "both_modalities_per_test_id"}
    assert across <= names("cross_modal")
    assert not across & names("person")
    assert names("person") == names("vehicle")
    assert "no_test_image_in_pretrain" in names("pretrain")
    assert not names("pretrain") & {"labels_contiguous", "valid_queries", "train_label_support"}


def test_vehicles_may_be_wide() -> None:
    shapes = [rule for rule in KINDS["vehicle"]() if rule.name == "aspect_range"]
    assert [(rule.severity, rule.arguments) for rule in shapes] == [
        ("error", {"column": "aspect", "min_value": 0.3, "max_value": 3})
    ]


def test_one_rule_is_only_told() -> None:
    told = {rule.name for kind in KINDS for rule in KINDS[kind]() if rule.severity == "info"}
    assert told == {"label_noise_guard"}
    stored = json.loads((FOLDER / "person.json").read_text())["expectations"]
    assert {e["severity"] for e in stored} == {"critical", "warning", "info"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "suite.json: no such file; expected an expectation suite"),
        ("{", "suite.json: not valid JSON"),
        ("[]", "suite.json: incomplete; expected a name, a table, a severity, a description"),
        ('{"name": "x", "expectations": [{"type": "t"}]}', "suite.json: incomplete"),
    ],
)
def test_a_damaged_suite_is_an_error(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "suite.json").write_text(content)
    with pytest.raises(ParamsError, match=message):
        read_suite(tmp_path / "suite.json")
