"""Which classes a class is told apart from: all, or those that share a list with it, as data sets trained together do.

Two data sets may call one motion by two names. No question ever offers both, so that neither need be the other's
negative.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sugar.errors import InputError


def group_classes(lists: Sequence[Sequence[str]], classes: Sequence[str], *, protocol: str) -> Tensor:
    """``[K, K]`` bool: class j is class i itself or on a list with it.

    Args:
        lists: names of the classes that are offered together; names of no training class are passed over.
        classes: the K training classes.
        protocol: what names the lists, for messages.

    Raises:
        InputError: a class is on no list.
    """
    member = torch.tensor([[name in names for name in classes] for names in lists]).reshape(len(lists), len(classes))
    for name, listed in zip(classes, member.any(dim=0).tolist(), strict=True):
        if not listed:
            raise InputError(
                f"protocol {protocol!r}: class {name!r} is on none of its lists, which negative_classes own_list "
                "needs; `sugar data combine` writes them, or add the class to one"
            )
    return (member[:, :, None] & member[:, None, :]).any(dim=0)


def grouped_cross_entropy(
    logits: Tensor, labels: Tensor, class_groups: Tensor | None, label_smoothing: float
) -> Tensor:
    """Cross-entropy over each clip's class group: ``[B, K]`` logits, ``[B]`` labels, ``[K, K]`` groups (None: all)."""
    if class_groups is None:
        return F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
    allowed = class_groups[labels]
    log_probabilities = logits.masked_fill(~allowed, -torch.inf).log_softmax(dim=1)
    of_truth = log_probabilities.gather(1, labels[:, None])[:, 0]
    of_all = log_probabilities.masked_fill(~allowed, 0.0).sum(dim=1) / allowed.sum(dim=1)
    return -((1 - label_smoothing) * of_truth + label_smoothing * of_all).mean()
