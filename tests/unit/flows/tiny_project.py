"""A DVC project of six stages that each take a fraction of a second, shaped like the real graph."""

import os
import subprocess
import sys
from pathlib import Path

GRAPH = """\
vars:
  - params/study.yaml
stages:
  data:
    foreach: ${datasets}
    do:
      cmd: python stage.py data ${key}
      deps:
        - stage.py
      outs:
        - data/${key}
  train:
    foreach: ${runs}
    do:
      cmd: python stage.py train ${key}
      deps:
        - data/${item.train}
      params:
        - params/study.yaml:
            - runs.${key}
      outs:
        - models/${key}
  evaluate:
    foreach: ${runs}
    do:
      cmd: python stage.py evaluate ${key}
      deps:
        - models/${key}
      outs:
        - results/${key}
  compare:
    cmd: python stage.py compare
    deps:
      - results
    outs:
      - reports/tiny/comparison.md
"""

CONFIG = """\
[core]
    no_scm = true
    analytics = false
    check_update = false
"""

STUDY = """\
study: tiny
seed: 0
datasets:
  world:
    made_from: dvc.yaml
    compared_with: data/world
    source: {reader: synthetic, size: smoke, seed: 0}
    suite: person
    protocols: [market]
pretrainings: {}
run_defaults: &run
  {method: bot, starts_from: x, recipe: none.yaml, train: world, test: world, transfer: world}
runs:
  one:
    <<: *run
    overrides: {rate: 10, mode: plain}
  two:
    <<: *run
    overrides: {rate: 20, mode: plain}
shortlists: {}
embeddings: {}
evaluation: {}
registration: {intended_use: None.}
"""

# Every run of a stage leaves a line in ran.txt. What `train` writes depends on the tens of the rate
# alone, so that a small change gives an equal model. In mode `wait` it writes its process id and
# waits for a file; a child of its own waits with it. In mode `meet` it waits for another one.
STAGE = """\
import os, subprocess, sys, time
from pathlib import Path
import yaml

kind, name = sys.argv[1], "".join(sys.argv[2:])
MODELS = Path("models").glob(name or "*")
RESULTS = sorted(Path("results").glob("*"))
run = yaml.safe_load(Path("params/study.yaml").read_text())["runs"].get(name, {})
run = run.get("overrides", {}) if kind == "train" else {}
with open("ran.txt", "a") as log:
    log.write("@".join(sys.argv[1:]) + "\\n")
print("start", kind, name)
if run.get("mode") == "fail":
    sys.exit("error: found water; expected wine. Fetch some.")
if run.get("mode") == "wait":
    child = subprocess.Popen(["sleep", "600"])
    Path("pids.part").write_text(f"{os.getpid()} {child.pid}")
    os.rename("pids.part", "pids")
    while not Path("go").exists():
        time.sleep(0.02)
    child.kill()
if run.get("mode") == "meet":
    Path(f"met-{name}").touch()
    while len(list(Path().glob("met-*"))) < 2:
        time.sleep(0.02)
out, text = {
    "data": (Path("data", name), name),
    "train": (Path("models", name), f"{name} {run.get('rate', 0) // 10}"),
    "evaluate": (Path("results", name), "".join(p.read_text() for p in MODELS)),
    "compare": (Path("reports/tiny/comparison.md"), "".join(p.read_text() for p in RESULTS)),
}[kind]
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(text)
"""


class TinyProject:
    """The project in `folder`, and what a test does to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self) -> "TinyProject":
        """Write the files, those of a DVC project without git among them."""
        for path in ("params/study.yaml", "params/studies/tiny.yaml"):
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(STUDY)
        (self.folder / "dvc.yaml").write_text(GRAPH)
        (self.folder / "stage.py").write_text(STAGE)
        (self.folder / ".dvc").mkdir()
        (self.folder / ".dvc/config").write_text(CONFIG)
        return self

    def dvc(self, *arguments: str) -> str:
        """Run DVC and return what it wrote to standard output."""
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env={**os.environ, "PATH": programs, "DVC_NO_ANALYTICS": "true"},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout

    def edit(self, old: str, new: str) -> None:
        """Replace text that occurs once in the active study."""
        study = self.folder / "params/study.yaml"
        text = study.read_text()
        assert text.count(old) == 1
        study.write_text(text.replace(old, new))

    @property
    def ran(self) -> list[str]:
        """The stages whose command was started, in order."""
        log = self.folder / "ran.txt"
        return log.read_text().split() if log.exists() else []
