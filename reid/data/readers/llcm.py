"""The layout of LLCM: colour and near infrared images of nine cameras, split by lists.

The release holds the test images twice, in `vis` and `nir` by person and in `test_vis` and
`test_nir` by camera and person. The second tree makes no rows; its paths are other names of the
first one's images.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reid.data.manifest import EthicsRecord
from reid.data.readers.listing import read_numbered, require_listed, roles_of
from reid.data.readers.reading import (
    BAD_NAME,
    LIST_FILE,
    OTHER_FOLDER,
    UNLISTED,
    Reading,
    Row,
)
from reid.data.readers.sorting import (
    find_home,
    require_splits,
    sort_files,
)
from reid.data.storage import Storage

LAYOUT = "llcm"
PARSER_VERSION = 1
CAMERA_COUNT = 9
ETHICS = EthicsRecord(licence="signed agreement", status="agreement", consent="unknown")

MARKERS = ("vis/", "nir/")
FOLDERS = ("vis", "nir")
COPY_FOLDERS = ("test_vis", "test_nir")
LISTS = {
    "idx/train_vis.txt": "train",
    "idx/train_nir.txt": "train",
    "idx/test_vis.txt": "test_pool",
    "idx/test_nir.txt": "test_pool",
}
COPY = "byte-identical camera-ordered copy of a test image"

# The camera is two digits, so that a camera 10 is a finding of the gate and not a lost file. The
# clock stays text: recorded ones include times that no day has.
NAME = re.compile(
    r"(?P<pid>[0-9]{4})_c(?P<cam>[0-9]{2})_s(?P<clock>[0-9]{6})_f(?P<frame>[0-9]+)_"
    r"(?P<modality>vis|nir)(?i:\.jpg)"
)
_COPY_PATH = re.compile(
    r"test_(?P<modality>vis|nir)/cam(?P<cam>[0-9]{1,2})/(?P<pid>[0-9]{4})/(?P<name>[^/]+)"
)
_LIST_NAME = re.compile(r"idx/[^/]+\.txt")


def is_llcm(paths: Sequence[str]) -> bool:
    """Tell from the files whether this is the layout of LLCM."""
    # an outline of many folders may end before the second tree
    return any(parse_row("/".join(path.split("/")[-3:]), "train") for path in paths)


def read_llcm(storage: Storage) -> Reading:
    """Read files in the layout of LLCM.

    Test images are a pool: which modality asks and which answers is for the protocol to say. The
    copies of the second tree are known by their names; their bytes are not compared.

    Args:
        storage: Folder or archive that holds `vis`, `nir` and `idx`, here or further down.

    Raises:
        DataError: A folder, a list or a listed image is missing, a list is damaged, or a split has
            no image.
    """
    paths = storage.files()
    home = find_home(storage, paths, MARKERS)
    lists = {name: read_numbered(storage, home + name) for name in LISTS}
    source = roles_of(storage, lists)
    splits = {path: LISTS[name] for path, name in source.items()}

    def judge(path: str) -> Row | str:
        return _judge(path, splits)

    def known(path: str) -> str | None:
        return LIST_FILE if _LIST_NAME.fullmatch(path.removeprefix(home)) else None

    rows, ignored = sort_files(paths, home, judge, known)
    require_listed(storage, {home + path: name for path, name in source.items()}, rows)
    require_splits(rows, storage, ("train", "test_pool"), "vis/0001/0001_c01_s124667_f6992_vis.jpg")
    copies = [file.path for file in ignored if file.reason == COPY]
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=LAYOUT,
        rows=tuple(_with_aliases(rows, copies, home)),
        ignored=tuple(ignored),
        camera_count=CAMERA_COUNT,
        ethics=ETHICS,
    )


def parse_row(path: str, split: str) -> Row | None:
    """Make a row of an image by its path below the home; None if it is none of the layout."""
    parts = path.split("/")
    match = NAME.fullmatch(parts[-1])
    if match is None or parts[:-1] != [match["modality"], match["pid"]]:
        return None
    infrared = match["modality"] == "nir"
    camera = int(match["cam"])
    return Row(
        path=path,
        split=split,
        pid=int(match["pid"]),
        camid=camera - 1,
        cam_raw=str(camera),
        modality="ir" if infrared else "rgb",
        band="nir" if infrared else "visible",
        session=match["clock"],
        frame=int(match["frame"]),
    )


def original_of(path: str) -> str | None:
    """Name the image of which a file of the second tree is a copy; None if it is none.

    Args:
        path: Path below the home, such as `test_vis/cam1/0003/0003_c01_s218225_f2347_vis.jpg`.
    """
    copy = _COPY_PATH.fullmatch(path)
    name = NAME.fullmatch(copy["name"]) if copy else None
    if copy is None or name is None:
        return None
    facts = (name["modality"], name["pid"], int(name["cam"]))
    if facts != (copy["modality"], copy["pid"], int(copy["cam"])):
        return None
    return f"{name['modality']}/{name['pid']}/{copy['name']}"


def _judge(path: str, splits: Mapping[str, str]) -> Row | str:
    folder = path.partition("/")[0]
    if folder in COPY_FOLDERS:
        original = original_of(path)
        if original is None:
            return BAD_NAME
        return COPY if splits.get(original) == "test_pool" else UNLISTED
    row = parse_row(path, splits.get(path, "train"))
    if row is None:
        return BAD_NAME if folder in FOLDERS else OTHER_FOLDER
    return row if path in splits else UNLISTED


def _with_aliases(rows: Sequence[Row], copies: Sequence[str], home: str) -> list[Row]:
    aliases: dict[str, tuple[str, ...]] = {}
    for path in copies:
        original = f"{home}{original_of(path.removeprefix(home))}"
        aliases[original] = (*aliases.get(original, ()), path)
    return [replace(row, alias_paths=aliases.get(row.path, ())) for row in rows]
