"""`reid up`, `reid down`, `reid status`: Prefect and MLflow of the project, as one thing."""

import argparse
import os
import sys

from reid.cli_data import Commands

_UP = """examples:
  reid up                    start what does not run, deploy what changed in prefect.yaml
  reid up --port 4300        the Prefect server elsewhere, if 4200 is taken
  reid down                  end all of it

Everything listens on this machine alone, and its state and logs are in .reid/services/.
"""


def add_services_commands(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid up|down|status`."""
    up = commands.add_parser(
        "up",
        help="start the Prefect server, a worker and the MLflow pages; deploy the flows",
        description="Start the Prefect server, a worker that runs one flow after the other, and "
        "the MLflow pages, and deploy prefect.yaml. What runs already is left alone.",
        epilog=_UP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    up.add_argument("--port", type=int, help="of the Prefect server (default: 4200)")
    up.add_argument("--mlflow-port", type=int, help="of the MLflow pages (default: 5000)")
    down = commands.add_parser(
        "down",
        help="end what `reid up` started",
        description="End what `reid up` started, with the flow that the worker runs; its run is "
        "marked Cancelled. Runs that wait stay, and start after the next `reid up`.",
    )
    status = commands.add_parser("status", help="which services of this project run, and where")
    for verb, parser in (("up", up), ("down", down), ("status", status)):
        parser.set_defaults(command=_pass_on, verb=verb)


def _pass_on(options: argparse.Namespace) -> None:
    """Become `python -m flows`, so that Ctrl-C and the exit status are its own."""
    ports = (("--port", "port"), ("--mlflow-port", "mlflow_port"))
    given = [(name, getattr(options, key, None)) for name, key in ports]
    more = [f"{name}={value}" for name, value in given if value is not None]
    command = [sys.executable, "-m", "flows", options.verb, *more]
    os.execv(sys.executable, command)  # noqa: S606
