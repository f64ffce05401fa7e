"""Files are opened once, completely, and labels follow the ranks of the persons."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from reid.data.indexing import (
    build_manifest,
    difference_hash,
    index_files,
    inspect_file,
    train_labels,
)
from reid.data.manifest import EthicsRecord
from reid.data.readers.reading import Reading, Row
from reid.errors import DataError

OWN = EthicsRecord("own pictures", "agreement", "yes")


def jpeg(seed: int, width: int = 32, height: int = 64, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG")
    return buffer.getvalue()


def reading(*rows: Row, unlisted: tuple[str, ...] = ()) -> Reading:
    return Reading(
        layout="market1501",
        parser_version=1,
        benchmark="market1501",
        rows=rows,
        unlisted=unlisted,
        camera_count=6,
        ethics=EthicsRecord("research", "research", "no"),
    )


def person(path: str, split: str, pid: int, flag: str = "ok") -> Row:
    return Row(path=path, split=split, pid=pid, camid=0, cam_raw="1", flag=flag)


def test_facts_of_a_sound_image(tmp_path: Path) -> None:
    data = jpeg(0, 30, 50, "L")
    (tmp_path / "a.jpg").write_bytes(data)
    facts = inspect_file(tmp_path / "a.jpg")
    assert (facts.width, facts.height, facts.mode) == (30, 50, "L")
    assert (facts.size, facts.sha256) == (len(data), hashlib.sha256(data).digest())
    assert not facts.broken


@pytest.mark.parametrize("data", [b"", b"no image", jpeg(1)[:-400], b"\x89PNG\r\n\x1a\nrubbish"])
def test_damage_is_a_fact_and_no_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    facts = inspect_file(tmp_path / "a.jpg")
    assert facts.broken
    assert (facts.width, facts.height, facts.mode, facts.size) == (0, 0, "", len(data))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone.jpg: cannot be read \(No such file"):
        inspect_file(tmp_path / "gone.jpg")


def test_files_are_indexed_in_order_with_progress(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(9)]
    for number, name in enumerate(names):
        (tmp_path / name).write_bytes(jpeg(number, 20 + number))
    seen: list[tuple[int, int]] = []
    facts = index_files(tmp_path, names, lambda done, total: seen.append((done, total)))
    assert [fact.width for fact in facts] == [20 + number for number in range(9)]
    assert seen == [(done, 9) for done in range(1, 10)]


def test_difference_hash_follows_brightness() -> None:
    ramp = np.tile(np.arange(0, 90, 10, dtype=np.uint8), (8, 1))
    assert difference_hash(Image.fromarray(ramp)) == 2**64 - 1
    assert difference_hash(Image.fromarray(ramp[:, ::-1].copy())) == 0
    ramp[0, 0] = 255
    assert difference_hash(Image.fromarray(ramp)) == 2**63 - 1


def test_difference_hash_survives_scaling() -> None:
    coarse = np.random.default_rng(3).integers(0, 256, (8, 9), dtype=np.uint8)
    image = Image.fromarray(coarse)
    assert difference_hash(image.resize((90, 160), Image.Resampling.NEAREST)) == difference_hash(
        image
    )


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["train", "query"]))))
def test_labels_rank_the_persons(people: list[tuple[int, str]]) -> None:
    rows = [person(str(index), split, pid) for index, (pid, split) in enumerate(people)]
    labels = train_labels([(row, "ok") for row in rows])
    assert list(labels.values()) == list(range(len(labels)))
    assert list(labels) == sorted({pid for pid, split in people if split == "train"})


def test_manifest_of_a_small_folder(tmp_path: Path) -> None:
    for number, name in enumerate("abcd"):
        (tmp_path / name).write_bytes(jpeg(number))
    (tmp_path / "c").write_bytes(b"")
    rows = [
        person("a", "train", 20),
        person("b", "train", 3),
        person("c", "train", 1),
        person("d", "gallery", 0, "distractor"),
    ]
    manifest = build_manifest(reading(*rows), tmp_path, "shop")
    frame = manifest.frame.set_index("path")
    assert dict(frame["flag"]) == {"a": "ok", "b": "ok", "c": "broken", "d": "distractor"}
    assert frame["label"].fillna(-1).to_dict() == {"a": 1, "b": 0, "c": -1, "d": -1}
    assert frame.loc["a", "pid_key"] == "shop:20"
    assert manifest.meta.counts["train"]["images"] == 3
    again = build_manifest(reading(*rows[::-1]), tmp_path, "shop")
    assert again.meta.root_fingerprint == manifest.meta.root_fingerprint
    (tmp_path / "a").write_bytes(jpeg(9))
    other = build_manifest(reading(*rows), tmp_path, "shop")
    assert other.meta.root_fingerprint != manifest.meta.root_fingerprint


def test_own_terms_say_that_the_data_are_not_the_benchmark(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(jpeg(0))
    read = reading(person("a", "train", 1))
    copy = build_manifest(read, tmp_path, "market1501").meta
    assert (copy.benchmark, copy.camera_count, copy.ethics) == ("market1501", 6, read.ethics)
    own = build_manifest(read, tmp_path, "shop", ethics=OWN).meta
    assert (own.benchmark, own.camera_count, own.ethics) == (None, None, OWN)


def test_strict_refuses_files_that_are_not_accounted_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"shop: 1 image files .* the first query/odd.jpg"):
        build_manifest(reading(unlisted=("query/odd.jpg",)), tmp_path, "shop", strict=True)
