"""Writing of a whole world in the layout of its kind."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from reid.data.synthetic.layout import LAYOUTS
from reid.data.synthetic.render import scene_of
from reid.data.synthetic.shots import Shot
from reid.data.synthetic.world import WorldSpec
from reid.errors import DataError, ParamsError
from reid.files import whole_folder
from reid.workers import worker_pool

WORLD_FILE = "synth.json"
ATTRIBUTES_FILE = "synth_attributes.json"
CHUNK = 64
"""Images that a worker paints before it reports."""

Facts = dict[str, Any]
Progress = Callable[[int, int], None]


def build_world(
    spec: WorldSpec, root: Path, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write all images of a world and the files of its layout.

    `synth.json` says what determines the files, `synth_attributes.json` what each image shows.

    The bytes do not depend on the number of workers. The folder appears when it is complete;
    a former world in `root` is replaced.

    Args:
        spec: The world.
        root: Folder to make.
        workers: Processes that paint.
        progress: Called with the images done and the images in all.

    Raises:
        DataError: If `root` holds something else than a world.
        ParamsError: If `workers` is below 1.
    """
    if workers < 1:
        raise ParamsError(f"workers {workers}", "at least 1", "Ask for one process or more.")
    _refuse_foreign(root)
    layout = LAYOUTS[spec.kind]
    shots = layout.shots(spec)
    attributes: dict[str, Facts] = {}
    with whole_folder(root) as folder:
        for name in {str(Path(shot.file).parent) for shot in shots}:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for facts in _write_all(spec, shots, folder, workers):
            attributes |= facts
            if progress:
                progress(len(attributes), len(shots))
        companions = layout.companions(spec, shots) if layout.companions else {}
        for name, content in companions.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        _write_json(folder / WORLD_FILE, spec.parameters() | {"images": len(shots)}, 2)
        _write_json(folder / ATTRIBUTES_FILE, attributes, None)


def _refuse_foreign(root: Path) -> None:
    if root.exists() and not (root / WORLD_FILE).is_file() and any(root.iterdir()):
        raise DataError(
            f"{root} holds files but no {WORLD_FILE}",
            "an empty folder or a synthetic world",
            "Choose another folder or empty this one.",
        )


def _write_all(
    spec: WorldSpec, shots: tuple[Shot, ...], root: Path, workers: int
) -> Iterator[dict[str, Facts]]:
    chunks = [shots[start : start + CHUNK] for start in range(0, len(shots), CHUNK)]
    write = partial(write_shots, spec, root)
    if workers == 1:
        yield from map(write, chunks)
        return
    with worker_pool(workers) as pool:
        yield from pool.map(write, chunks)


def write_shots(spec: WorldSpec, root: Path, shots: tuple[Shot, ...]) -> dict[str, Facts]:
    """Paint and write some images.

    Returns:
        For each file relative to the root: view, occluded, occ_fraction and time; in a labelled
        world also track and attrs, which would tell who is who.
    """
    scene = scene_of(spec)
    facts: dict[str, Facts] = {}
    for shot in shots:
        rendering = scene.render(shot.key)
        (root / shot.file).write_bytes(rendering.jpeg)
        known: Facts = {
            "view": rendering.view,
            "occluded": rendering.occluded,
            "occ_fraction": round(rendering.occ_fraction, 4),
            "time": shot.time,
        }
        if spec.labelled:
            who = scene.identity(shot.key)
            known |= {"track": shot.key.track, "attrs": who.attributes() if who else {}}
        facts[shot.file] = known
    return facts


def _write_json(path: Path, content: dict[str, Any], indent: int | None) -> None:
    path.write_text(json.dumps(content, indent=indent, sort_keys=True) + "\n", "utf-8")
