"""Files are opened once and again only when they change; labels follow the ranks of the persons."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reid.data import indexing, inspection
from reid.data.fact_store import FactStore
from reid.data.indexing import build_manifest, index_files, train_labels
from reid.data.manifest import EthicsRecord, Manifest
from reid.data.readers.reading import BAD_NAME, Ignored, Reading, Row
from reid.data.storage import open_storage
from reid.errors import DataError

from .test_inspection import jpeg

OWN = EthicsRecord("own pictures", "agreement", "yes")


def reading(*rows: Row, odd: tuple[str, ...] = ()) -> Reading:
    return Reading(
        layout="market1501",
        parser_version=1,
        benchmark="market1501",
        rows=rows,
        ignored=tuple(Ignored(path, BAD_NAME) for path in odd),
        camera_count=6,
        ethics=EthicsRecord("research", "research", "no"),
    )


def person(path: str, split: str, pid: int, flag: str = "ok") -> Row:
    return Row(path=path, split=split, pid=pid, camid=0, cam_raw="1", flag=flag)


def build(read: Reading, root: Path, name: str = "shop", **options: object) -> Manifest:
    target = root.parent / "manifest.parquet"
    build_manifest(read, open_storage(root), name, target, root.parent / "facts", **options)  # type: ignore[arg-type]
    return Manifest.load(target)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.jpg").write_bytes(jpeg(number, 20 + number))
    return folder


def count_inspections(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    opened: list[str] = []
    inspect = inspection.inspect_image

    def spy(data: bytes, name: str) -> object:
        opened.append(name)
        return inspect(data, name)

    monkeypatch.setattr(inspection, "inspect_image", spy)
    return opened


def test_only_changed_files_are_opened_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_inspections(monkeypatch)
    paths = sorted(path.name for path in root.iterdir())
    seen: list[tuple[int, int]] = []
    with FactStore(root.parent / "facts") as store:
        index_files(open_storage(root), paths, store, lambda *done: seen.append(done))
        assert opened == paths
        assert seen[-1] == (6, 6)
        assert [store.load([path])[path][1].width for path in paths] == list(range(20, 26))
    (root / "3.jpg").write_bytes(jpeg(99, 40))
    opened.clear()
    with FactStore(root.parent / "facts") as store:
        index_files(open_storage(root), paths, store)
        assert opened == ["3.jpg"]
        assert store.load(paths)["3.jpg"][1].width == 40


def test_a_killed_index_goes_on_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing, "_CHUNK", 2)
    opened = count_inspections(monkeypatch)
    paths = sorted(path.name for path in root.iterdir())

    def stop(done: int, _total: int) -> None:
        if done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), FactStore(root.parent / "facts") as store:
        index_files(open_storage(root), paths, store, stop)
    before = list(opened)
    with FactStore(root.parent / "facts") as store:
        index_files(open_storage(root), paths, store)
    assert before == paths[:4]
    assert opened == paths


def test_processes_find_the_same_as_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [person(f"{n}.jpg", "train", n) for n in range(6)]
    alone = build(reading(*rows), root)
    (root.parent / "facts").unlink()
    monkeypatch.setattr(indexing, "_WORTH_PROCESSES", 1)
    assert build(reading(*rows), root).digest == alone.digest


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["train", "query"]))))
def test_labels_rank_the_persons(people: list[tuple[int, str]]) -> None:
    rows = [person(str(index), split, pid) for index, (pid, split) in enumerate(people)]
    labels = train_labels(rows, set())
    assert list(labels.values()) == list(range(len(labels)))
    assert list(labels) == sorted({pid for pid, split in people if split == "train"})


def test_manifest_of_a_small_folder(root: Path) -> None:
    (root / "2.jpg").write_bytes(b"")
    rows = [
        person("0.jpg", "train", 20),
        person("1.jpg", "train", 3),
        person("2.jpg", "train", 1),
        person("3.jpg", "gallery", 0, "distractor"),
    ]
    manifest = build(reading(*rows), root)
    flags = dict(manifest.frame.set_index("path")["flag"])
    assert flags == {"0.jpg": "ok", "1.jpg": "ok", "2.jpg": "broken", "3.jpg": "distractor"}
    frame = manifest.frame.set_index("path")
    assert frame["label"].fillna(-1).to_list() == [1, 0, -1, -1]
    assert frame.loc["0.jpg", "pid_key"] == "shop:20"
    assert manifest.meta.counts["train"]["images"] == 3
    assert manifest.meta.counts["train"]["broken"] == 1
    before = manifest.meta.root_fingerprint
    (root / "0.jpg").write_bytes(jpeg(9))
    assert build(reading(*rows), root).meta.root_fingerprint != before


def test_parts_that_number_people_on_their_own_are_kept_apart(root: Path) -> None:
    rows = [
        Row("0.jpg", "train", 1, 0, "1", pid_space="train"),
        Row("1.jpg", "query", 1, 0, "1", pid_space="test"),
    ]
    keys = build(reading(*rows), root).frame["pid_key"].to_list()
    assert keys == ["shop:train:1", "shop:test:1"]


def test_blocks_of_any_size_give_the_same_manifest(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [person(f"{n}.jpg", "train", n) for n in range(6)]
    whole = build(reading(*rows), root)
    monkeypatch.setattr(indexing, "_BLOCK", 2)
    parts = build(reading(*rows), root)
    assert parts.digest == whole.digest
    assert parts.meta == whole.meta


def test_rows_out_of_order_are_a_bug(root: Path) -> None:
    rows = [person("1.jpg", "train", 1), person("0.jpg", "train", 1)]
    with pytest.raises(ValueError, match=r"0\.jpg comes after 1\.jpg"):
        build(reading(*rows), root)
    assert not (root.parent / "manifest.parquet").exists()


def test_own_terms_say_that_the_data_are_not_the_benchmark(root: Path) -> None:
    read = reading(person("0.jpg", "train", 1))
    copy = build(read, root, "market1501").meta
    assert (copy.benchmark, copy.camera_count, copy.ethics) == ("market1501", 6, read.ethics)
    own = build(read, root, "shop", ethics=OWN).meta
    assert (own.benchmark, own.camera_count, own.ethics) == (None, None, OWN)


def test_strict_refuses_files_that_are_not_accounted_for(root: Path) -> None:
    with pytest.raises(DataError, match=r"shop: 1 image files .* the first query/odd.jpg"):
        build(reading(odd=("query/odd.jpg",)), root, strict=True)


def test_a_file_that_vanishes_is_an_error_that_names_it(root: Path) -> None:
    shutil.move(root / "0.jpg", root / "gone.jpg")
    with pytest.raises(DataError, match=r"0\.jpg: cannot be read \(No such file"):
        build(reading(person("0.jpg", "train", 1)), root)
