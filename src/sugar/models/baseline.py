"""The linear baseline `fc`: the same kind of encoder with a softmax head, and ConSE for unseen names.

ConSE: Norouzi et al., "Zero-shot learning by convex combination of semantic embeddings", ICLR 2014.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from sugar.models.alignment import masked_mean
from sugar.models.encoders import Encoder


class LinearBaseline(nn.Module):
    """Encoder, mean over time, one linear layer; trained with cross-entropy alone."""

    def __init__(self, *, encoder: Encoder, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.out_channels, num_classes)

    def forward(self, joints: Tensor, persons: Tensor, frames: Tensor | None) -> Tensor:
        """Class logits ``[B, num_classes]`` of joints ``[B, T, M, V, C]``."""
        tokens, mask = self.encoder(joints, persons, frames)
        return self.head(masked_mean(tokens, mask)).float()


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
