"""What the LLM is told of a clip in words, beside its action tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sugar.knowledge.facts.telling import TAKES_TWO, tell_all
from sugar.models.motion import MotionHead, MotionReference


@torch.no_grad()
def tell_claims(
    motion: MotionHead, reference: MotionReference, tokens: Tensor, mask: Tensor, persons: Tensor
) -> Sequence[str]:
    """The claims that the motion head is sure of, a text a clip.

    Args:
        tokens, mask: the encoder's output.
        persons: ``[B, M]`` who is there: of one person nothing is told that takes two.
    """
    sure = motion.claim_probabilities(tokens, mask).cpu().numpy()
    alone = persons.cpu().numpy().sum(axis=1) < 2
    sure[np.ix_(alone, TAKES_TWO)] = -1
    return tell_all(sure, reference.rates.cpu().numpy())
