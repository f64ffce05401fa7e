"""What a flow leaves in Prefect when it ends: a table of its stages, and the comparison of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from reid.params import read_yaml


@dataclass(frozen=True)
class StageOutcome:
    """How a stage ended.

    Attributes:
        state: Name of its Prefect state: `Completed`, `Cached`, `Failed`, or `NotReady` where
            something it depends on failed.
        seconds: How long its command ran; None if it did not.
        failure: The error, if there was one.
    """

    name: str
    state: str
    seconds: float | None = None
    failure: str | None = None

    @property
    def done(self) -> bool:
        """The outputs are there and up to date."""
        return self.failure is None and self.seconds is not None

    def __str__(self) -> str:
        """Return for example `train@bot Completed in 12.3 s`."""
        return f"{self.name} {self.state}" + (f" in {self.seconds:.1f} s" if self.seconds else "")


def publish_summary(project: Path, outcomes: Sequence[StageOutcome]) -> None:
    """Create the artifacts `stages` and, if the study has been compared, `comparison`."""
    rows = [
        {
            "stage": outcome.name,
            "state": outcome.state,
            "seconds": "" if outcome.seconds is None else round(outcome.seconds, 1),
        }
        for outcome in outcomes
    ]
    create_table_artifact(rows, key="stages", description="Stages of this flow run")
    study = read_yaml(project / "params/study.yaml").get("study")
    report = project / f"reports/{study}/comparison.md"
    if report.is_file():
        text = report.read_text(encoding="utf-8")
        create_markdown_artifact(text, key="comparison", description=f"Runs of study {study}")
