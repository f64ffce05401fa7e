"""Rules that look at single images."""

from reid.data.manifest import BANDS, FLAGS, MODALITIES, OBJECTS, SCHEMA, SPLITS
from reid.validation.rules import Rule, holds, within

REBUILD = "Build the manifest again with `reid data build`."
_MATCH_REMEDY = "Remove these queries, or use the protocol no_camera for single-camera data."


def schema_rules() -> list[Rule]:
    """The manifest is one."""
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
            REBUILD,
        ),
        holds("schema", "No required value is missing.", REBUILD, "required_present"),
        holds("schema", "Digests have 32 bytes.", REBUILD, "sha256_length"),
        *(
            Rule(
                "schema",
                "expect_column_values_to_be_in_set",
                {"column": column, "value_set": list(values)},
                f"{column} is one of {', '.join(values)}.",
                REBUILD,
            )
            for column, values in allowed.items()
        ),
        Rule(
            "path_unique",
            "expect_compound_columns_to_be_unique",
            unique,
            "No image is listed twice.",
            REBUILD,
        ),
    ]


def identity_rules() -> list[Rule]:
    """Who is shown, and whether they can be found again."""
    return [
        holds(
            "train_test_ids_disjoint",
            "No person of the training set appears in the test set.",
            "Remove these test images, or those persons from the training set.",
        ),
        holds(
            "query_has_cross_camera_match",
            "Each query has a gallery image of its person, from another camera if the protocol "
            "excludes the query's own.",
            _MATCH_REMEDY,
            "query_has_match",
        ),
        holds(
            "labels_contiguous",
            "Training labels are the ranks of the persons, from 0 without a gap.",
            REBUILD,
        ),
        holds(
            "junk_distractor_only_in_gallery",
            "Junk (-1) and distractors (0) are in the gallery only.",
            "Move these images to the gallery folder, or remove them.",
        ),
    ]


def pool_rules() -> list[Rule]:
    """Persons of a test set that is split at evaluation can be found again."""
    return [
        holds(
            "query_has_cross_camera_match",
            "Each person of a test pool has two images or more.",
            "Remove the only image of each of these persons.",
            "pool_has_match",
        )
    ]


def camera_rules() -> list[Rule]:
    """Cameras, modalities and times are possible."""
    return [
        holds(
            "camera_in_official_range",
            "The camera is one that the data set has.",
            "Correct the camera in the file name, or remove the image; for data of your own state "
            "their `terms`, then the cameras of the benchmark do not bind.",
        ),
        holds(
            "modality_matches_band",
            "Colour images are visible light, infrared ones are not.",
            REBUILD,
        ),
        holds(
            "track_time_ordered",
            "Time does not run backwards along a track.",
            "Correct the frame numbers or the timestamps of these tracks.",
        ),
    ]


def modality_rules() -> list[Rule]:
    """Colour and infrared images are told apart, and both are there."""
    return [
        holds(
            "modality_matches_camera",
            "A camera gives the modalities that it has: one, unless stated otherwise.",
            "Correct these images, or state under `cameras` in params/datasets/official.yaml what "
            "the cameras give.",
        ),
        holds(
            "both_modalities_per_test_id",
            "Each person of the test set is seen in colour and in infrared.",
            "Remove these test images, or add the other modality.",
        ),
    ]


def file_rules() -> list[Rule]:
    """Files are there, whole, and large enough."""
    small = "Remove these images; there is too little to see."
    return [
        holds("listed_file_exists", "Every listed file is there.", "Restore the files."),
        holds(
            "image_decodes",
            "Every image decodes to its last row.",
            "Restore these files from the original archive, or remove them.",
        ),
        within("min_side", "shorter_side", {"min_value": 16}, "Sides of 16 px or more.", small),
        within(
            "min_side",
            "shorter_side",
            {"min_value": 32},
            "Sides of 32 px or more.",
            small,
            severity="warning",
        ),
    ]


def person_shape() -> list[Rule]:
    """Boxes that a standing person fills."""
    odd = "Check the crop of these images, or remove them."
    return [
        within(
            "aspect_range",
            "aspect",
            {"min_value": 0.8, "max_value": 6},
            "Height is 0.8 to 6 times the width.",
            odd,
        ),
        within(
            "aspect_range",
            "aspect",
            {"min_value": 1.2, "max_value": 4.5},
            "Height is 1.2 to 4.5 times the width.",
            odd,
            severity="warning",
        ),
    ]


def vehicle_shape() -> list[Rule]:
    """Boxes that a vehicle fills, from any side."""
    return [
        within(
            "aspect_range",
            "aspect",
            {"min_value": 0.3, "max_value": 3},
            "Height is 0.3 to 3 times the width.",
            "Check the crop of these images, or remove them.",
        )
    ]


def train_test_copy_rules() -> list[Rule]:
    """No test image was seen in training, and none has two names."""
    return [
        holds(
            "no_duplicate_bytes_across_train_test",
            "No file of the training set is in the test set too.",
            "Remove the training image; the test set must stay as published.",
        ),
        holds(
            "no_query_copy_in_gallery",
            "No query is a copy of a gallery image of another person or camera.",
            "One of the two names is wrong: correct it, or remove the image.",
        ),
    ]


def copy_rules() -> list[Rule]:
    """No image is there twice."""
    return [
        holds(
            "no_duplicate_bytes_within_split",
            "No two files of a split are equal.",
            "Keep one of the equal files.",
            severity="warning",
        )
    ]
