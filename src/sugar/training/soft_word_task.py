"""Soft words in stage 2: of clips by what the other scorers believe, of texts without any clip."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sugar.models.language import LanguageModel
from sugar.models.soft_words import NameWords, SoftWords
from sugar.training.text_only import TextOnly, TextSamples

_UNHEARD = 0.5
"""Share of the clips that the LLM must name by the bridge's tokens alone, or it would never learn to read them."""


class SoftWordTask(nn.Module):
    """What the LLM is told of the candidates, by clips and by texts.

    Args:
        words: trained here.
        language: says how names are spelled.
        classes: the training classes.
        believe: encoder tokens and mask -> ``[B, classes]`` probabilities of the other scorers.
        texts: draws text-only samples; its names begin with ``classes``. None: there are none.
        share: text-only samples for each clip.
    """

    def __init__(
        self,
        words: SoftWords,
        language: LanguageModel,
        *,
        classes: Sequence[str],
        believe: Callable[[Tensor, Tensor], Tensor],
        texts: TextOnly | None = None,
        share: float = 0.0,
    ) -> None:
        super().__init__()
        self.words, self.believe, self.texts, self.share = words, believe, texts, share
        names = tuple(classes) if texts is None else texts.names
        if names[: len(classes)] != tuple(classes):
            raise ValueError("text-only samples must begin with the training classes")
        self.position = {name: k for k, name in enumerate(names)}
        self.names = NameWords.of(names, language)

    def of_clips(
        self, tokens: Tensor, mask: Tensor, candidates: Sequence[Sequence[str]], generator: torch.Generator
    ) -> Tensor:
        """``[B, names]`` what is believed of each clip, over its own list alone; nothing for some of them."""
        listed = torch.zeros(len(candidates), len(self.position))
        for row, names in enumerate(candidates):
            listed[row, [self.position[name] for name in names]] = 1.0
        heard = torch.rand(len(candidates), 1, generator=generator) >= _UNHEARD
        with torch.no_grad():
            believed = self.believe(tokens, mask).float()
        belief = torch.zeros_like(listed).to(believed)
        belief[:, : believed.shape[1]] = believed
        belief = belief * listed.to(belief)
        return belief / belief.sum(dim=1, keepdim=True).clamp(min=1e-12) * heard.to(belief)

    def of_texts(self, clips: int, size: int, generator: torch.Generator) -> TextSamples:
        """Samples for a batch of so many clips, with lists of ``size`` names."""
        count = round(self.share * clips)
        if self.texts is None or not count:
            return TextSamples([], [], [], torch.zeros(0, len(self.position)))
        return self.texts.draw(count, size, generator)

    def join(self, action: Tensor, mask: Tensor, belief: Tensor) -> tuple[Tensor, Tensor]:
        """The bridge's tokens ``[B, Q, H]`` of the clips, none for texts, and the soft words of both."""
        words, word_mask = self.words(belief, self.names)
        texts = len(belief) - len(action)
        action = torch.cat([action, action.new_zeros(texts, *action.shape[1:])])
        mask = torch.cat([mask, mask.new_zeros(texts, mask.shape[1])])
        return torch.cat([action, words.to(action)], dim=1), torch.cat([mask, word_mask.to(mask)], dim=1)
