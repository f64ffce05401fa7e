"""The part of the command line that is about datasets: `reid data …` and `reid synth …`."""

import argparse
from pathlib import Path
from typing import Any

SIZES = ("smoke", "demo", "bench", "bench_hr", "pretrain")
KINDS = ("colour", "occluded", "cross_modal", "unlabelled")

Commands = argparse._SubParsersAction  # the public API has no name for it

_ADD_EXAMPLES = """examples:
  reid data add market1501 ~/Downloads/Market-1501-v15.09.15.zip
  reid data add msmt17 /data/MSMT17_V2 --link
  reid data add sysu /data/SYSU-MM01 --link --option use_val=false
  reid data add duke DukeMTMC-reID.zip --acknowledge-withdrawn "J. Doe: to reproduce table 2 of …"
  reid data add shop /data/shop --layout folder --option 'pattern={pid}_c{camera}_{frame}.jpg' \\
      --licence "own cameras, contract of 2026-01" --status agreement --consent yes
"""


def add_data_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid data` with its verbs."""
    data = commands.add_parser("data", help="add, check, list or show datasets")
    verbs = data.add_subparsers(metavar="VERB", required=True)
    _add_add(verbs)
    verbs.add_parser("list", help="datasets of the study and registered ones").set_defaults(
        command=_list
    )
    verbs.add_parser("layouts", help="layouts that can be read, and their options").set_defaults(
        command=_layouts
    )
    for name, command, text in (
        ("show", _show, "counts beside the official ones, origin, terms of use"),
        ("check", _check, "run the gate: report and Data Docs"),
        ("build", _build, "stage data@DATASET: generate or index, write the manifest"),
        ("profile", _profile, "store brightness per camera, against which later data are compared"),
    ):
        verb = verbs.add_parser(name, help=text)
        verb.add_argument("dataset", help="name in the study, or of a registered dataset")
        verb.set_defaults(command=command)


def _add_add(verbs: "Commands[argparse.ArgumentParser]") -> None:
    add = verbs.add_parser(
        "add",
        help="register a dataset from a folder or an archive",
        description="Recognise the layout of a folder or archive, index its images, put it under "
        "DVC and register it. The files are read in place; nothing is unpacked.",
        epilog=_ADD_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("name", help="name to know it by: lower case, digits, underscores")
    add.add_argument("path", type=Path, help="folder, .zip, .tar or compressed .tar as downloaded")
    how = add.add_mutually_exclusive_group()
    how.add_argument("--copy", action="store_true", help="copy to raw/, under DVC (the default)")
    how.add_argument("--link", action="store_true", help="leave the files where they are")
    add.add_argument("--layout", help="name of the layout (default: recognised)")
    add.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the layout's reader; may be repeated (see `reid data layouts`)",
    )
    add.add_argument("--licence", help="for data of your own: terms of use, in words")
    add.add_argument("--status", choices=("open", "research", "agreement", "withdrawn"))
    add.add_argument("--consent", choices=("yes", "no", "synthetic", "unknown"))
    add.add_argument("--origin", help="where the files came from (default: the file's name)")
    add.add_argument(
        "--acknowledge-withdrawn",
        metavar="TEXT",
        help="for data that their authors took back: who uses them, and why",
    )
    add.set_defaults(command=_add)


def add_synth_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid synth` with its verbs."""
    synth = commands.add_parser("synth", help="look at a synthetic world without a study")
    verbs = synth.add_subparsers(metavar="VERB", required=True)
    sheet = verbs.add_parser("sheet", help="contact sheet: people by cameras, as one PNG")
    sheet.add_argument("path", type=Path, help="PNG to write")
    sheet.add_argument("--size", choices=SIZES, default="demo", help="default: demo")
    sheet.add_argument("--domain", choices=("A", "B", "AB"), default="A", help="default: A")
    sheet.add_argument("--kind", choices=KINDS, default="colour", help="default: colour")
    sheet.add_argument("--seed", type=int, default=2, help="seed of the world (default: 2)")
    sheet.add_argument("--people", type=int, default=8, help="rows (default: 8)")
    sheet.set_defaults(command=_sheet)


def _add(options: argparse.Namespace) -> None:
    from reid.stages.add import add_dataset, wish_of

    add_dataset(wish_of(**{key: value for key, value in vars(options).items() if key in _WISH}))


_WISH = (
    "name",
    "path",
    "link",
    "layout",
    "option",
    "licence",
    "status",
    "consent",
    "origin",
    "acknowledge_withdrawn",
)


def _list(_options: argparse.Namespace) -> None:
    from reid.stages.datasets import list_datasets

    print(list_datasets())


def _layouts(_options: argparse.Namespace) -> None:
    from reid.data.readers import READERS, options_of

    for name in sorted(READERS):
        print(f"{name:20} {', '.join(options_of(name))}".rstrip())


def _show(options: argparse.Namespace) -> None:
    from reid.stages.datasets import describe_dataset

    print(describe_dataset(options.dataset))


def _check(options: argparse.Namespace) -> None:
    from reid.stages.validate import validate_dataset

    validate_dataset(options.dataset)


def _build(options: argparse.Namespace) -> None:
    from reid.stages.data import build_dataset

    build_dataset(options.dataset)


def _profile(options: argparse.Namespace) -> None:
    from reid.stages.validate import store_profile

    print(store_profile(options.dataset))


def _sheet(options: argparse.Namespace) -> None:
    from reid.data.synthetic import WorldSpec, contact_sheet

    chosen: dict[str, Any] = {
        name: getattr(options, name) for name in ("size", "domain", "seed", "kind")
    }
    contact_sheet(WorldSpec(**chosen), options.path, options.people)
    print(options.path)
