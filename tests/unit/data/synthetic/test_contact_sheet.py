from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.data.synthetic import WorldSpec, contact_sheet, schedule
from reid.data.synthetic.render import scene_of
from reid.data.synthetic.sheet import CAPTION, CELL_HEIGHT, MARGIN, _people
from reid.errors import ParamsError


def test_sheet_has_a_row_for_each_person_and_three_more(tmp_path: Path) -> None:
    spec = WorldSpec("smoke", "A", 1)
    contact_sheet(spec, tmp_path / "sheet.png", people=2)
    with Image.open(tmp_path / "sheet.png") as sheet:
        rows, columns = (sheet.height - MARGIN) / 5, (sheet.width - MARGIN) / spec.counts.cameras
        assert rows == CELL_HEIGHT + CAPTION + MARGIN
        assert columns == CELL_HEIGHT // 2 + MARGIN
        assert np.asarray(sheet).std() > 10


def test_more_people_than_there_are_shows_everybody() -> None:
    spec = WorldSpec("smoke", "A", 1)
    assert sorted(_people(scene_of(spec), schedule(spec), 100)) == list(range(1, 21))


def test_twins_stand_next_to_each_other() -> None:
    spec = WorldSpec("demo", "A", 2)
    original, twin, *others = _people(scene_of(spec), schedule(spec), 8)
    who = scene_of(spec).identity(
        next(s.key for s in schedule(spec) if s.key.kind == "person" and s.key.number == twin)
    )
    assert who
    assert who.twin_of == original
    assert len({original, twin, *others}) == 8


def test_a_single_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="people 1; expected at least 2"):
        contact_sheet(WorldSpec("smoke", "A", 1), tmp_path / "sheet.png", people=1)


@pytest.mark.parametrize(
    ("spec", "rows", "columns"),
    [
        # two people or videos; the labelled kinds add a row of occluded people
        (WorldSpec("smoke", "A", 1, "cross_modal"), 3, 6),
        (WorldSpec("smoke", "A", 1, "occluded"), 5, 4),
        (WorldSpec("smoke", "AB", 1, "unlabelled"), 2, 10),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_each_kind_has_its_rows_and_columns(
    spec: WorldSpec, rows: int, columns: int, tmp_path: Path
) -> None:
    contact_sheet(spec, tmp_path / "sheet.png", people=2)
    cell = (CELL_HEIGHT // 2 + MARGIN, CELL_HEIGHT + CAPTION + MARGIN)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (columns * cell[0] + MARGIN, rows * cell[1] + MARGIN)
        assert (np.asarray(sheet)[MARGIN + CAPTION + 20 :: cell[1]].std(axis=(1, 2)) > 5).all()


def test_infrared_columns_are_grey(tmp_path: Path) -> None:
    spec = WorldSpec("smoke", "A", 1, "cross_modal")
    contact_sheet(spec, tmp_path / "sheet.png", people=4)
    with Image.open(tmp_path / "sheet.png") as sheet:
        wide = CELL_HEIGHT // 2 + MARGIN
        spread = [
            np.ptp(np.asarray(sheet.crop((MARGIN + n * wide, 0, (n + 1) * wide, 4 * 212))), axis=2)
            for n in range(6)
        ]
    assert [float(np.percentile(one, 99)) > 8 for one in spread] == [True, True, False] * 2
