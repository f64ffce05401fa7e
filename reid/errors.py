"""Errors that a user can act on: one line with what was found, what was expected, and the remedy.

The command line prints the message of a `ReidError` without a traceback and leaves with its exit
code; any other exception is a bug and keeps its traceback.
"""


class ReidError(Exception):
    """Base of all errors that the user can mend.

    Args:
        found: What is there, with names and numbers.
        expected: What should have been there.
        remedy: What to do now.
    """

    exit_code = 1

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"{found}; expected {expected}. {remedy}")


class ParamsError(ReidError):
    """A study, a recipe or an argument is wrong."""

    exit_code = 3


class DataError(ReidError):
    """Files, manifest or images are missing or damaged."""

    exit_code = 4


class GateError(ReidError):
    """The data do not pass the validation suite."""

    exit_code = 5


class CheckpointError(ReidError):
    """Weights do not fit the network or cannot be read safely."""

    exit_code = 6


class EvaluationError(ReidError):
    """An evaluation has no defined result, for example no valid query."""

    exit_code = 7


class RegistryError(ReidError):
    """A model may not be registered or promoted, or does not come back as it was logged."""

    exit_code = 8


class TrainingError(ReidError):
    """A training can only get worse from here: a loss that is no number, or a collapse."""

    exit_code = 9


class MachineError(ReidError):
    """Something that every command needs does not work on this machine."""

    exit_code = 10


class ReproductionError(ReidError):
    """A model that was trained again has other numbers."""

    exit_code = 11


class ReidWarning(UserWarning):
    """Something was adapted so that work could go on; one line."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
