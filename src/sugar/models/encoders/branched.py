"""Several small encoders side by side that read different streams of the same joints: an ensemble in one model.

Every branch gets a loss of its own (`KnowledgeAlignment`, `LinearBaseline`), so that they err independently; their
evidence is averaged. Multi-stream ensembles are the field's custom (2s-AGCN, arXiv 1805.07694); here they are one
network with one training and one token sequence.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sugar.models.encoders.base import Encoder


class BranchedEncoder(Encoder):
    """Tokens of the branches, concatenated along the channels: `[P, L, branches x d]`.

    Raises:
        ValueError: no branch, or branches of different width.
    """

    def __init__(self, *, branches: Sequence[Encoder]) -> None:
        super().__init__()
        if not branches or len({branch.out_channels for branch in branches}) != 1:
            raise ValueError("a branched encoder needs at least one branch, all of the same width")
        self.branches = nn.ModuleList(branches)
        self.num_branches = len(branches)
        self.out_channels = sum(branch.out_channels for branch in branches)

    def encode(self, joints: Tensor, frames: Tensor | None) -> Tensor:
        """See `Encoder.encode`."""
        return torch.cat([branch.encode(joints, frames) for branch in self._encoders()], dim=-1)

    def token_mask(self, frames: Tensor) -> Tensor:
        """See `Encoder.token_mask`."""
        return next(self._encoders()).token_mask(frames)

    def _encoders(self) -> Iterator[Encoder]:
        for branch in self.branches:
            assert isinstance(branch, Encoder)  # what a ModuleList's type does not say
            yield branch
