"""The command `reid explain`: pictures of what a model makes of images."""

import argparse
from pathlib import Path

from reid.cli_data import Commands

_EXAMPLES = """examples:
  reid explain transreid                         a run of the study, on images of its test set
  reid explain personvit --images 12 --parts 8   more images, finer parts
  reid explain transmatcher                      a run that scores pairs: what scores are made of
  reid explain idkl                              two spectra: what training made of their gap
  reid explain models/market/personvit --dataset msmt17
  reid explain models/demo/pretrained/personvit  a backbone before any fine-tuning

pictures of a transformer:
  attention.png         attention of the class token in the last block: mean, and each head
  parts.png             patches of many images in clusters; one colour is one cluster
  correspondences.png   patches of two images of a person that are each other's nearest

pictures of a model that scores pairs, of one person and of the most similar other one:
  contributions.png     what every cell of both images adds to the score, or takes from it
  correspondences.png   the matching cells that add most

picture of every model with features, on images of visible and infrared light:
  modality_gap.png      distances within and across the spectra, and some people's features in the
                        plane: before training, after it, and in each branch of the network

beside them:
  explain.json          which images these are, their scores, and the numbers of the gap
"""


def add_explain_command(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid explain`."""
    explain = commands.add_parser(
        "explain",
        help="picture what a model looks at",
        description="Picture what a transformer looks at: attention, parts and correspondences of "
        "its patches; or, for a model that scores pairs, what its scores are made of; and, on a "
        "test set of two spectra, how far apart a model with features puts them. The pictures are "
        "added to the MLflow run that trained the model.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    explain.add_argument(
        "model",
        metavar="MODEL",
        help="run of the study, model directory, or pretrained folder or backbone.safetensors",
    )
    explain.add_argument(
        "--dataset", metavar="NAME", help="whose images (default: the test set of the run)"
    )
    explain.add_argument(
        "--images", type=int, default=8, metavar="N", help="images shown, in pairs (default: 8)"
    )
    explain.add_argument("--parts", type=int, metavar="K", help="clusters of patches (default: 6)")
    explain.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: reports/<study>/explain/<run>"
    )
    explain.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of images and clusters (default: 0)"
    )
    explain.set_defaults(command=_explain)


def _explain(options: argparse.Namespace) -> None:
    from reid.stages.explain import Wanted, explain

    wanted = Wanted(options.dataset, options.images, options.parts, options.seed, options.out)
    explain(options.model, wanted)
