"""Fact hints: claims about a clip that the prompt holds beside its action tokens."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sugar.facts.claim_selection import TAKES_TWO, verbalize_all
from sugar.models.heads.motion import MotionHead, MotionReference


@torch.no_grad()
def verbalize_facts(
    motion: MotionHead, reference: MotionReference, tokens: Tensor, mask: Tensor, persons: Tensor
) -> Sequence[str]:
    """The claims that the motion head is sure of, a text a clip.

    Args:
        tokens, mask: the encoder's output.
        persons: ``[B, M]`` who is present; claims about two people are left out for one.
    """
    sure = motion.claim_probabilities(tokens, mask).cpu().numpy()
    alone = persons.cpu().numpy().sum(axis=1) < 2
    sure[np.ix_(alone, TAKES_TWO)] = -1
    return verbalize_all(sure, reference.rates.cpu().numpy())
