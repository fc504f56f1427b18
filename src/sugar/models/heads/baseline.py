"""The linear baseline `fc`: the same kind of encoder with a softmax head, and ConSE for unseen names.

ConSE: Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.knowledge.bank import TextBank
from sugar.models.encoders import Encoder
from sugar.models.heads.alignment import masked_mean


class LinearBaseline(nn.Module):
    """Encoder, mean over time, one linear layer; trained with cross-entropy alone.

    An encoder of several branches has one linear layer and one loss a branch; their logits are averaged.
    """

    def __init__(self, *, encoder: Encoder, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.out_channels // encoder.num_branches
        self.heads = nn.ModuleList(nn.Linear(width, num_classes) for _ in range(encoder.num_branches))

    def branch_logits(self, joints: Tensor, persons: Tensor, frames: Tensor | None) -> Tensor:
        """Class logits ``[branches, B, num_classes]`` of joints ``[B, T, M, V, C]``."""
        tokens, mask = self.encoder(joints, persons, frames)
        parts = masked_mean(tokens, mask).chunk(len(self.heads), dim=-1)
        return torch.stack([head(part) for head, part in zip(self.heads, parts, strict=True)]).float()

    def forward(self, joints: Tensor, persons: Tensor, frames: Tensor | None) -> Tensor:
        """Class logits ``[B, num_classes]``."""
        return self.branch_logits(joints, persons, frames).mean(dim=0)


def conse_log_probabilities(
    seen: Tensor, seen_embeddings: Tensor, candidate_embeddings: Tensor, temperature: float = 0.1
) -> Tensor:
    """Probabilities over names that the head never saw, from those that it did.

    Args:
        seen: ``[B, S]`` log-probabilities over the seen classes.
        seen_embeddings: ``[S, e]`` unit text embedding of each seen class.
        candidate_embeddings: ``[K, e]`` unit text embedding of each candidate.
        temperature: softness of the result; it does not change the order.

    Returns:
        ``[B, K]`` log-probabilities.
    """
    mixed = F.normalize(seen.exp() @ seen_embeddings, dim=-1)
    return (mixed @ candidate_embeddings.T / temperature).log_softmax(dim=-1)


def candidate_log_probabilities(seen: Tensor, trained: TextBank, candidates: TextBank) -> Tensor:
    """The softmax over the trained classes ``[B, S]`` as one over any candidates ``[B, K]``.

    Renormalized where all were trained, ConSE where one was not.
    """
    if set(candidates.names) <= set(trained.names):
        return seen[:, [trained.names.index(name) for name in candidates.names]].log_softmax(-1)
    return conse_log_probabilities(seen, trained.prototypes(), candidates.prototypes())
