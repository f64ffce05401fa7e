"""Stage `compare`: one table of all runs of the study, and the same in the terminal."""

from rich.console import Console

from reid.errors import DataError
from reid.report.comparison import compare_results
from reid.report.comparison_files import write_comparison
from reid.report.terminal import terminal_table
from reid.retrieval.result import Result
from reid.stages.paths import report_folder, results_folder
from reid.study import Study, load_study


def compare_runs() -> None:
    """Write `reports/<study>/comparison.{html,md,csv}`."""
    study = load_study()
    tables = compare_results(_results(study), study.seed)
    write_comparison(report_folder(study.study), study.study, tables)
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


def _results(study: Study) -> list[Result]:
    folder = results_folder(study.study)
    names = [*study.runs, *study.shortlists]
    results = [Result.load(folder, name) for name in names if (folder / f"{name}.json").exists()]
    if not results:
        raise DataError(
            f"no result of study '{study.study}' in {folder}", "at least one", "Run `dvc repro`."
        )
    return results
