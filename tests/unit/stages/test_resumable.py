from pathlib import Path

from PIL import Image

from reid.stages.resumable import write_history


def test_a_history_is_written_as_a_table_and_as_a_picture(tmp_path: Path) -> None:
    rows = [{"epoch": float(n), "learning_rate": 0.1, "loss": 2.5 / n} for n in (1, 2)]
    write_history(tmp_path, rows, "bot")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "history.csv"]
    table = (tmp_path / "history.csv").read_text(encoding="utf-8")
    assert table.splitlines() == ["epoch,learning_rate,loss", "1.0,0.1,2.5", "2.0,0.1,1.25"]
    with Image.open(tmp_path / "curves.png") as picture:
        picture.load()
