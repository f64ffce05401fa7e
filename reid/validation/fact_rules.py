"""Rules that look at a data set as a whole."""

from reid.validation.near import FLAT_BITS, RADIUS
from reid.validation.rules import Rule, holds, within
from reid.validation.spread import FEWEST


def training_rules() -> list[Rule]:
    """There is enough to train on."""
    support = "Training works better with more images of these persons, from two cameras or more."
    return [
        within(
            "train_label_support",
            "label_images",
            {"min_value": 2},
            "Each person to train on has 2 images or more.",
            support,
            table="facts",
            severity="warning",
        ),
        within(
            "train_label_support",
            "label_cameras",
            {"min_value": 2, "mostly": 0.95},
            "95 % of the persons to train on are seen by 2 cameras or more.",
            support,
            table="facts",
            severity="warning",
        ),
        holds(
            "all_cameras_in_train",
            "Each camera of the data set is in the training set.",
            "A model that embeds cameras does not know these: check the training folder.",
            table="facts",
            severity="warning",
        ),
    ]


def count_rules() -> list[Rule]:
    """The data set is complete, and nothing else is there."""
    counts = "Unpack the data set again, or set official: false for a subset."
    return [
        holds("official_counts", "The official counts agree.", counts, table="facts"),
        holds(
            "official_counts",
            "The counts known from literature alone agree.",
            counts,
            "official_counts_literature",
            table="facts",
            severity="warning",
        ),
        holds(
            "no_unlisted_images",
            "Every image file is accounted for by the layout.",
            "Rename these files to the grammar of the layout, or remove them.",
            table="facts",
            severity="warning",
        ),
    ]


def ethics_rules() -> list[Rule]:
    """The terms of use are stated, and somebody answers for the use of withdrawn data."""
    return [
        holds(
            "ethics_record_present",
            "Licence, status and consent are stated.",
            "State `terms` in the source of the data set: licence, status and consent.",
            table="facts",
        ),
        holds(
            "ethics_record_present",
            "The use of withdrawn data is acknowledged.",
            'Add the line acknowledge_withdrawn: "<who, and why>" to the data set, or use another.',
            "withdrawn_acknowledged",
            table="facts",
        ),
    ]


def query_rules() -> list[Rule]:
    """There is something to score."""
    return [
        within(
            "valid_queries",
            "valid_queries",
            {"min_value": 1},
            "At least one query has an answer under the protocol.",
            "Check the gallery, or use the protocol no_camera for single-camera data.",
            table="facts",
        )
    ]


def look_alike_rules() -> list[Rule]:
    """Test images do not look like training images either."""
    return [
        holds(
            "no_near_duplicates_across_train_test",
            f"No test image has a hash within {RADIUS} of 64 bits of a training image's. Images so "
            f"flat that fewer than {FLAT_BITS} bits are set, or not set, are left out.",
            "Look at these pairs; if one shows the same moment, remove the training image.",
            table="facts",
            severity="warning",
        )
    ]


def leak_rules() -> list[Rule]:
    """Pretraining does not see what is tested later."""
    return [
        holds(
            "no_test_image_in_pretrain",
            "No image to pretrain on is a test image of another data set.",
            "Remove these images from the data to pretrain on.",
            table="facts",
        )
    ]


def noise_rules() -> list[Rule]:
    """Persons whose images are very different from one another."""
    return [
        within(
            "label_noise_guard",
            "label_spread",
            {"max_value": 1},
            f"The images of a person with {FEWEST} images or more are more alike than those of "
            "strangers. Only for information: several cameras make images differ too.",
            "Look at the images of these persons: the number may have been given to two of them.",
            table="facts",
            severity="info",
        )
    ]


def drift_rules() -> list[Rule]:
    """Cameras still give images as bright as on record."""
    remedy = "Look at the images of these cameras; if the change is meant, write the profile anew."
    return [
        within(
            "camera_drift",
            column,
            {"max_value": 12},
            f"The {name} of the grey levels of each camera is within 12 of 255 of the profile.",
            remedy,
            table="facts",
            severity="warning",
        )
        for column, name in (("mean_drift", "mean"), ("std_drift", "standard deviation"))
    ]
