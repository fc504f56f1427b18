"""Soft label tokens in stage 2: of clips by what the other scorers believe, of texts without any clip."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from sugar.models.llm.model import LanguageModel
from sugar.models.llm.soft_label_tokens import LabelEmbeddings, SoftLabelTokens
from sugar.training.stages.text_only import TextSamples

_UNHEARD = 0.5
"""Share of the clips that the LLM must name by the projector's tokens alone, or it would never learn to read them."""


class TextSource(Protocol):
    """Where samples without clips come from."""

    names: tuple[str, ...]

    def draw(self, count: int, size: int, generator: torch.Generator) -> TextSamples:
        """``count`` samples with lists of ``size`` of its names."""
        ...


class SoftLabelTask(nn.Module):
    """Soft label tokens for clips, and for texts in place of clips.

    Args:
        words: trained here.
        language: says how names are spelled.
        classes: the training classes.
        class_probabilities: encoder tokens and mask -> ``[B, classes]`` probabilities of the other scorers.
        sources: of samples without clips, and how many of them there are for each clip.
    """

    def __init__(
        self,
        words: SoftLabelTokens,
        language: LanguageModel,
        *,
        classes: Sequence[str],
        class_probabilities: Callable[[Tensor, Tensor], Tensor],
        sources: Sequence[tuple[TextSource, float]] = (),
    ) -> None:
        super().__init__()
        self.words, self.class_probabilities, self.sources = words, class_probabilities, list(sources)
        names = tuple(dict.fromkeys([*classes, *(name for source, _ in sources for name in source.names)]))
        self.position = {name: k for k, name in enumerate(names)}
        self.names = LabelEmbeddings.from_names(names, language)

    def of_clips(
        self, tokens: Tensor, mask: Tensor, candidates: Sequence[Sequence[str]], generator: torch.Generator
    ) -> Tensor:
        """``[B, names]`` what is believed of each clip, over its own list alone; nothing for some of them."""
        listed = torch.zeros(len(candidates), len(self.position))
        for row, names in enumerate(candidates):
            listed[row, [self.position[name] for name in names]] = 1.0
        shown = torch.rand(len(candidates), 1, generator=generator) >= _UNHEARD
        with torch.no_grad():
            believed = self.class_probabilities(tokens, mask).float()
        class_probabilities = torch.zeros_like(listed).to(believed)
        class_probabilities[:, : believed.shape[1]] = believed
        class_probabilities = class_probabilities * listed.to(class_probabilities)
        return (
            class_probabilities
            / class_probabilities.sum(dim=1, keepdim=True).clamp(min=1e-12)
            * shown.to(class_probabilities)
        )

    def of_texts(self, clips: int, size: int, generator: torch.Generator) -> TextSamples:
        """Samples for a batch of so many clips, with lists of ``size`` names."""
        together = TextSamples([], [], [], torch.zeros(0, len(self.position)))
        for source, share in self.sources:
            # The fraction is one more now and then: a share of a half gives a clip alone a text every other time.
            whole, part = divmod(share * clips, 1)
            more = part > 0 and float(torch.rand((), generator=generator)) < part
            drawn = source.draw(int(whole) + more, size, generator)
            class_probabilities = torch.zeros(len(drawn.labels), len(self.position))
            class_probabilities[:, [self.position[name] for name in source.names]] = drawn.class_probabilities
            together = TextSamples(
                [*together.candidates, *drawn.candidates],
                [*together.labels, *drawn.labels],
                [*together.descriptions, *drawn.descriptions],
                torch.cat([together.class_probabilities, class_probabilities]),
            )
        return together

    def join(self, action: Tensor, mask: Tensor, class_probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """The projector's tokens ``[B, Q, H]`` of the clips, none for texts, and the soft label tokens of both."""
        words, word_mask = self.words(class_probabilities, self.names)
        texts = len(class_probabilities) - len(action)
        action = torch.cat([action, action.new_zeros(texts, *action.shape[1:])])
        mask = torch.cat([mask, mask.new_zeros(texts, mask.shape[1])])
        return torch.cat([action, words.to(action)], dim=1), torch.cat([mask, word_mask.to(mask)], dim=1)
