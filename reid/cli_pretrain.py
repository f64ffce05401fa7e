"""The part of the command line that is about pretraining."""

import argparse
import os
from pathlib import Path

from reid.cli_data import Commands

_PRETRAIN_EXAMPLES = """examples:
  reid pretrain personvit                 a pretraining of the active study, or resume it
  reid pretrain personvit --devices 8     on all GPUs of this machine; the batch is shared out

Stage pretrain@: inputs must exist, `dvc repro pretrain@NAME` makes them first. The environment
variable REID_DEVICES stands for --devices where a stage is started by DVC or Prefect.
"""

_SELECT_EXAMPLES = """examples:
  reid select luperson --before models/s/first --after models/s/second --out scores.parquet
  reid select luperson --before models/s/pretrained --after models/s/tuned --out scores.parquet
  reid select luperson --before weights/vits.pth --after models/s/tuned --out scores.parquet

The score is the cosine between the features of an image before and after fine-tuning on people:
what was forgotten least suits a pretraining best (CFS, arXiv 2111.12084). The published code is no
more than a list for LUPerson, which `reid select-list` reads; this score is our reconstruction.
"""

_LIST_EXAMPLES = """example:
  reid select-list CFS_list.pkl --out cfs_list.txt

A pickle can run code when it is loaded. Here it may hold a list of text and nothing else; whatever
names a class or a function is refused.
"""


def add_pretrain_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid pretrain`, `reid select` and `reid select-list`."""
    _add_pretrain(commands)
    _add_select(commands)
    _add_select_list(commands)


def _add_pretrain(commands: "Commands[argparse.ArgumentParser]") -> None:
    pretrain = commands.add_parser(
        "pretrain",
        help="pretrain a backbone on images without labels, or resume it",
        description="Self-distillation with masked image modelling on unlabelled images.",
        epilog=_PRETRAIN_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    pretrain.add_argument("name", help="name of a pretraining in the active study")
    pretrain.add_argument(
        "--devices",
        type=int,
        default=os.environ.get("REID_DEVICES", "1"),
        metavar="N",
        help="processes that share each batch: GPUs, or processes on a CPU (default: 1)",
    )
    pretrain.set_defaults(command=_pretrain)


def _add_select(commands: "Commands[argparse.ArgumentParser]") -> None:
    choose = commands.add_parser(
        "select",
        help="score unlabelled images by how little fine-tuning changed their features",
        description="Score the images of a pretraining, best first, as a Parquet table of path "
        "and score.",
        epilog=_SELECT_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choose.add_argument("dataset", help="dataset of the study or registered, already built")
    choose.add_argument(
        "--before",
        type=Path,
        required=True,
        metavar="MODEL",
        help="model directory, or the weights that the other was fine-tuned from: a file, or the "
        "folder of a pretraining",
    )
    choose.add_argument(
        "--after", type=Path, required=True, metavar="MODEL", help="model directory"
    )
    choose.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet to write")
    choose.set_defaults(command=_select)


def _add_select_list(commands: "Commands[argparse.ArgumentParser]") -> None:
    convert = commands.add_parser(
        "select-list",
        help="turn a published pickled list of images into a text file, safely",
        description="Turn a pickled list of image names, best first, into a text file.",
        epilog=_LIST_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    convert.add_argument("list", type=Path, help="pickled list, such as CFS_list.pkl")
    convert.add_argument("--out", type=Path, required=True, metavar="FILE", help="text to write")
    convert.set_defaults(command=_select_list)


def _pretrain(options: argparse.Namespace) -> None:
    from reid.stages.pretrain import pretrain_backbone

    pretrain_backbone(options.name, options.devices)


def _select(options: argparse.Namespace) -> None:
    from reid.stages.select import score_images

    score_images(options.dataset, options.before, options.after, options.out)


def _select_list(options: argparse.Namespace) -> None:
    from reid.stages.select import convert_published_list

    convert_published_list(options.list, options.out)
