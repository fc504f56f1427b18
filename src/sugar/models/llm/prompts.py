"""The instructions for the LLM, the form of its answer ``{label}. {description}``, and both as tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from sugar.errors import InputError

ACTION = "<action>"
CANDIDATES = "<candidates>"


@dataclass(frozen=True)
class Prompt:
    """An instruction with one place for the action tokens and, after it, one for the candidate list."""

    template: str

    def render(self, candidates: Sequence[str], fact_hints: str = "") -> tuple[str, str]:
        """The texts before and after the action tokens; ``fact_hints`` (of the motion head) follow in brackets.

        The template is cut, not the filled text, so that a candidate may hold any characters.
        """
        before, after = self.template.split(ACTION)
        head, tail = after.split(CANDIDATES)
        return before, f"{f' ({fact_hints})' if fact_hints else ''}{head}[{', '.join(candidates)}]{tail}"


# The newline closes the instruction: the answer is tokenized on its own.
CHOOSE = Prompt(
    "Given a sequence of action tokens \n<action>, please choose the most compatible action from: "
    "<candidates>, and describe the action.\n"
)
TOP_FIVE = Prompt(
    "Given a sequence of action tokens \n<action>, please choose the five most compatible actions from: "
    "<candidates>, the most compatible first.\n"
)


def get_prompt(name: Literal["choose", "top_five"]) -> Prompt:
    """The paper's instruction to choose and describe, or the one for top-five accuracy.

    Raises:
        InputError: there is no prompt of this name.
    """
    if name == "choose":
        return CHOOSE
    if name == "top_five":
        return TOP_FIVE
    raise InputError(f"language.prompt: no prompt is named {name!r}; use choose or top_five")


def label_text(label: str) -> str:
    """The answer's first sentence, the part that recognition scores."""
    return f"{label}."


def read_label(answer: str, candidates: Sequence[str]) -> str | None:
    """The candidate a generated answer starts with, or None; the longest where one name starts another."""
    text = answer.strip().casefold()
    found = [name for name in candidates if text.startswith(label_text(name).casefold())]
    return max(found, key=len, default=None)


def read_labels(answer: str, candidates: Sequence[str]) -> list[str]:
    """The candidates named in a generated list (the top-five prompt), in its order, each once."""
    text = answer.casefold()
    places: dict[str, int] = {}
    # Longest first, and what was read is blanked: "sit down" is not also read as "sit".
    for name in sorted(candidates, key=len, reverse=True):
        folded = name.casefold()
        place = text.find(folded)
        if place >= 0:
            places[name] = place
            text = text.replace(folded, "\0" * len(folded))
    return sorted(places, key=places.__getitem__)


def check_candidates(candidates: Sequence[str]) -> None:
    """
    Raises:
        InputError: the list is empty, or a name in it is empty or repeated.
    """
    if not candidates:
        raise InputError("candidates: the list is empty; give at least one action name")
    seen: set[str] = set()
    for name in candidates:
        if not name.strip():
            raise InputError("candidates: a name is empty; remove it")
        if name in seen:
            raise InputError(f"candidates: {name!r} is given twice; remove one")
        seen.add(name)


@dataclass(frozen=True, eq=False)
class PromptTokens:
    """Left-padded prompts and answers: `ids`, `mask` (1 at real tokens) and `is_action` (bool), ``[B, L]``.

    The ids at action tokens are the padding's: their embeddings come from the projector.
    """

    ids: Tensor
    mask: Tensor
    is_action: Tensor


class PromptEncoder:
    """Prompts and answers as token ids.

    Label and description are tokenized apart: some tokenizers join the full stop with the word after it, and
    then the tokens that recognition scores would not be those that were trained.

    Raises:
        InputError: the tokenizer has no end-of-text token.
    """

    def __init__(self, *, tokenizer: PreTrainedTokenizerBase, prompt: Prompt, max_positions: int | None) -> None:
        if tokenizer.eos_token_id is None:
            raise InputError("language.name: the tokenizer has no end-of-text token; set its eos_token")
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.max_positions = max_positions
        self.end: int = tokenizer.eos_token_id
        self.pad: int = self.end if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        first = tokenizer("a")["input_ids"][:1]
        self._start: list[int] = first if first == [tokenizer.bos_token_id] else []
        # Some tokenizers (SentencePiece) give a word its leading space; others need it in the text.
        glued = self.decode([self.label("sit") + self._encode("Arm")[0]])[0]
        self._space = "" if glued.endswith(" Arm") else " "

    def label(self, label: str) -> list[int]:
        """The tokens of ``{label}.``"""
        return self._encode(label_text(label))[0]

    def answer(self, label: str, description: str) -> list[int]:
        """The tokens of ``{label}. {description}`` and the end of text; an empty description is left out."""
        text = self._encode(self._space + description)[0] if description else []
        return [*self.label(label), *text, self.end]

    def decode(self, ids: Tensor | list[list[int]]) -> list[str]:
        """Texts without special tokens and outer white space."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]

    def batch(
        self,
        candidates: Sequence[Sequence[str]],
        answers: Sequence[Sequence[int]],
        *,
        num_queries: int,
        reserve: int = 0,
        fact_hints: Sequence[str] | None = None,
    ) -> PromptTokens:
        """B prompts with room for ``num_queries`` action tokens each, followed by B answers (may be empty).

        ``fact_hints``: what is said of each clip beside its action tokens.

        Raises:
            InputError: with ``reserve`` tokens to come, they exceed the LLM's positions.
        """
        fact_hints = fact_hints or [""] * len(candidates)
        prompts = [self.prompt.render(names, text) for names, text in zip(candidates, fact_hints, strict=True)]
        before = self._encode(*(text for text, _ in prompts))
        after = self._encode(*(text for _, text in prompts))
        placeholder = [self.pad] * num_queries
        begins = [len(self._start) + len(head) for head in before]
        texts = [
            [*self._start, *head, *placeholder, *tail, *answer]
            for head, tail, answer in zip(before, after, answers, strict=True)
        ]
        length = max(map(len, texts))
        if self.max_positions is not None and length + reserve > self.max_positions:
            raise InputError(
                f"candidates: prompt and answer of {length + reserve} tokens exceed the LLM's "
                f"{self.max_positions} positions; give fewer candidates or another LLM"
            )
        ids = torch.full((len(texts), length), self.pad)
        mask = torch.zeros(len(texts), length, dtype=torch.long)
        is_action = torch.zeros(len(texts), length, dtype=torch.bool)
        for row, (text, begin) in enumerate(zip(texts, begins, strict=True)):
            left = length - len(text)
            ids[row, left:] = torch.tensor(text)
            mask[row, left:] = 1
            is_action[row, left + begin : left + begin + num_queries] = True
        return PromptTokens(ids, mask, is_action)

    def _encode(self, *texts: str) -> list[list[int]]:
        return self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
