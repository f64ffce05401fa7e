"""Run a flow here and now, without a worker: `python -m flows pipeline --study demo`."""

import argparse
import gc
import os
import sys

from flows.environment import project_root
from reid.errors import ReidError

SERVICE_VERBS = ("up", "down", "status")
EPILOG = (
    "It needs a Prefect server (`reid up`). Exit codes: 0 done, 9 the flow or a stage "
    "failed, 130 interrupted."
)


def main(arguments: list[str] | None = None) -> int:
    """Run the flow, or the verb of the services, that the command line names.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and arguments[0] in SERVICE_VERBS:
            from flows.service_commands import service_command

            service_command(arguments)
        else:
            _run_flow(arguments)
    except ReidError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _run_flow(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m flows", description=__doc__, epilog=EPILOG)
    parser.add_argument("flow", help="pipeline, validate, pretrain, train, evaluate or register")
    parser.add_argument("--study", help="activate this study first")
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="only these runs")
    parser.add_argument("--force", action="store_true", help="run even if nothing changed")
    parser.add_argument(
        "--share",
        action="store_true",
        help="divide the stages with other machines, results by way of DVC's remote",
    )
    given = parser.parse_args(arguments)
    # where prefect.toml is looked for
    os.chdir(project_root())
    # what the imports make stays: looking through it for garbage is an eighth of their time
    gc.disable()
    from flows.pipelines import ACTIVE, FLOWS
    from flows.server import require_server

    gc.freeze()
    gc.enable()

    if given.flow not in FLOWS:
        parser.error(f"no flow '{given.flow}'; expected one of {', '.join(FLOWS)}")
    require_server()
    FLOWS[given.flow](
        study=given.study or ACTIVE, runs=given.runs, force=given.force, share=given.share
    )


if __name__ == "__main__":
    sys.exit(main())
