"""Stage `data@<dataset>`: generate or index a dataset, and write its manifest."""

import os
from pathlib import Path

from reid.data.indexing import build_manifest
from reid.data.manifest import EthicsRecord, Manifest
from reid.data.readers import Reading, read_layout
from reid.data.synthetic import WorldSpec, build_world
from reid.files import whole_folder
from reid.progress import progress
from reid.stages.paths import images_root, manifest_file
from reid.study import SyntheticSource, load_study


def build_dataset(name: str) -> None:
    """Write `data/<name>/`: the images of a synthetic world, and the manifest of any dataset."""
    entry = load_study().dataset(name)
    source = entry.source
    target = manifest_file(name)
    with whole_folder(target.parent) as folder:
        if isinstance(source, SyntheticSource):
            spec = WorldSpec(source.size, source.domain, source.seed)
            with progress(f"{name}: paint") as advance:
                build_world(spec, folder, workers=os.cpu_count() or 1, progress=advance)
            reading = read_layout(source.reader, folder)
            manifest = _index(name, reading, folder)
        else:
            root = images_root(name, entry)
            options = source.model_dump(include={"use_500k", "time_mode"})
            reading = read_layout(source.reader, root, options)
            terms = EthicsRecord(**source.terms.model_dump()) if source.terms else None
            manifest = _index(name, reading, root, terms, source.strict)
        manifest.save(folder / target.name)
    for warning in reading.warnings:
        print(f"warning: {name}: {warning}")
    print(f"{name}: {len(manifest.frame)} images, manifest {manifest.digest[:12]}")


def _index(
    name: str,
    reading: Reading,
    root: Path,
    terms: EthicsRecord | None = None,
    strict: bool = False,
) -> Manifest:
    with progress(f"{name}: index") as advance:
        return build_manifest(reading, root, name, ethics=terms, strict=strict, progress=advance)


def describe_dataset(name: str) -> str:
    """Say what a built dataset holds and under which terms it may be used."""
    manifest = Manifest.load(manifest_file(name))
    meta = manifest.meta
    lines = [f"{name}  (layout {meta.layout}, manifest {manifest.digest[:12]})"]
    for split, counts in meta.counts.items():
        lines.append(f"  {split:8} " + "  ".join(f"{v} {k}" for k, v in counts.items()))
    if meta.ethics is None:
        lines.append("  terms    unknown")
    else:
        terms = meta.ethics
        lines.append(f"  terms    {terms.licence}; status {terms.status}; consent {terms.consent}")
    return "\n".join(lines)
