"""Nothing calls out: every connection that the tools and their children make, from any folder."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project, copy_project

# as it stands in a line of strace
ADDRESS = re.compile(r'sin_addr=inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')


def outside(trace: Path) -> set[str]:
    """Return the addresses beyond this machine to which somebody connected."""
    found = ADDRESS.findall(trace.read_text(encoding="utf-8", errors="replace"))
    return {v4 or v6 for v4, v6 in found if not v4.startswith("127.") and v6 != "::1"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of a user whose home knows no setting, and who is not a CI."""
    project = copy_project(tmp_path / "project")
    (tmp_path / "home").mkdir()
    for name in ("CI", "DO_NOT_TRACK", "DVC_NO_ANALYTICS"):
        project.env.pop(name, None)
    project.env["HOME"] = str(tmp_path / "home")
    return project


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_flow_with_its_services_connects_to_this_machine_alone(
    project: Project, tmp_path: Path
) -> None:
    assert shutil.which("strace"), "strace is needed to see what connects"
    trace = tmp_path / "trace"
    ports = ("--port", "42017", "--mlflow-port", "42018")
    project.env["PREFECT_API_URL"] = "http://127.0.0.1:42017/api"
    script = [
        f"reid up {' '.join(ports)}",
        "prefect deployment run evaluate/active --param runs='[\"bot\"]' --watch",
        "dvc status",
        "reid down",
    ]
    command = ["strace", "-f", "--seccomp-bpf", "-e", "trace=connect", "-o", str(trace)]
    done = subprocess.run(
        [*command, "sh", "-e", "-c", "\n".join(script)],
        # not where prefect.toml lies
        cwd=project.folder / "params",
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "connect(" in trace.read_text(errors="replace")
    assert outside(trace) == set()
