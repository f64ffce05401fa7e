"""Tell somebody that a flow run ended: a command of the user's, named in `REID_NOTIFY`."""

import os
import shlex
import subprocess
from typing import Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.logging import get_logger

VARIABLE = "REID_NOTIFY"
SECONDS = 60


def notify(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Run the command in `REID_NOTIFY` with three more arguments: run, state, message.

    The run is named like `pipeline/merry-otter`. What goes wrong is a line in the log of the
    worker; it changes nothing about the run.
    """
    command = shlex.split(os.environ.get(VARIABLE, ""))
    if not command:
        return
    told = [f"{flow.name}/{flow_run.name}", state.name or "", state.message or ""]
    try:
        subprocess.run([*command, *told], check=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        get_logger("flows").warning("%s did not work: %s", VARIABLE, error)
