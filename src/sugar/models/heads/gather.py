"""Features of all processes in one tensor, differentiable."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        ctx.rows = tensor.shape[0]
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Every process computed a loss from every row: a row's gradient is the sum over processes.
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient)
        return gradient.narrow(0, dist.get_rank() * ctx.rows, ctx.rows)


def gather_with_gradient(tensor: Tensor) -> Tensor:
    """Rows of all processes in the order of ranks, so that a contrast sees the negatives of the whole batch.

    With DistributedDataParallel's mean of gradients, ``mean over ranks of loss(gathered)`` then has the
    gradient that one process with the whole batch would compute. One process: the tensor itself.

    Args:
        tensor: ``[B, ...]``, the same shape on every process (the engine's batches are); any dtype, labels
            included.

    Returns:
        ``[processes * B, ...]``.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    gathered = _Gather.apply(tensor)
    assert isinstance(gathered, Tensor)  # for the type checker: apply is untyped
    return gathered
