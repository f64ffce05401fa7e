"""What there is to say of datasets without touching their files: `reid data list` and `show`."""

from reid.data.manifest import WITHDRAWN, Manifest
from reid.errors import DataError
from reid.stages.catalogue import dataset_entry, registered
from reid.stages.counts import counts_table
from reid.stages.paths import manifest_file, validation_folder
from reid.study import FilesSource, load_study


def list_datasets() -> str:
    """Name the datasets of the active study and the registered ones, one line each."""
    study = load_study()
    lines = []
    for name in dict.fromkeys([*study.datasets, *registered()]):
        entry = dataset_entry(name)
        where = "in the study" if name in study.datasets else "registered"
        built = "built" if manifest_file(name).exists() else "not built"
        checked = "checked" if (validation_folder(name) / "report.json").exists() else "unchecked"
        mark = "  WITHDRAWN" if _is_withdrawn(name) else ""
        lines.append(
            f"{name:24} {entry.source.reader:16} {where:13} {built}, {checked}{mark}".rstrip()
        )
    return "\n".join(lines)


def describe_dataset(name: str) -> str:
    """Say what a built dataset holds, where it came from and under which terms it may be used."""
    entry = dataset_entry(name)
    manifest = Manifest.load(manifest_file(name))
    meta, terms = manifest.meta, manifest.meta.ethics
    lines = [f"{name}  (layout {meta.layout}, manifest {manifest.digest[:12]})", counts_table(meta)]
    facts = [("made from", str(entry.made_from))]
    if entry.origin:
        facts.append(("origin", entry.origin))
    if meta.benchmark and isinstance(entry.source, FilesSource):
        facts.append(
            ("benchmark", f"{meta.benchmark}{'' if entry.source.official else ', a part'}")
        )
    facts.append(("suite", f"{entry.suite}; protocols {', '.join(entry.protocols) or 'none yet'}"))
    if terms is None:
        facts.append(("licence", "unknown"))
    else:
        facts.append(("licence", terms.licence))
        facts.append(("status", f"{terms.status}; consent of the people shown: {terms.consent}"))
        if terms.acknowledged_by:
            facts.append(("used by", terms.acknowledged_by))
    lines += [f"{key:10} {value}" for key, value in facts]
    return "\n".join(lines)


def _is_withdrawn(name: str) -> bool:
    try:
        ethics = Manifest.load(manifest_file(name)).meta.ethics
    except DataError:
        return False
    return ethics is not None and ethics.status == WITHDRAWN
