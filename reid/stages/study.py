"""Commands on the study itself: list, show, put another one in place."""

from pathlib import Path

from reid.errors import ParamsError
from reid.files import write_whole
from reid.params import nearest
from reid.study import STUDIES_FOLDER, STUDY_FILE, load_study


def list_studies() -> list[tuple[str, bool]]:
    """Return (name, is active) for every stored study."""
    active = load_study().study
    return [(path.stem, path.stem == active) for path in sorted(STUDIES_FOLDER.glob("*.yaml"))]


def use_study(name: str, force: bool = False) -> None:
    """Make a stored study the active one.

    Raises:
        ParamsError: There is no such study, or the active one was edited and would be lost.
    """
    path = STUDIES_FOLDER / f"{name}.yaml"
    if not path.exists():
        known = [stored.stem for stored in sorted(STUDIES_FOLDER.glob("*.yaml"))]
        raise ParamsError(
            f"no study '{name}'{nearest(name, known)}",
            f"one of {', '.join(known)}",
            f"Correct the name, or write {path}.",
        )
    load_study(path)
    if not force and STUDY_FILE.exists() and _edited(STUDY_FILE):
        raise ParamsError(
            f"{STUDY_FILE} differs from every study in {STUDIES_FOLDER}",
            "an active study that is stored",
            f"Copy it to {STUDIES_FOLDER}/<name>.yaml to keep it, or add --force to drop it.",
        )
    write_whole(STUDY_FILE, path.read_text(encoding="utf-8"))


def _edited(active: Path) -> bool:
    text = active.read_bytes()
    return all(text != stored.read_bytes() for stored in STUDIES_FOLDER.glob("*.yaml"))
