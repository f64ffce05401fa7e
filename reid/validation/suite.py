"""The suite: which expectations hold for persons, how severe they are, and what to do about them.

The file in `params/validation/` is what runs, and where a threshold is changed. The functions here
write that file anew on request, and read it.
"""

import dataclasses
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from reid.data.manifest import BANDS, FLAGS, MODALITIES, OBJECTS, SCHEMA, SPLITS
from reid.errors import ParamsError
from reid.files import write_whole

Table = Literal["images", "facts"]
TABLES: tuple[Table, ...] = ("images", "facts")
_SEVERITIES = ("critical", "warning")

_SCHEMA_REMEDY = "Build the manifest again with `reid data build`."


@dataclasses.dataclass(frozen=True)
class Rule:
    """One expectation of the suite.

    Args:
        name: Name under which the rule is reported; several expectations may share one.
        kind: Great Expectations' name of the expectation type.
        arguments: What the type takes.
        says: The expectation in words.
        remedy: What to do if it does not hold.
        table: Whether it looks at the images or at the facts of the whole.
        severity: An `error` stops the pipeline.
    """

    name: str
    kind: str
    arguments: dict[str, Any]
    says: str
    remedy: str
    table: Table = "images"
    severity: Literal["error", "warning"] = "error"

    def to_json(self) -> dict[str, Any]:
        """Write the rule as Great Expectations stores an expectation."""
        return {
            "type": self.kind,
            "kwargs": self.arguments,
            "severity": "critical" if self.severity == "error" else "warning",
            "description": self.says,
            "meta": {"name": self.name, "table": self.table, "remedy": self.remedy},
        }


def load_great_expectations() -> ModuleType:
    """Import the library, which takes seconds, with telemetry off."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations

    module: ModuleType = great_expectations
    return module


def rebuild_suite(name: str, folder: Path) -> Path:
    """Write the file of a suite anew.

    Args:
        name: Name of the suite; there is `person`.
        folder: Where the suites lie.

    Raises:
        ParamsError: There is no such suite.
    """
    if name != "person":
        raise ParamsError(f"suite '{name}'", "person", "Correct the name.")
    path = folder / f"{name}.json"
    content = {"name": name, "expectations": [rule.to_json() for rule in person_rules()]}
    write_whole(path, json.dumps(content, indent=2) + "\n")
    return path


def read_suite(path: Path) -> dict[str, Any]:
    """Read a suite file.

    Returns:
        `name`, and `expectations` as Great Expectations stores them.

    Raises:
        ParamsError: The file is missing, is not JSON, or an expectation is incomplete.
    """
    remedy = "Write it anew with `reid suite rebuild`."
    try:
        suite = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file", "an expectation suite", remedy) from None
    except ValueError as error:
        raise ParamsError(f"{path}: not valid JSON ({error})", "a suite", remedy) from None
    if not _is_complete(suite):
        expected = "a name, a table, a severity, a description and a remedy for each expectation"
        raise ParamsError(f"{path}: incomplete", expected, remedy)
    return {"name": str(suite["name"]), "expectations": list(suite["expectations"])}


def _is_complete(suite: Any) -> bool:
    """Tell whether a suite has what the report needs beside what the library needs."""
    try:
        return bool(suite["name"]) and all(
            entry["meta"]["table"] in TABLES
            and entry["severity"] in _SEVERITIES
            and all([entry["meta"]["name"], entry["meta"]["remedy"], entry["description"]])
            for entry in suite["expectations"]
        )
    except (KeyError, TypeError):
        return False


def person_rules() -> list[Rule]:
    """All rules for a data set of persons, in the order of the report."""
    return [
        *_schema_rules(),
        *_identity_rules(),
        *_image_rules(),
        *_training_rules(),
        *_fact_rules(),
    ]


def _true(name: str, says: str, remedy: str, column: str = "", **more: Any) -> Rule:
    """Build a rule whose column must be true everywhere."""
    arguments = {"column": column or name, "value_set": [True]}
    return Rule(name, "expect_column_values_to_be_in_set", arguments, says, remedy, **more)


def _between(
    name: str, column: str, bounds: dict[str, float], says: str, remedy: str, **more: Any
) -> Rule:
    """Build a rule whose column must lie within bounds."""
    arguments = {"column": column, **bounds}
    return Rule(name, "expect_column_values_to_be_between", arguments, says, remedy, **more)


def _schema_rules() -> list[Rule]:
    columns = {"column_set": list(SCHEMA.names), "exact_match": False}
    allowed = {"split": SPLITS, "flag": FLAGS, "modality": MODALITIES, "band": BANDS}
    allowed["object"] = OBJECTS
    unique = {"column_list": ["dataset", "variant", "path"]}
    return [
        Rule(
            "schema",
            "expect_table_columns_to_match_set",
            columns,
            "The manifest has every column of the schema.",
            _SCHEMA_REMEDY,
        ),
        _true("schema", "No required value is missing.", _SCHEMA_REMEDY, "required_present"),
        _true("schema", "Digests have 32 bytes.", _SCHEMA_REMEDY, "sha256_length"),
        *(
            Rule(
                "schema",
                "expect_column_values_to_be_in_set",
                {"column": column, "value_set": list(values)},
                f"{column} is one of {', '.join(values)}.",
                _SCHEMA_REMEDY,
            )
            for column, values in allowed.items()
        ),
        Rule(
            "path_unique",
            "expect_compound_columns_to_be_unique",
            unique,
            "No image is listed twice.",
            _SCHEMA_REMEDY,
        ),
    ]


def _identity_rules() -> list[Rule]:
    return [
        _true(
            "train_test_ids_disjoint",
            "No person of the training set appears in the test set.",
            "Remove these test images, or those persons from the training set.",
        ),
        _true(
            "query_has_cross_camera_match",
            "Each query has a gallery image of its person, from another camera if the protocol "
            "excludes the query's own.",
            "Remove these queries, or use the protocol no_camera for single-camera data.",
            "query_has_match",
        ),
        _true(
            "labels_contiguous",
            "Training labels are the ranks of the persons, from 0 without a gap.",
            _SCHEMA_REMEDY,
        ),
        _true(
            "camera_in_official_range",
            "The camera is one that the data set has.",
            "Correct the camera in the file name, or remove the image; for data of your own state "
            "their `ethics`, then the cameras of the benchmark do not bind.",
        ),
        _true(
            "junk_distractor_only_in_gallery",
            "Junk (-1) and distractors (0) are in the gallery only.",
            "Move these images to the gallery folder, or remove them.",
        ),
        _true(
            "modality_matches_band",
            "Colour images are visible light, infrared ones are not.",
            _SCHEMA_REMEDY,
        ),
        _true(
            "track_time_ordered",
            "Time does not run backwards along a track.",
            "Correct the frame numbers or the timestamps of these tracks.",
        ),
    ]


def _image_rules() -> list[Rule]:
    small = "Remove these images; there is too little to see."
    odd = "Check the crop of these images, or remove them."
    copies = "Keep one of the equal files."
    return [
        _true("listed_file_exists", "Every listed file is there.", "Restore the files."),
        _true(
            "image_decodes",
            "Every image decodes to its last row.",
            "Restore these files from the original archive, or remove them.",
        ),
        _between("min_side", "shorter_side", {"min_value": 16}, "Sides of 16 px or more.", small),
        _between(
            "min_side",
            "shorter_side",
            {"min_value": 32},
            "Sides of 32 px or more.",
            small,
            severity="warning",
        ),
        _between(
            "aspect_range",
            "aspect",
            {"min_value": 0.8, "max_value": 6},
            "Height is 0.8 to 6 times the width.",
            odd,
        ),
        _between(
            "aspect_range",
            "aspect",
            {"min_value": 1.2, "max_value": 4.5},
            "Height is 1.2 to 4.5 times the width.",
            odd,
            severity="warning",
        ),
        _true(
            "no_duplicate_bytes_across_train_test",
            "No file of the training set is in the test set too.",
            "Remove the training image; the test set must stay as published.",
        ),
        _true(
            "no_query_copy_in_gallery",
            "No query is a copy of a gallery image of another person or camera.",
            "One of the two names is wrong: correct it, or remove the image.",
        ),
        _true(
            "no_duplicate_bytes_within_split",
            "No two files of a split are equal.",
            copies,
            severity="warning",
        ),
    ]


def _training_rules() -> list[Rule]:
    support = "Training works better with more images of these persons, from two cameras or more."
    return [
        _between(
            "train_label_support",
            "label_images",
            {"min_value": 2},
            "Each person to train on has 2 images or more.",
            support,
            table="facts",
            severity="warning",
        ),
        _between(
            "train_label_support",
            "label_cameras",
            {"min_value": 2, "mostly": 0.95},
            "95 % of the persons to train on are seen by 2 cameras or more.",
            support,
            table="facts",
            severity="warning",
        ),
        _true(
            "all_cameras_in_train",
            "Each camera of the data set is in the training set.",
            "A model that embeds cameras does not know these: check the training folder.",
            table="facts",
            severity="warning",
        ),
    ]


def _fact_rules() -> list[Rule]:
    counts = "Unpack the data set again, or set official: false for a subset."
    return [
        _true("official_counts", "The official counts agree.", counts, table="facts"),
        _true(
            "official_counts",
            "The counts known from literature alone agree.",
            counts,
            "official_counts_literature",
            table="facts",
            severity="warning",
        ),
        _true(
            "no_unlisted_images",
            "Every image file is accounted for by the layout.",
            "Rename these files to the grammar of the layout, or remove them.",
            table="facts",
            severity="warning",
        ),
        _true(
            "ethics_record_present",
            "Licence, status and consent are stated, and withdrawn data acknowledged.",
            "State them under `ethics` in the parameters of the data set.",
            table="facts",
        ),
        _between(
            "valid_queries",
            "valid_queries",
            {"min_value": 1},
            "At least one query has an answer under the protocol.",
            "Check the gallery, or use the protocol no_camera for single-camera data.",
            table="facts",
        ),
    ]
