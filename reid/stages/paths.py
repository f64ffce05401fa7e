"""Where each stage writes, relative to the project root. `dvc.yaml` names the same places."""

from pathlib import Path

from reid.data.storage import Storage, open_storage
from reid.study import DatasetEntry, SyntheticSource

CHECKPOINTS = Path(".reid/checkpoints")


def manifest_file(dataset: str) -> Path:
    """The index of a dataset."""
    return Path("data") / dataset / "manifest.parquet"


def facts_file(dataset: str) -> Path:
    """What opening the images of a dataset told, so that a second index is quick."""
    return Path(".reid/facts") / f"{dataset}.sqlite"


def open_images(dataset: str, entry: DatasetEntry) -> Storage:
    """Open the place where the images of a dataset lie."""
    if isinstance(entry.source, SyntheticSource):
        return open_storage(Path("data") / dataset)
    return open_storage(entry.made_from)


def registration_file(dataset: str) -> Path:
    """The entry of a dataset that was registered with `reid data add`."""
    return Path("params/registered") / f"{dataset}.yaml"


def suite_file(suite: str) -> Path:
    """The expectations of a validation suite."""
    return Path("params/validation") / f"{suite}.json"


def validation_folder(dataset: str) -> Path:
    """Report and Data Docs of the gate."""
    return Path("reports/validation") / dataset


def model_folder(study: str, run: str) -> Path:
    """Weights, recipe and card of a trained model."""
    return Path("models") / study / run


def pretrained_folder(study: str, name: str) -> Path:
    """Backbone, recipe and card of a pretraining."""
    return Path("models") / study / "pretrained" / name


def embeddings_folder(study: str, run: str) -> Path:
    """One feature store per test set."""
    return Path("embeddings") / study / run


def scores_file(study: str, run: str, dataset: str) -> Path:
    """Scores of pairs while they are needed, or until an interrupted evaluation goes on."""
    return Path(".reid/scores") / study / run / f"{dataset}.npy"


def results_folder(study: str) -> Path:
    """One result record per run."""
    return Path("results") / study


def registry_file(study: str, run: str) -> Path:
    """What was registered in MLflow for a run."""
    return Path("registry") / study / f"{run}.json"


def report_folder(study: str) -> Path:
    """The comparison of a study."""
    return Path("reports") / study


def explain_folder(study: str, model: str) -> Path:
    """Pictures of what a model looks at."""
    return report_folder(study) / "explain" / model
