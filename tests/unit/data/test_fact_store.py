"""Facts come back as they were kept; a damaged file is no loss, a busy one an error."""

import sqlite3
from pathlib import Path

import pytest

from reid.data.fact_store import FactStore
from reid.data.inspection import FileFacts
from reid.errors import DataError

FACTS = FileFacts(7, bytes(range(32)), 64, 128, "RGB", 2**64 - 1)
BROKEN = FileFacts(0, bytes(32), 0, 0, "", None)


def test_facts_come_back(tmp_path: Path) -> None:
    with FactStore(tmp_path / "deep/facts") as store:
        store.save([("é/1.jpg", "a", FACTS), ("é/2.jpg", "b", BROKEN)])
    with FactStore(tmp_path / "deep/facts") as store:
        assert store.load(["é/1.jpg", "é/2.jpg", "é/3.jpg"]) == {
            "é/1.jpg": ("a", FACTS),
            "é/2.jpg": ("b", BROKEN),
        }
        assert store.load([]) == {}
        assert store.broken() == {"é/2.jpg"}
        store.save([("é/2.jpg", "c", FACTS)])
        assert store.broken() == set()


def test_facts_of_other_rules_are_forgotten(tmp_path: Path) -> None:
    with FactStore(tmp_path / "facts") as store:
        store.save([("1.jpg", "a", FACTS)])
    with sqlite3.connect(tmp_path / "facts") as database:
        database.execute("PRAGMA user_version = 99")
    with FactStore(tmp_path / "facts") as store:
        assert store.load(["1.jpg"]) == {}


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "facts").write_bytes(b"no database at all, but long enough to be taken for one" * 9)
    with FactStore(tmp_path / "facts") as store:
        store.save([("1.jpg", "a", FACTS)])
        assert store.load(["1.jpg"])["1.jpg"] == ("a", FACTS)


def test_a_busy_file_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path: connect(path, timeout=0.05))
    with FactStore(tmp_path / "facts") as store:
        other = connect(tmp_path / "facts", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="facts: in use by another process"):
            store.save([("1.jpg", "a", FACTS)])
        other.close()
