"""Optimizer, learning-rate schedule and moving average of the weights."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sugar.training.engine.config import OptimizationConfig


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that take gradients, by name; shared ones once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def build_optimizer(module: nn.Module, config: OptimizationConfig) -> torch.optim.Optimizer:
    """Optimizer over the trainable parameters, in two groups: with and without weight decay."""
    parameters = list(trainable_parameters(module).values())
    embeddings = {id(owner.weight) for owner in module.modules() if isinstance(owner, nn.Embedding)}
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    chosen = {id(p) for p in decayed}
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if id(p) not in chosen], "weight_decay": 0.0},
    ]
    # The fused kernels cost a fraction of the parameter-by-parameter loop, which a small model feels most.
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        fused=fused,
    )


def learning_rate(config: OptimizationConfig, step: int, steps: int, epoch: int) -> float:
    """Learning rate of optimizer step ``step`` (0-based) of ``steps``, in 0-based ``epoch``.

    A pure function of the position, so that a resumed training has no scheduler state to restore.
    """
    warmup_steps = round(config.warmup * steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.schedule == "cosine":
        position = (step - warmup_steps) / (steps - warmup_steps)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * position))
    if config.schedule == "step":
        return config.learning_rate * config.gamma ** sum(epoch >= milestone for milestone in config.milestones)
    return config.learning_rate


class MovingAverage:
    """Exponential moving average of parameters; buffers (running statistics) stay the current ones."""

    def __init__(self, parameters: Sequence[Tensor], *, decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.averages = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after optimizer step ``step``; early on the average follows faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Overwrite the parameters with their averages."""
        torch._foreach_copy_(self.parameters, self.averages)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters are their averages inside the block and themselves again after it."""
        current = [parameter.detach().clone() for parameter in self.parameters]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, current)
