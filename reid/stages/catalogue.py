"""The datasets that a command can name: those of the active study and those registered."""

from pathlib import Path

from reid.errors import ParamsError
from reid.params import nearest, parse_params, read_yaml
from reid.stages.paths import registration_file
from reid.study import DatasetEntry, load_study


def dataset_entry(name: str) -> DatasetEntry:
    """Find a dataset: in the active study, else among the registered ones.

    Raises:
        ParamsError: There is none of that name; the nearest is named.
    """
    study = load_study()
    if name in study.datasets:
        return study.datasets[name]
    if registration_file(name).exists():
        return read_registration(registration_file(name))
    known = [*study.datasets, *registered()]
    raise ParamsError(
        f"no dataset '{name}'{nearest(name, known)}",
        f"one of {', '.join(known)}",
        "Correct the name, or register the dataset with `reid data add`.",
    )


def registered() -> list[str]:
    """Names of the registered datasets."""
    return sorted(path.stem for path in registration_file("*").parent.glob("*.yaml"))


def read_registration(path: Path) -> DatasetEntry:
    """Read what is registered of a dataset."""
    return parse_params(read_yaml(path), DatasetEntry, str(path))
