"""The study: which datasets, which runs, under which evaluation. One YAML, `params/study.yaml`.

DVC reads the same file to unfold `dvc.yaml`; this class gives the program the checked view of it.
What `dvc.yaml` names has no default here, for DVC would not see it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from reid.errors import ParamsError
from reid.params import Params, nearest, parse_params, read_yaml
from reid.study_evaluation import EvaluationEntry

STUDY_FILE = Path("params/study.yaml")
DATA_FOLDER = Path("data")
PRETRAIN_SUITE = "pretrain"
STUDIES_FOLDER = Path("params/studies")

# Where a study names no other, this code does it. DVC watches whatever is named.
FRESH = Path("reid/nn")
AT_RANDOM = Path("reid/pretrain/selection.py")

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class SyntheticSource(Params):
    """A generated world; see `reid synth sheet`.

    Attributes:
        domain: `A` summer, `B` winter; `AB` both, for unlabelled worlds.
        kind: `colour`; `occluded`, where something stands before most people; `cross_modal`, with
            two infrared cameras; `unlabelled`, for pretraining.
        ir_tie: For `cross_modal`: how far infrared reflectance follows the colour, from 0 to 1;
            None for the default of the size.
    """

    reader: Literal["synthetic"]
    size: Literal["smoke", "demo", "bench", "bench_hr", "pretrain"]
    domain: Literal["A", "B", "AB"] = "A"
    kind: Literal["colour", "occluded", "cross_modal", "unlabelled"] = "colour"
    ir_tie: float | None = Field(None, ge=0, le=1)
    seed: int = Field(ge=0)


class Terms(Params):
    """Under which terms the people shown may be used; travels to the model card.

    Attributes:
        status: `open`, `research`, `agreement` or `withdrawn`.
        consent: Whether the people shown agreed.
    """

    licence: str = Field(min_length=1)
    status: Literal["open", "research", "agreement", "withdrawn"]
    consent: Literal["yes", "no", "synthetic", "unknown"]


class FilesSource(Params):
    """Files on disk, in the layout of a public data set or of one's own.

    Attributes:
        reader: Name of the layout; `reid data layouts` lists them.
        options: Options of the reader, such as `use_500k: true`.
        official: The files claim to be the complete benchmark, so its counts are checked.
        terms: For data of your own: their terms of use. Then neither the benchmark's terms nor its
            number of cameras hold.
        strict: An image file that the layout does not know is an error, not a warning.
        acknowledge_withdrawn: For data that their authors took back: who uses them, and why. Kept
            in the manifest, in the model card and in MLflow.
    """

    reader: Name
    options: dict[str, Any] = Field(default_factory=dict)
    official: bool = True
    terms: Terms | None = None
    strict: bool = False
    acknowledge_withdrawn: str | None = Field(None, min_length=10)


def _kind_of_source(value: Any) -> str:
    reader = value.get("reader") if isinstance(value, dict) else getattr(value, "reader", None)
    return "synthetic" if reader == "synthetic" else "files"


Source = Annotated[
    Annotated[SyntheticSource, Tag("synthetic")] | Annotated[FilesSource, Tag("files")],
    Discriminator(_kind_of_source),
]


class DatasetEntry(Params):
    """One dataset of a study.

    Attributes:
        made_from: What it is made from, for DVC to watch: the folder or archive of a real dataset,
            the generator's code for a generated one.
        compared_with: What the gate compares it with: `data` for a pretraining set, so that it
            holds no test image of any dataset; else its own folder.
        suite: Name of the validation suite, a file in `params/validation/`.
        protocols: Names of the evaluation protocols of its test split.
        origin: Where the files came from, in the user's words.
    """

    made_from: Path
    compared_with: Path
    source: Source
    suite: Name
    protocols: tuple[str, ...]
    origin: str = ""


class PretrainingEntry(Params):
    """One pretraining of a study: a backbone from images without labels.

    Attributes:
        recipe: Recipe file, see `params/pretrain/`.
        data: Unlabelled dataset.
        selected_by: File of scores that chooses images, or `reid/pretrain/selection.py`, which
            draws them at random.
        share: Share of the images that is used.
        starts_from: Folder of an earlier pretraining or a file of weights to go on from, or
            `reid/nn` for fresh weights.
        overrides: Recipe keys that this pretraining changes.
    """

    recipe: Path
    data: Name
    selected_by: Path
    share: float = Field(1.0, gt=0, le=1)
    starts_from: Path
    overrides: dict[str, Any] = Field(default_factory=dict)


class RunEntry(Params):
    """One run of a study: a method, trained on one dataset and tested on one or two.

    Attributes:
        recipe: Recipe file of the method.
        starts_from: Folder of a pretraining or a file of weights, or `reid/nn` for fresh weights
            or those that the recipe names.
        train: Dataset to train on.
        test: Dataset to test on.
        transfer: Second test set, of another domain; the same as `test` where there is none.
        overrides: Recipe keys that this run changes.
    """

    method: str
    recipe: Path
    starts_from: Path
    train: Name
    test: Name
    transfer: Name
    overrides: dict[str, Any] = Field(default_factory=dict)

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The distinct test sets, the home set first."""
        return tuple(dict.fromkeys((self.test, self.transfer)))


class EmbeddingsEntry(Params):
    """How the features of the test sets are stored.

    Attributes:
        precision: `float16` and `bfloat16` take half the space of `float32`, and keep 11 and 8 of
            24 bits of each number; only `bfloat16` holds numbers beyond 65,504.
    """

    precision: Literal["float32", "float16", "bfloat16"] = "float32"


class ShortlistEntry(Params):
    """Two runs as one system: one finds the nearest images, the other looks at these again.

    Attributes:
        matcher: Run that scores pairs.
        by: Run whose distances choose the images.
        count: How many are looked at for each query.
    """

    matcher: Name
    by: Name
    count: int = Field(100, ge=1)


class Registration(Params):
    """What the registry demands to know of a model beside its numbers, and when it is robust.

    Attributes:
        group_queries: Smaller groups of queries are not looked at before a promotion.
        group_points: Points of plain mAP that a group may lose significantly against the champion.
    """

    intended_use: str = Field(min_length=1)
    group_queries: int = Field(20, ge=1)
    group_points: float = Field(5.0, ge=0, le=100)


class Study(Params):
    """A set of datasets and runs that are compared with one another.

    Attributes:
        pretraining_defaults, run_defaults: Not read: places for the YAML anchors that
            `pretrainings` and `runs` share.
    """

    study: Name
    seed: int = Field(ge=0)
    datasets: dict[Name, DatasetEntry]
    pretraining_defaults: dict[str, Any] = Field(default_factory=dict)
    pretrainings: dict[Name, PretrainingEntry]
    run_defaults: dict[str, Any] = Field(default_factory=dict)
    runs: dict[Name, RunEntry]
    shortlists: dict[Name, ShortlistEntry]
    embeddings: EmbeddingsEntry
    evaluation: EvaluationEntry
    registration: Registration

    def dataset(self, name: str) -> DatasetEntry:
        """Return a dataset by name, or raise `ParamsError` naming the nearest one."""
        if name not in self.datasets:
            raise _unknown("dataset", name, self.study, list(self.datasets))
        return self.datasets[name]

    def pretraining(self, name: str) -> PretrainingEntry:
        """Return a pretraining by name, or raise `ParamsError` naming the nearest one."""
        if name not in self.pretrainings:
            raise _unknown("pretraining", name, self.study, list(self.pretrainings))
        return self.pretrainings[name]

    def shortlist(self, name: str) -> ShortlistEntry:
        """Return a shortlist by name, or raise `ParamsError` naming the nearest one."""
        if name not in self.shortlists:
            raise _unknown("shortlist", name, self.study, list(self.shortlists))
        return self.shortlists[name]

    def run(self, name: str) -> RunEntry:
        """Return a run by name, or raise `ParamsError` naming the nearest one."""
        if name not in self.runs:
            raise _unknown("run", name, self.study, list(self.runs))
        return self.runs[name]


def load_study(path: Path = STUDY_FILE) -> Study:
    """Read and check a study; every dataset and run that something names must exist in it."""
    study = parse_params(read_yaml(path), Study, str(path))
    for entry in study.runs.values():
        for dataset in (entry.train, entry.test, entry.transfer):
            study.dataset(dataset)
    for pretraining in study.pretrainings.values():
        study.dataset(pretraining.data)
    for name, shortlist in study.shortlists.items():
        _check_shortlist(study, name, shortlist, path)
    for name, dataset_entry in study.datasets.items():
        if dataset_entry.suite == PRETRAIN_SUITE and dataset_entry.compared_with != DATA_FOLDER:
            raise ParamsError(
                f"{path}: {name}.compared_with is {dataset_entry.compared_with}",
                f"{DATA_FOLDER} for a pretraining set",
                "Else test images of other datasets in it would go unnoticed.",
            )
    return study


def _check_shortlist(study: Study, name: str, entry: ShortlistEntry, path: Path) -> None:
    tested = [set(study.run(run).test_sets) for run in (entry.matcher, entry.by)]
    if name in study.runs:
        raise ParamsError(
            f"{path}: a run and a shortlist '{name}'",
            "names of their own, as both have results",
            "Rename one.",
        )
    if not tested[0] <= tested[1]:
        raise ParamsError(
            f"{path}: shortlist '{name}': {entry.by} is not tested on "
            f"{', '.join(sorted(tested[0] - tested[1]))}",
            f"the test sets of {entry.matcher}",
            f"Set `test` and `transfer` of {entry.by} alike.",
        )


def _unknown(kind: str, name: str, study: str, known: list[str]) -> ParamsError:
    return ParamsError(
        f"study '{study}' has no {kind} '{name}'{nearest(name, known)}",
        f"one of {', '.join(known)}" if known else "a study that has some",
        f"Correct the name, or activate another study with `reid study use`. The active one is in "
        f"{STUDY_FILE}.",
    )
