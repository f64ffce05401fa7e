"""Errors of the flows, in the house form: found, expected, remedy."""

from collections.abc import Sequence

from reid.errors import ReidError


class FlowError(ReidError):
    """A flow cannot start, or some of its stages failed."""

    exit_code = 9


class ServiceError(FlowError):
    """One of the services that `reid up` starts cannot run."""

    exit_code = 12


class StageError(FlowError):
    """The command of a stage ended with an error.

    Args:
        title: What failed, such as `stage 'train@bot'`.
        exit_code: Exit status; negative for a signal.
        lines: The last lines that it wrote, oldest first.
        seconds: How long it ran.
    """

    def __init__(self, title: str, exit_code: int, lines: Sequence[str], seconds: float) -> None:
        how = f"exit code {exit_code}" if exit_code >= 0 else f"signal {-exit_code}"
        tail = "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"
        super().__init__(f"{title} ended with {how}", "exit code 0", f"Its last lines:\n{tail}")
        self.seconds = seconds


class StageBusyError(StageError):
    """Another process holds DVC's lock, or runs a stage that shares files with this one."""


class StageKilledError(StageError):
    """A signal ended the command of a stage, which nobody here had sent: memory ran out, say."""


class StageTimeoutError(FlowError):
    """The command of a stage was ended since it took too long."""

    def __init__(self, title: str, hours: float) -> None:
        super().__init__(
            f"{title} was ended after {hours:g} h",
            "an end by itself within that time",
            "Give its kind more `hours` in params/machines.yaml and start the flow again; "
            "a training goes on where it was.",
        )
