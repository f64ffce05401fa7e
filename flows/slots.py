"""Slots of a machine, which its flows share: leases on Prefect's global concurrency limits.

A stage that several machines could compute for each other has a limit of its own, of one.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import ConcurrencyLeaseHolder
from prefect.exceptions import ObjectAlreadyExists

from flows.errors import FlowError
from flows.flow_runs import LiveFlowRun
from flows.machines import Machine

# how long the slots of a flow stay taken that died and is not started again
LEASE_SECONDS = 120.0
RENEW_SECONDS = 30.0


class Slots:
    """What the stages of this flow run hold of the machine's slots.

    A limit is named `<slot>@<machine>`. Its size follows `params/machines.yaml` at the start of
    each flow; what is set on the Prefect page meanwhile counts until then.

    Args:
        machine: Whose slots.
        flow_run: Who holds them.
        divided: Stages that one machine alone computes at a time, to the names of their limits.
    """

    def __init__(self, machine: Machine, flow_run: LiveFlowRun, divided: Mapping[str, str]) -> None:
        self._machine = machine
        self._divided = divided
        self._flow_run = flow_run
        self._leases: dict[str, list[UUID]] = {}
        self._changed = threading.Lock()
        self._stop = threading.Event()

    def __enter__(self) -> "Slots":
        self._client = get_client(sync_client=True).__enter__()
        sizes = {self._limit(slot): count for slot, count in self._machine.slots.items()}
        for limit, size in {**sizes, **dict.fromkeys(self._divided.values(), 1)}.items():
            with suppress(ObjectAlreadyExists):  # made by another flow at the same time
                self._client.upsert_global_concurrency_limit_by_name(limit, size)
        self._renewer = threading.Thread(target=self._renew, daemon=True, name="renew slots")
        self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for stage in list(self._leases):
            self.give_back(stage)
        self._renewer.join()
        self._client.__exit__(None, None, None)

    def take(self, stage: str) -> bool:
        """Take what a stage needs; False if that is not free, or the server does not answer now.

        What is not free is slots of this machine, or the stage itself, at which another one is.

        Raises:
            FlowError: The server refuses for another reason, which waiting would not change.
        """
        needs = self._machine.needs(stage).slots
        if any(
            self._held(slot) + count > self._machine.slots[slot] for slot, count in needs.items()
        ):
            return False  # known without asking: this flow has them
        with self._changed:
            self._leases[stage] = []
        limits = {self._limit(slot): count for slot, count in needs.items()}
        if stage in self._divided:
            limits[self._divided[stage]] = 1
        try:
            for count in sorted(set(limits.values())):
                self._lease(stage, sorted(one for one, n in limits.items() if n == count), count)
        except (httpx.HTTPStatusError, httpx.TransportError) as error:
            self.give_back(stage)
            if isinstance(error, httpx.HTTPStatusError):
                _require_patience(stage, error.response)
            return False
        return True

    def give_back(self, stage: str) -> None:
        """Free what a stage has; what the server does not hear of ends with its lease."""
        with self._changed:
            leases = self._leases.pop(stage, [])
        if not leases:
            return
        for lease in leases:
            with suppress(httpx.HTTPError):
                self._client.release_concurrency_slots_with_lease(lease)
        self._note()

    def _lease(self, stage: str, limits: list[str], count: int) -> None:
        holder = ConcurrencyLeaseHolder(type="flow_run", id=self._flow_run.id)
        answer = self._client.increment_concurrency_slots_with_lease(
            limits, count, "concurrency", LEASE_SECONDS, holder
        )
        with self._changed:
            self._leases[stage].append(UUID(answer.json()["lease_id"]))
        self._note()

    def _note(self) -> None:
        with self._changed:
            self._flow_run.note_leases([one for held in self._leases.values() for one in held])

    def _renew(self) -> None:
        with get_client(sync_client=True) as client:  # its own: a client is for one thread
            while not self._stop.wait(RENEW_SECONDS):
                with self._changed:
                    leases = [lease for held in self._leases.values() for lease in held]
                for lease in leases:
                    with suppress(httpx.HTTPError):
                        client.renew_concurrency_lease(lease, LEASE_SECONDS)

    def _held(self, slot: str) -> int:
        return sum(self._machine.needs(stage).slots.get(slot, 0) for stage in self._leases)

    def _limit(self, slot: str) -> str:
        return f"{slot}@{self._machine.name}"


def _require_patience(stage: str, answer: httpx.Response) -> None:
    """Tell a server that has no free slot, or is in trouble, from one that refuses for good."""
    if answer.status_code != httpx.codes.LOCKED and answer.is_client_error:
        raise FlowError(
            f"the server refuses slots for stage '{stage}': {answer.status_code} {answer.text}",
            "slots, now or later",
            "Compare the limits under Concurrency on the Prefect page with params/machines.yaml.",
        )
