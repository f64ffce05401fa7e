"""Images that are there twice, byte by byte or by their looks."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reid.validation import copies

FLAT = 0b111
BUSY = 0x0123456789ABCDEF


def broken_rows(mask: pd.Series) -> list[int]:
    return list(np.flatnonzero(~mask))


def cell(split: str, pid: int = 1, camid: int | None = 0, **more: Any) -> dict[str, Any]:
    return {"split": split, "pid": pid, "camid": camid} | more


def test_copies_are_told_apart_by_where_they_lie(make_manifest: Any) -> None:
    same, other, empty = (bytes([n]) + bytes(31) for n in (97, 98, 99))
    rows = [
        cell("train", 1, sha256=same),
        cell("gallery", 2, sha256=same),
        cell("query", 3, 0, sha256=other),
        cell("gallery", 3, 0, sha256=other),
        cell("train", 4, sha256=empty, flag="broken"),
        cell("gallery", 5, sha256=empty, flag="broken"),
        cell("gallery", 6, sha256=empty, flag="broken"),
    ]
    frame = make_manifest(rows).frame
    assert broken_rows(copies.no_duplicate_bytes_across_train_test(frame)) == [0, 1]
    assert broken_rows(copies.no_duplicate_bytes_within_split(frame)) == []
    assert broken_rows(copies.no_query_copy_in_gallery(frame)) == []


@pytest.mark.parametrize("place", [{"pid": 4}, {"camid": 1}])
def test_a_query_copied_under_another_name(make_manifest: Any, place: dict[str, int]) -> None:
    same = bytes(32)
    copy = cell("gallery", 3, 0, sha256=same) | place
    rows = [cell("query", 3, 0, sha256=same), copy, cell("gallery", 3, 0)]
    frame = make_manifest(rows).frame
    assert broken_rows(copies.no_query_copy_in_gallery(frame)) == [0, 1]


def test_copies_inside_a_split(make_manifest: Any) -> None:
    rows = [cell("gallery", 1, sha256=bytes(32)) for _ in range(2)] + [cell("gallery", 1)]
    frame = make_manifest(rows).frame
    assert broken_rows(copies.no_duplicate_bytes_within_split(frame)) == [0, 1]


def test_test_images_among_those_to_pretrain_on(make_manifest: Any) -> None:
    digests = [bytes([n]) + bytes(31) for n in range(5)]
    other = make_manifest(
        [
            cell("query", sha256=digests[0], path="q.jpg"),
            cell("test_pool", sha256=digests[1], path="p.jpg"),
            cell("train", sha256=digests[2], path="t.jpg"),
            cell("gallery", sha256=digests[3], path="g.jpg", flag="broken"),
        ],
        dataset="other",
    )
    third = make_manifest([cell("gallery", sha256=digests[1], path="x.jpg")], dataset="third")
    rows = [cell("pretrain", sha256=digest) for digest in digests]
    rows += [cell("train", sha256=digests[0])]
    table = copies.leaked_test_images(make_manifest(rows).frame, [other, third])
    assert list(table["subject"]) == [
        "000.jpg is query image q.jpg of other",
        "001.jpg is test_pool image p.jpg of other",
        "001.jpg is gallery image x.jpg of third",
    ]
    assert not table["clean"].any()
    assert copies.leaked_test_images(make_manifest(rows).frame, []).empty


def test_images_that_look_the_same(make_manifest: Any) -> None:
    same = bytes([7]) * 32
    rows = [
        cell("train", phash64=BUSY),
        cell("train", phash64=BUSY ^ 0b1111 << 20, sha256=same),
        cell("train", phash64=FLAT),
        cell("query", 2, phash64=BUSY ^ 0b11),
        cell("test_pool", 2, phash64=BUSY ^ 0b1111),
        cell("gallery", 2, phash64=FLAT),
        cell("gallery", 2, phash64=BUSY ^ 0b1111 << 20, sha256=same),
        cell("gallery", -1, phash64=BUSY, flag="junk"),
        cell("gallery", 2),
        cell("val", 2, phash64=BUSY),
    ]
    table = copies.near_duplicates(make_manifest(rows).frame)
    assert list(table["subject"]) == ["003.jpg looks like 000.jpg (2 of 64 bits differ)"]
    assert list(table["distinct"]) == [False]


def test_images_that_are_too_many_to_compare_are_counted(
    make_manifest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [cell("train", phash64=BUSY), cell("query", 2, phash64=BUSY ^ 1)]
    frame = make_manifest(rows).frame
    monkeypatch.setattr(copies, "COMPARISONS", 0)
    assert list(copies.near_duplicates(frame)["subject"]) == [
        "1 test images not compared: too many training images look alike"
    ]
