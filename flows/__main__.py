"""Run a flow here and now, without a worker: `python -m flows pipeline --study demo`."""

import argparse
import os
import sys

from flows.environment import project_root
from reid.errors import ReidError

EPILOG = (
    "It needs a Prefect server (`prefect server start`). Exit codes: 0 done, 9 the flow or a stage "
    "failed, 130 interrupted."
)


def main(arguments: list[str] | None = None) -> int:
    """Run the flow that the command line names and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m flows", description=__doc__, epilog=EPILOG)
    parser.add_argument("flow", help="pipeline, validate, train, evaluate or register")
    parser.add_argument("--study", help="activate this study first")
    parser.add_argument("--runs", nargs="+", metavar="RUN", help="only these runs")
    parser.add_argument("--force", action="store_true", help="run even if nothing changed")
    parser.add_argument("--share", action="store_true", help="results by way of DVC's remote")
    given = parser.parse_args(arguments)
    try:
        # where prefect.toml is looked for
        os.chdir(project_root())
        from flows.pipelines import FLOWS
        from flows.server import require_server

        if given.flow not in FLOWS:
            parser.error(f"no flow '{given.flow}'; expected one of {', '.join(FLOWS)}")
        require_server()
        FLOWS[given.flow](study=given.study, runs=given.runs, force=given.force, share=given.share)
    except ReidError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
