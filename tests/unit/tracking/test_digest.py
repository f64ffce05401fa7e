import subprocess
import sys
from pathlib import Path

import yaml

from reid.tracking.digest import dvc_md5, sha256

CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"


def test_digests_are_those_of_dvc(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "b").mkdir(parents=True)
    for name in ("b.json", "b/z.csv", "b-c", "a"):
        (model / name).write_text(name)
    (tmp_path / "one.bin").write_bytes(b"\x00\r\n" * 700_000)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(CONFIG)
    command = [sys.executable, "-m", "dvc", "--quiet", "add", "model", "one.bin"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    for name in ("model", "one.bin"):
        (out,) = yaml.safe_load((tmp_path / f"{name}.dvc").read_text())["outs"]
        assert dvc_md5(tmp_path / name) == out["md5"]


def test_sha256_is_the_standard_one(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert sha256(tmp_path / "empty").startswith("e3b0c44298fc1c149afbf4c8996fb924")
