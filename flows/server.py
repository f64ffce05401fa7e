"""Whether the Prefect server that the flows report to is there."""

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings

from flows.errors import FlowError

LOCAL_API = "http://127.0.0.1:4200/api"


def require_server() -> None:
    """Check that a Prefect server answers.

    Raises:
        FlowError: No address is set, or nobody answers there.
    """
    address = get_current_settings().api.url
    if not address:
        raise FlowError(
            "no Prefect server is named",
            "its address in PREFECT_API_URL",
            f"Start one with `reid up` and set PREFECT_API_URL={LOCAL_API}.",
        )
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is not None:
        raise FlowError(
            f"no Prefect server answers at {address} ({type(problem).__name__})",
            "a running one",
            "Start it with `reid up`, or correct PREFECT_API_URL.",
        )
