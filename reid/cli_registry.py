"""The commands `reid promote`, `reid demote` and `reid registry`."""

import argparse

from reid.cli_data import Commands

_EXAMPLES = """examples:
  reid promote transreid --because "better at night, see the review of May"
  reid promote demo.synth_demo_a/3 --for synth_demo_b/market --because "sees the other world"
  reid promote demo.synth_demo_a@challenger --accept-tie --because "half the cost"

gates, all of them shown before the decision:
  terms            licence of the training data and intended use are stated
  withdrawn data   none in the model or its ancestors; nothing overrides this
  comparable       same test manifest and protocol as the champion
  significance     plain mAP above the champion's: paired bootstrap over queries, 95 %
  robustness       no group of queries is significantly worse by more than 5 points of mAP
                   (`registration.group_points` and `group_queries` of the study)
  stored copy      the stored model loads, and it is the one that was measured
"""


def add_registry_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid promote`, `reid demote` and `reid registry`."""
    promote = commands.add_parser(
        "promote",
        help="make a registered model champion, if the gates let it pass",
        description="Make a registered model the champion of a test. Everything is read from "
        "MLflow; no result or model needs to be here.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    promote.add_argument("model", help="run of the active study, NAME/VERSION or NAME@ALIAS")
    promote.add_argument("--accept-tie", action="store_true", help="a tie is no obstacle")
    promote.set_defaults(command=_promote)
    demote = commands.add_parser(
        "demote",
        help="take a champion's title away",
        description="Take the title of a test from its champion. The one before gets it back if it "
        "still exists and its terms, its data and its stored copy are in order; else nobody.",
    )
    demote.add_argument("name", help="registered model, such as demo.synth_demo_a")
    demote.set_defaults(command=_demote)
    for verb in (promote, demote):
        verb.add_argument(
            "--for", dest="test", metavar="DATASET/PROTOCOL", help="default: the home test"
        )
        verb.add_argument(
            "--because", default="", metavar="REASON", help="is kept in the history; compulsory"
        )
    registry = commands.add_parser(
        "registry", help="versions, aliases and history of the registered models"
    )
    registry.add_argument("name", nargs="?", help="default: all of the active study")
    registry.set_defaults(command=_registry)


def _promote(options: argparse.Namespace) -> None:
    from reid.stages.promote import promote_model

    promote_model(options.model, options.test, options.because, accept_tie=options.accept_tie)


def _demote(options: argparse.Namespace) -> None:
    from reid.stages.promote import demote_model

    demote_model(options.name, options.test, options.because)


def _registry(options: argparse.Namespace) -> None:
    from reid.stages.promote import show_registry

    show_registry(options.name)
