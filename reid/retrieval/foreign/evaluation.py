"""Features made by other toolkits: read from a file or taken from arrays, and evaluated.

What the names of arrays may be stands in `names`. Nothing is unpickled.
"""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.errors import DataError, EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings, Report, evaluate
from reid.retrieval.foreign.assembly import Arrays, StoredArray, assembled
from reid.retrieval.foreign.files import TABLES, FeatureFile
from reid.retrieval.foreign.names import meant, place_of
from reid.retrieval.precision import name_of
from reid.retrieval.protocols import OTHER_MODALITY, Protocol, protocol_named
from reid.retrieval.reranking import RerankParams

_OWN_STORE = b"reid.card"


def read_features(path: Path, labels: Path | None = None, name: str | None = None) -> Embeddings:
    """Read features with who and where.

    Features stay on disk where the format allows it. Without camera ids all are -1; without roles
    all rows are `pool`, or have the side of their arrays. The card holds `source` and `notes`.

    Args:
        path: `.npz`, `.npy`, `.parquet`, `.pt` or `.pth`, or either file of a feature store.
        labels: Table with the rows of `path` in order, `.csv` or `.parquet`. By default the one
            beside an `.npy` with the same stem.
        name: Name of the test set; by default the stem of the file.

    Raises:
        DataError: The file or its arrays cannot be used; the message says which and why.
        EvaluationError: Features that are no floating-point numbers.
    """
    stem = path.with_name(path.stem)
    if labels is None and _is_own_store(path):
        own = Embeddings.load(stem)
        return _described(own, name or str(own.card.get("dataset", path.stem)), path, [])
    notes: list[str] = []
    files = [FeatureFile.open(file) for file in (path, labels or _table_beside(path)) if file]
    arrays = _recognised(files, notes)
    return _described(assembled(arrays, str(path), notes), name or path.stem, path, notes)


def evaluate_features(
    query_features: Any,
    gallery_features: Any,
    query_person_ids: Any,
    gallery_person_ids: Any,
    query_camera_ids: Any = None,
    gallery_camera_ids: Any = None,
    protocol: str | Protocol = "market",
    rerank: RerankParams | None = RerankParams(),  # noqa: B008 - frozen
) -> Evaluation:
    """Score features, plain and re-ranked.

    Args:
        query_features: [Q, D], anything that NumPy takes for an array.
        gallery_features: [G, D].
        query_person_ids: Whole numbers or text; -1 is junk [Q].
        gallery_person_ids: [G].
        query_camera_ids: None only under a protocol that needs no cameras [Q].
        gallery_camera_ids: [G].
        protocol: Name of a protocol, or one.
        rerank: Parameters of re-ranking; None leaves it out.

    Returns:
        `evaluation.scores["plain"].mAP` and so on; re-ranked under the name of the re-ranking.

    Raises:
        DataError: Sizes or types do not fit.
        EvaluationError: No result is defined, for example no valid query.
    """
    given = {
        ("query", "features"): query_features,
        ("gallery", "features"): gallery_features,
        ("query", "person_ids"): query_person_ids,
        ("gallery", "person_ids"): gallery_person_ids,
        ("query", "camera_ids"): query_camera_ids,
        ("gallery", "camera_ids"): gallery_camera_ids,
    }
    arrays = {
        place: StoredArray("_".join(place), partial(np.asarray, values))
        for place, values in given.items()
        if values is not None
    }
    notes: list[str] = []
    embeddings = assembled(arrays, "features", notes)
    embeddings.card.update(dataset="features", notes=notes)
    chosen = protocol_named(protocol) if isinstance(protocol, str) else protocol
    return evaluate_foreign(embeddings, chosen, EvaluationSettings(rerank))


def evaluate_foreign(
    embeddings: Embeddings,
    protocol: Protocol,
    settings: EvaluationSettings,
    report: Report | None = None,
) -> Evaluation:
    """Evaluate what `read_features` gave, once the protocol is seen to fit it.

    Args:
        embeddings: Their card names `dataset` and `notes`.
        protocol: Queries, gallery, exclusion rule and trials.
        settings: What to compute.
        report: Shows progress; None shows nothing.

    Raises:
        EvaluationError: The protocol needs cameras that are unknown, or no result is defined.
    """
    if needs_cameras(protocol) and not has_cameras(embeddings):
        raise EvaluationError(
            f"{embeddings.card['dataset']}: no camera ids under the protocol {protocol.name}",
            "camera_ids beside person_ids",
            "Add them, or take a protocol without cameras: --protocol no_camera.",
        )
    fitting = _with_modalities(embeddings, protocol)
    if report is None:
        return evaluate(fitting, protocol, settings)
    return evaluate(fitting, protocol, settings, report)


def needs_cameras(protocol: Protocol) -> bool:
    """Return whether a score under this protocol depends on camera ids."""
    drawn = protocol.gallery == "shots_per_camera"
    return protocol.exclusion != "none" or drawn or protocol.gallery_cameras is not None


def has_cameras(embeddings: Embeddings) -> bool:
    """Return whether the camera of any image is known."""
    return bool((embeddings.camera_ids >= 0).any())


def _with_modalities(embeddings: Embeddings, protocol: Protocol) -> Embeddings:
    """Take modalities from the roles where the file names none and the protocol goes by them."""
    query = protocol.query_modality
    if query is None or len(set(embeddings.modalities.tolist())) > 1:
        return embeddings
    if not {"query", "gallery"} <= set(embeddings.roles.tolist()):
        return embeddings
    other = OTHER_MODALITY[query]
    note = f"no modalities: queries are taken for {query}, the gallery for {other}"
    return replace(
        embeddings,
        modalities=np.where(embeddings.is_query, query, other),
        card={**embeddings.card, "notes": [*embeddings.card["notes"], note]},
    )


def _is_own_store(path: Path) -> bool:
    rows = path.with_suffix(".parquet")
    if path.suffix not in (".npy", ".parquet") or not rows.is_file():
        return False
    try:
        return _OWN_STORE in (pq.read_schema(rows).metadata or {})
    except (pa.ArrowException, OSError):
        return False


def _table_beside(path: Path) -> Path | None:
    if path.suffix != ".npy":
        return None
    tables = [path.with_suffix(suffix) for suffix in TABLES]
    return next((table for table in tables if table.is_file()), None)


def _described(embeddings: Embeddings, name: str, path: Path, notes: list[str]) -> Embeddings:
    """Add to the card where the features came from."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    stored_as = name_of(embeddings.features)
    embeddings.card.update(dataset=name, source=path.name, source_digest=digest, notes=notes)
    embeddings.card.setdefault("stored_as", stored_as)
    return embeddings


def _recognised(files: list[FeatureFile], notes: list[str]) -> Arrays:
    """Sort the arrays of the files by what they hold.

    Raises:
        DataError: Two arrays hold the same thing, or a name is nearly a known one.
    """
    arrays: Arrays = {}
    unknown = []
    for file in files:
        for name in file.members:
            place = place_of(name)
            if place is None:
                unknown.append(_not_misspelt(file, name))
            elif place in arrays:
                raise DataError(
                    f"{file.path}: '{name}' beside '{arrays[place].label}'",
                    f"one array of {place[1].replace('_', ' ')}",
                    "Drop one.",
                )
            else:
                arrays[place] = StoredArray(f"{file.path.name}: {name}", partial(file.load, name))
    if unknown:
        notes.append(f"ignored: {', '.join(sorted(unknown))}")
    return arrays


def _not_misspelt(file: FeatureFile, name: str) -> str:
    if word := meant(name):
        raise DataError(
            f"{file.path}: unknown name '{name}' (did you mean '{word}'?)",
            "one of those that `reid evaluate --help` lists",
            "Rename it, or leave it out.",
        )
    return name
