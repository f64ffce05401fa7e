"""The part of the command line that trains a run."""

import argparse
import os

from reid.cli_data import Commands

_EXAMPLES = """examples:
  reid train transreid                                  a run of the active study, or resume it
  reid train transreid --devices 4                      on four GPUs of this machine
  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
      -m reid.cli train transreid --devices 4 --nodes 2 on two machines, typed on both
  srun --nodes 2 --ntasks-per-node 4 reid train transreid --devices 4 --nodes 2

Batches, losses and batch norms are those of one process: each process has an equal share of the
people of every batch, so the number of processes must divide `sampler.identities`. The result is
that of one process but for rounding, dropout and stochastic depth. REID_DEVICES and REID_NODES
stand for the options where DVC or Prefect starts the stage. Without a GPU the processes share the
CPU.

Nodes see the same project folder. Without torchrun or srun set MASTER_ADDR and MASTER_PORT, the
address and a free port of the first node, and NODE_RANK, 0 on the first, on each of them.
"""


def add_train_command(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid train`."""
    train = commands.add_parser(
        "train",
        help="train a run, or resume it",
        description="Stage train@: train a run, or resume it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("run", help="name in the active study")
    for option, text in (
        ("devices", "processes on each node: GPUs, or processes on a CPU"),
        ("nodes", "machines that train together"),
    ):
        train.add_argument(
            f"--{option}",
            type=int,
            default=os.environ.get(f"REID_{option.upper()}", "1"),
            metavar="N",
            help=f"{text} (default: 1)",
        )
    train.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> None:
    from reid.stages.train import train_run
    from reid.training.processes import Processes

    train_run(options.run, Processes(options.devices, options.nodes))
