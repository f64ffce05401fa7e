"""What one network needs to see of a batch that several processes share.

Every process computes the same losses of the whole batch. A backward pass through what is here adds
up what all processes send back, so each gets the gradient of the sum of all these equal losses; the
mean over processes, which data-parallel training takes of gradients, then is that of one process.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from reid.nn.precision import at_least_single


def process_count() -> int:
    """Return how many processes share a batch: 1 where nothing is distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """Rows of all processes; torch has the same in private or deprecated places alone."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.share = len(rows)
        parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        first = dist.get_rank() * ctx.share
        return total[first : first + ctx.share]


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows of all processes, in their order; of a single process the same tensor.

    Args:
        rows: [B / processes, ...], of the same shape on every process.

    Returns:
        [B, ...]; gradients go back to the process from which a row came.
    """
    if process_count() == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows.contiguous())
    return gathered


def mean_over_processes(values: Tensor) -> Tensor:
    """Return the mean over processes of a tensor of one shape; gradients go back to all."""
    return gather_rows(values[None]).mean(dim=0)


class SyncedBatchNorm(_BatchNorm):
    """Batch norm by the statistics of all processes, for the CPU; torch's own is for GPUs alone.

    All processes have equally many images.

    Args:
        norm: A plain norm, whose parameters and statistics are taken over as they are. What timm
            puts into some norms, such as an activation, is kept and runs behind.
    """

    def __init__(self, norm: _BatchNorm) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self._parameters, self._buffers = norm._parameters, norm._buffers
        self._modules = norm._modules
        self.train(norm.training)

    @override
    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised [B, C, ...], in the precision of what came."""
        found = self._normalised(input) if self.training else super().forward(input)
        for module in self.children():
            found = module(found)
        return found

    @override
    def _check_input_dim(self, input: Tensor) -> None:
        """Take any number of dimensions from two."""

    def _normalised(self, raw: Tensor) -> Tensor:
        values = at_least_single(raw)
        own = [axis for axis in range(raw.ndim) if axis != 1]
        shape = [1, -1] + [1] * (raw.ndim - 2)
        mean = mean_over_processes(values.mean(own))
        centred = values - mean.view(shape)
        variance = mean_over_processes(centred.square().mean(own))
        count = process_count() * raw[:, 0].numel()
        self._follow(mean.detach(), variance.detach() * (count / (count - 1)))
        scaled = centred * (variance + self.eps).rsqrt().view(shape)
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(raw.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            raise TypeError("a batch norm without statistics or momentum")
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


def sync_batch_norms(part: nn.Module) -> None:
    """Let the batch norms inside a part use the statistics of all processes.

    Their parameters, and the names of these, stay what they were.
    """
    if torch.cuda.is_available():
        from timm.layers import convert_sync_batchnorm  # takes seconds, and few need it

        convert_sync_batchnorm(part)
        return
    for name, module in list(part.named_modules()):
        if isinstance(module, _BatchNorm):
            parent, _, last = name.rpartition(".")
            setattr(part.get_submodule(parent), last, SyncedBatchNorm(module))
