"""The commands `reid lineage` and `reid reproduce`: where a model comes from, and once more."""

import argparse
from pathlib import Path

from reid.cli_data import Commands

_MODEL = "run of the study, NAME/VERSION, NAME@alias, or the file of a record in registry/"

_LINEAGE_EXAMPLES = """examples:
  reid lineage bot                             a run of the active study, as it was registered
  reid lineage demo.synth_demo_a@champion      a version of the registry, by alias or number
  reid lineage registry/demo/bot.json --json   a record, for a program
"""

_REPRODUCE_EXAMPLES = """examples:
  reid reproduce bot                           a run of the active study
  reid reproduce demo.synth_demo_a/3           a version; MLFLOW_TRACKING_URI names a server
  reid reproduce ~/bot.json --check            a record from elsewhere: could it be done here?

A git worktree of the recorded commit, with the recorded changes and study in it, is made in
.reid/reproduce/NAME-vVERSION (or --folder), and every stage is run there; MLflow's records of it
stay there too. Killed, the same command goes on; when it has ended, it compares again. To remove
it: `git worktree remove --force FOLDER`. The exit code is 11 if a number is another one.
"""


def add_lineage_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid lineage` and `reid reproduce`."""
    lineage = commands.add_parser(
        "lineage",
        help="from a registered model back to raw files, and what is different here",
        description="Print where a registered model comes from, back to raw files, and what is "
        "different in the present checkout.",
        epilog=_LINEAGE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    lineage.add_argument("model", metavar="MODEL", help=_MODEL)
    lineage.add_argument("--json", action="store_true", help="print JSON instead of a tree")
    lineage.set_defaults(command=_lineage)
    reproduce = commands.add_parser(
        "reproduce",
        help="train and measure a registered model again, and compare every number",
        description="Train and measure a registered model again, with its code, study and data, "
        "and compare every metric bit for bit.",
        epilog=_REPRODUCE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reproduce.add_argument("model", metavar="MODEL", help=_MODEL)
    reproduce.add_argument("--folder", type=Path, metavar="DIR", help="where to make the worktree")
    reproduce.add_argument(
        "--check", action="store_true", help="make the worktree and fetch its inputs; run nothing"
    )
    reproduce.set_defaults(command=_reproduce)


def _lineage(options: argparse.Namespace) -> None:
    from reid.stages.lineage import show_lineage

    show_lineage(options.model, as_json=options.json)


def _reproduce(options: argparse.Namespace) -> None:
    from reid.stages.reproduce import reproduce

    reproduce(options.model, options.folder, check=options.check)
