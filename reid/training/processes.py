"""How many processes share a training, and which of them this one is."""

import os
import threading
import time
from dataclasses import dataclass

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from reid.data.samplers.identity import batch_share
from reid.errors import ParamsError
from reid.methods.base import EmbeddingNetwork
from reid.nn.processes import sync_batch_norms
from reid.recipe import Recipe

_STARTER = "REID_STARTED_BY"
_PLACE = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


@dataclass(frozen=True)
class Processes:
    """What shares each batch. It is a fact of the machines and no parameter of the result.

    Attributes:
        devices: Processes on each node: one per GPU, or so many on the CPU.
        nodes: Machines.
    """

    devices: int = 1
    nodes: int = 1

    @property
    def count(self) -> int:
        """Number of processes over all nodes."""
        return self.devices * self.nodes

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        place = _environment()
        return self.count == 1 or place.node_rank() == place.local_rank() == 0


ONE_PROCESS = Processes()


def require_processes(processes: Processes, recipe: Recipe) -> None:
    """Refuse what cannot work, before any other process is started.

    Raises:
        ParamsError: No device or node, more devices than GPUs, nodes that do not know each other,
            or processes that do not divide a batch.
    """
    for name in ("devices", "nodes"):
        number = getattr(processes, name)
        if number < 1:
            remedy = f"Correct --{name} or REID_{name.upper()}."
            raise ParamsError(f"{number} {name}", "at least 1", remedy)
    gpus = torch.cuda.device_count()
    if gpus and processes.devices > gpus:
        raise ParamsError(
            f"{processes.devices} devices on a machine with {gpus} GPUs",
            f"at most {gpus}",
            "Correct --devices or REID_DEVICES, or hide the GPUs with CUDA_VISIBLE_DEVICES=''.",
        )
    _require_place(processes)
    batch_share(recipe.sampler.identities, recipe.sampler.images, 0, processes.count)


def end_with_first() -> None:
    """Let a process that Lightning has started end as soon as the one that started it has.

    What waits for the others to connect would else wait for half an hour, and so do GPUs.
    """
    starter = os.environ.get(_STARTER)
    if starter is not None:
        threading.Thread(target=_watch, args=(int(starter),), daemon=True).start()


def announce_first() -> None:
    """Tell those that Lightning starts next by whom they are started."""
    os.environ[_STARTER] = str(os.getpid())


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def share_network(network: EmbeddingNetwork) -> None:
    """Make a network ready for images that are spread over processes.

    Raises:
        ParamsError: Its losses see the images of one process alone.
    """
    parts = network.per_image()
    if not parts:
        raise ParamsError(
            f"the losses of {type(network).__name__} see the images of one process alone",
            "a network whose `per_image` names the parts before its losses",
            "Train with --devices 1 --nodes 1.",
        )
    for part in parts:
        sync_batch_norms(part)


def _require_place(processes: Processes) -> None:
    place = _environment()
    if not isinstance(place, LightningEnvironment):
        started = place.world_size()
        if started != processes.count:
            raise ParamsError(
                f"{started} processes were started, and {processes.devices} devices on "
                f"{processes.nodes} nodes are asked for",
                "the same number",
                "Correct --devices and --nodes, or REID_DEVICES and REID_NODES.",
            )
        return
    missing = [name for name in _PLACE if name not in os.environ]
    if processes.nodes > 1 and missing:
        raise ParamsError(
            f"{processes.nodes} nodes, and no {', '.join(missing)} in the environment",
            "the first node's address, a free port of it, and this node's number from 0",
            "Set them on every node, or start by torchrun or srun.",
        )


def _environment() -> ClusterEnvironment:
    """Return how this process was started, as Lightning finds it."""
    for kind in (TorchElasticEnvironment, SLURMEnvironment):
        if kind.detect():
            return kind()
    return LightningEnvironment()
