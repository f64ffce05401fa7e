"""Which rules hold for which kind of data."""

from collections.abc import Callable

from reid.validation import fact_rules as facts
from reid.validation import image_rules as images
from reid.validation.rules import Rule


def person_rules() -> list[Rule]:
    """All rules for a data set of persons, in the order of the report."""
    return [
        *images.schema_rules(),
        *images.identity_rules(),
        *images.pool_rules(),
        *images.camera_rules(),
        *images.file_rules(),
        *images.person_shape(),
        *_evaluation_rules(),
    ]


def vehicle_rules() -> list[Rule]:
    """The same for vehicles, whose boxes may be wider than high."""
    return [
        *images.schema_rules(),
        *images.identity_rules(),
        *images.pool_rules(),
        *images.camera_rules(),
        *images.file_rules(),
        *images.vehicle_shape(),
        *_evaluation_rules(),
    ]


def cross_modal_rules() -> list[Rule]:
    """The same for persons who are looked for in another modality.

    That a person of a test pool has both modalities takes the place of having two images.
    """
    return [
        *images.schema_rules(),
        *images.identity_rules(),
        *images.camera_rules(),
        *images.modality_rules(),
        *images.file_rules(),
        *images.person_shape(),
        *_evaluation_rules(),
    ]


def pretrain_rules() -> list[Rule]:
    """Rules for images of persons without labels, or with labels that are not to be trusted."""
    bands = [rule for rule in images.camera_rules() if rule.name == "modality_matches_band"]
    return [
        *images.schema_rules(),
        *bands,
        *images.file_rules(),
        *images.person_shape(),
        *images.copy_rules(),
        *facts.leak_rules(),
        *facts.count_rules(),
        *facts.ethics_rules(),
        *facts.noise_rules(),
    ]


def _evaluation_rules() -> list[Rule]:
    """What holds for every data set that is trained on and tested with."""
    return [
        *images.train_test_copy_rules(),
        *images.copy_rules(),
        *facts.look_alike_rules(),
        *facts.training_rules(),
        *facts.count_rules(),
        *facts.ethics_rules(),
        *facts.query_rules(),
        *facts.noise_rules(),
        *facts.drift_rules(),
    ]


KINDS: dict[str, Callable[[], list[Rule]]] = {
    "person": person_rules,
    "vehicle": vehicle_rules,
    "cross_modal": cross_modal_rules,
    "pretrain": pretrain_rules,
}
"""Name of a suite to its rules."""
