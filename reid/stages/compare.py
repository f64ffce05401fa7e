"""Stage `compare`: the page of all runs of the study, and its tables in the terminal."""

import os
from functools import cache
from urllib.parse import urlsplit

from rich.console import Console

from reid.data.storage import Storage
from reid.errors import DataError
from reid.report.comparison import compare_results
from reid.report.comparison_files import write_comparison
from reid.report.comparison_page import ReadImage
from reid.report.terminal import terminal_table
from reid.retrieval.result import Result
from reid.stages.paths import open_images, report_folder, results_folder
from reid.study import Study, load_study

LOCAL_PAGES = "http://127.0.0.1:5000"
"""Where `make ui` serves them."""


def compare_runs() -> None:
    """Write `reports/<study>/comparison.{html,md,csv}`."""
    study = load_study()
    tables = compare_results(_results(study), study.seed)
    folder = report_folder(study.study)
    write_comparison(folder, study.study, tables, _image_reader(study), _mlflow_address())
    print_results()


def print_results() -> None:
    """Print the comparison of the active study, plain and re-ranked."""
    study = load_study()
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)  # a log has no width of its own
    for table in compare_results(_results(study), study.seed):
        console.print(terminal_table(table))
    console.print(f"More in {report_folder(study.study)}/comparison.html; `make ui` opens MLflow.")


def _image_reader(study: Study) -> ReadImage:
    """Return what reads an image of a test set; each is opened when it is first needed."""

    @cache
    def storage(dataset: str) -> Storage:
        return open_images(dataset, study.dataset(dataset))

    return lambda dataset, path: storage(dataset).read(path)


def _mlflow_address() -> str:
    """Return where the pages of MLflow are: the server that is named, without a password in it."""
    named = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if named.scheme not in ("http", "https"):
        return LOCAL_PAGES
    return f"{named.scheme}://{named.netloc.rpartition('@')[2]}{named.path.rstrip('/')}"


def _results(study: Study) -> list[Result]:
    folder = results_folder(study.study)
    names = [*study.runs, *study.shortlists]
    results = [Result.load(folder, name) for name in names if (folder / f"{name}.json").exists()]
    if not results:
        raise DataError(
            f"no result of study '{study.study}' in {folder}", "at least one", "Run `dvc repro`."
        )
    return results
