"""What several processes of one training do together outside of its steps."""

from collections.abc import Callable

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import nn

from sugar.errors import InputError
from sugar.training.engine.checkpoint import model_tensors


def processes() -> Accelerator:
    """How many processes there are, which one this is and its device, as the engine finds them.

    Accelerate's `PartialState` alone would miss that there are several without a GPU.
    """
    return Accelerator(mixed_precision="no")


def main_process_first(work: Callable[[], object]) -> None:
    """The main process does ``work`` while the others wait; where it fails all fail, so that none waits for ever.

    Raises:
        InputError: on the other processes; the main one raises what its work raised.
    """
    state = processes()
    failure: Exception | None = None
    if state.is_main_process:
        try:
            work()
        except Exception as error:
            failure = error
    told = [str(failure) if failure is not None else None]
    if state.num_processes > 1:
        broadcast_object_list(told)
    if failure is not None:
        raise failure
    if told[0] is not None:
        raise InputError(told[0])


@torch.no_grad()
def share_trained(module: nn.Module) -> None:
    """Give every process what training changed in the main one's ``module``.

    Each has normalized its own clips since the last forward pass brought the running statistics into line.
    """
    if processes().num_processes > 1:
        for tensor in model_tensors(module).values():
            torch.distributed.broadcast(tensor, src=0)
