"""`reid tracking`: what waits for the MLflow store, and where the store lies."""

import argparse
from pathlib import Path

from reid.cli_data import Commands


def add_tracking_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid tracking status|replay|move`."""
    tracking = commands.add_parser("tracking", help="what waits for MLflow; move its store")
    verbs = tracking.add_subparsers(metavar="VERB", required=True)
    status = verbs.add_parser("status", help="where the store is, and what waits for it")
    status.set_defaults(command=_status)
    replay = verbs.add_parser("replay", help="write what waits; every stage does so when it begins")
    replay.set_defaults(command=_replay)
    move = verbs.add_parser(
        "move",
        help="move mlruns to another folder, while no stage runs",
        epilog="example: reid tracking move /data/mlflow",
    )
    move.add_argument("folder", type=Path, help="a folder that does not exist yet")
    move.set_defaults(command=_move)


def _status(_options: argparse.Namespace) -> None:
    from reid.tracking.spool import describe

    print(describe())


def _replay(_options: argparse.Namespace) -> None:
    from reid.tracking.spool import replay_now

    done = replay_now()
    print(f"written: {done.applied}, refused: {done.refused}")


def _move(options: argparse.Namespace) -> None:
    from reid.tracking.store import move_store

    move_store(options.folder)
    print(f"mlruns is in {options.folder.resolve()} now; links are left behind")
