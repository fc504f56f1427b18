"""Soft label tokens: the candidates' names as tokens of the LLM, blended by how probable each is without the LLM.

A clip of an action that was never trained says nothing in the tokens of the projector that the LLM has learned to read.
What the other scorers make of it can be said in words that the LLM has known since its pre-training: the j-th soft
word is the mean of the embeddings of the candidates' j-th words, weighed by the candidates' sharpened probabilities.
It is the projection of a clip onto a memory of texts (DeCap; Li et al., ICLR 2023), with the LLM's own embeddings as
the memory, so that it can be trained by texts alone (`stages.text_only`) and needs no training for a new name.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.models.llm.model import LanguageModel

_SHARPNESS = 4.0
"""Power of the probabilities: in the mean of many names' words the likeliest name is lost unless it stands out."""


@dataclass(frozen=True, eq=False)
class LabelEmbeddings:
    """K names as the LLM reads them.

    Args:
        embeddings: ``[K, W, H]``; a name that is shorter than the longest goes on with ends of text.
        lengths: ``[K]`` tokens in each name.
    """

    embeddings: Tensor
    lengths: Tensor

    @classmethod
    @torch.no_grad()
    def from_names(cls, names: tuple[str, ...], language: LanguageModel) -> "LabelEmbeddings":
        """Embed the tokens of each name."""
        ids = [language.prompts.label(name) for name in names]
        longest = max(map(len, ids))
        padded = torch.tensor([[*row, *[language.prompts.end] * (longest - len(row))] for row in ids])
        embed = language.model.get_input_embeddings()
        device = language.action_scale.device
        return cls(embed(padded.to(device)).float(), torch.tensor([len(row) for row in ids], device=device))


class SoftLabelTokens(nn.Module):
    """Probabilities of names -> tokens for the LLM, and a projection that starts as the identity.

    Args:
        width: H, channels of the LLM's input embeddings.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width)
        nn.init.eye_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, probabilities: Tensor, names: LabelEmbeddings) -> tuple[Tensor, Tensor]:
        """Tokens ``[B, W, H]`` and the mask ``[B, W]`` of those that a possible name has.

        Args:
            probabilities: ``[B, K]``; 0 for names that are not in a sample's list.
        """
        probabilities = F.normalize(probabilities.to(names.embeddings) ** _SHARPNESS, p=1, dim=1)
        blended = torch.einsum("bk,kwh->bwh", probabilities, names.embeddings)
        longest = (names.lengths * (probabilities > 0)).amax(dim=1)
        mask = torch.arange(blended.shape[1], device=longest.device) < longest[:, None]
        return self.projection(blended).masked_fill(~mask[..., None], 0.0), mask
