"""The large language model: frozen, with LoRA; it reads action tokens, names the action and describes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from sugar.errors import InputError
from sugar.models.llm import weights as llm_weights
from sugar.models.llm.prompts import PromptEncoder, check_candidates, get_prompt
from sugar.models.llm.trie import ROOT, TokenTrie
from sugar.models.llm.weights import LanguageConfig

__all__ = ["LanguageConfig", "LanguageModel"]


@dataclass
class _Inputs:
    """`embeds` ``[B, L, H]`` and `mask` ``[B, L]``, 1 at real tokens."""

    embeds: Tensor
    mask: Tensor

    @property
    def positions(self) -> Tensor:
        # Counted over real tokens: neither left padding nor masked action tokens take a position.
        return (self.mask.cumsum(1) - 1).clamp(min=0)


class LanguageModel(nn.Module):
    """A causal LM whose pre-trained weights stay frozen, with action tokens in its prompt.

    Action tokens are ``[B, Q, H]``, H = `width`; an ``action_mask`` ``[B, Q]`` leaves out some. Each
    is scaled to the mean root-mean-square of the LLM's own token embeddings: a projector's fresh output may
    be 50 times larger than what the first layers were trained on. The scale is a constant of the LLM, so that
    nothing has to be stored, and with LoRA off nothing here is trained.

    A candidate list is one for the whole batch, but for `loss`: there each sample has its own.

    Raises:
        InputError: the tokenizer has no end-of-text token.
    """

    action_scale: Tensor

    def __init__(self, *, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: LanguageConfig) -> None:
        super().__init__()
        self.config = config
        # Not every configuration class has these: BLOOM knows no positions, most models no window.
        text_config = model.config.get_text_config()
        self._max_positions: int | None = getattr(text_config, "max_position_embeddings", None)
        self._window: int | None = getattr(text_config, "sliding_window", None)
        self.prompts = PromptEncoder(
            tokenizer=tokenizer, prompt=get_prompt(config.prompt), max_positions=self._max_positions
        )
        # The checkpoint's own generation settings (sampling, temperature) must not change a greedy answer.
        model.generation_config = GenerationConfig(
            do_sample=False,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=self.prompts.end,
            pad_token_id=self.prompts.pad,
        )
        model.requires_grad_(False)
        if config.gradient_checkpointing:
            # The name of transformers 5.0; later ones call it activation checkpointing, and warn.
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self.register_buffer("action_scale", _embedding_scale(model.get_input_embeddings()), persistent=False)
        # Any: PEFT hands every call on to the model it wraps, but its type does not say so.
        self.model: Any = llm_weights.with_lora(model, config) if config.lora else model

    @classmethod
    def load(cls, config: LanguageConfig) -> "LanguageModel":
        """The LLM of ``config.name``, with fresh adapters where ``config.lora``.

        Raises:
            InputError: the model cannot be had or is not whole.
        """
        model, tokenizer = llm_weights.load_base(config)
        return cls(model=model, tokenizer=tokenizer, config=config)

    @property
    def width(self) -> int:
        """H: channels of the LLM's input embeddings."""
        return self.model.get_input_embeddings().embedding_dim

    def loss(
        self,
        action_tokens: Tensor,
        candidates: Sequence[Sequence[str]],
        labels: Sequence[str],
        descriptions: Sequence[str | None],
        action_mask: Tensor | None = None,
        fact_hints: Sequence[str] | None = None,
    ) -> Tensor:
        """Cross-entropy of ``{label}. {description}`` and the end of text: the mean over the tokens of the labels
        and the mean over the others, weighed by ``config.label_loss_weight``; a name is short, a description long.

        Args:
            action_tokens: ``[B, Q, H]``.
            candidates: B lists, each sample's own, in the order in which its prompt names them.
            labels: B names, each from its list.
            descriptions: B texts; an empty one leaves the label alone; after None the LLM may say what it likes.
            action_mask: ``[B, Q]`` bool.
            fact_hints: B texts that the prompts hold beside the action tokens.

        Raises:
            InputError: a label is not in its list, or prompt and answer exceed the LLM's positions.
        """
        for label, names in zip(labels, candidates, strict=True):
            if label not in names:
                raise InputError(f"candidates: the true label {label!r} is not in its own list; add it")
        answers = [
            self.prompts.answer(label, description or "")
            for label, description in zip(labels, descriptions, strict=True)
        ]
        tokens = self.prompts.batch(candidates, answers, num_queries=action_tokens.shape[1], fact_hints=fact_hints)
        inputs = self._embed(tokens.ids, tokens.mask, tokens.is_action, action_tokens, action_mask)
        longest = max(map(len, answers))
        # One position more than the answer: the token before it predicts its first. The head sees no others.
        logits = self.model(
            inputs_embeds=inputs.embeds,
            attention_mask=inputs.mask,
            position_ids=inputs.positions,
            use_cache=False,
            logits_to_keep=longest + 1,
        ).logits[:, :-1]
        targets = tokens.ids[:, -longest:].to(logits.device)
        losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        is_label = torch.zeros(targets.shape, dtype=torch.bool)
        is_rest = torch.zeros(targets.shape, dtype=torch.bool)
        for row, (label, said, answer) in enumerate(zip(labels, descriptions, answers, strict=True)):
            start = longest - len(answer)
            described = start + len(self.prompts.label(label))
            is_label[row, start:described] = True
            is_rest[row, described:] = said is not None
        parts = (losses[part.flatten().to(losses.device)] for part in (is_label, is_rest))
        of_label, of_rest = (part.sum() / max(1, len(part)) for part in parts)
        return self.config.label_loss_weight * of_label + (1 - self.config.label_loss_weight) * of_rest

    def trie(self, candidates: Sequence[str]) -> TokenTrie:
        """The trie of the candidates' answers.

        Raises:
            InputError: the list is empty, has an empty or a repeated name, or two the LLM cannot tell apart.
        """
        check_candidates(candidates)
        sequences = [self.prompts.label(name) for name in candidates]
        return TokenTrie.build(sequences, candidates, end=self.prompts.end)

    @torch.no_grad()
    def score(
        self,
        action_tokens: Tensor,
        candidates: Sequence[str],
        action_mask: Tensor | None = None,
        *,
        fact_hints: Sequence[str] | None = None,
        batch_size: int = 16,
    ) -> Tensor:
        """Exact log-probabilities of the candidates ``[B, K]``, float32: a proper distribution per sample.

        The answer ``{label}.`` is walked down the trie of all candidates; each next-token probability is
        renormalized over the trie's children. The prompt runs once and fills the KV cache; then one forward
        reads all nodes of the trie, each seeing the prompt and its own ancestors (tree attention).

        Args:
            action_tokens: ``[B, Q, H]``.
            candidates: K different names, in the order in which the prompt names them.
            action_mask: ``[B, Q]`` bool.
            fact_hints: B texts that the prompts hold beside the action tokens.
            batch_size: samples in one forward; bounds the memory.

        Raises:
            InputError: as `trie`; or the prompt exceeds the LLM's positions.
        """
        trie = self.trie(candidates)
        if not trie.branch_nodes or not len(action_tokens):  # a single candidate, or no sample
            return torch.zeros(len(action_tokens), len(candidates), device=self.action_scale.device)
        depth = max(trie.depths, default=0)
        scores = []
        with self._evaluating():
            for start in range(0, action_tokens.shape[0], batch_size):
                piece = slice(start, start + batch_size)
                inputs = self._prompt(
                    action_tokens[piece],
                    candidates,
                    None if action_mask is None else action_mask[piece],
                    depth,
                    fact_hints=None if fact_hints is None else fact_hints[piece],
                )
                # Tree attention lets every node see the whole prompt: not right beyond a sliding window.
                whole = self._window is None or inputs.mask.shape[1] + depth <= self._window
                logits = (
                    self._tree_logits(inputs, trie)
                    if self.config.tree_attention and whole
                    else self._path_logits(inputs, trie)
                )
                scores.append(trie.log_probs(logits))
        return torch.cat(scores)

    def _tree_logits(self, inputs: _Inputs, trie: TokenTrie) -> Tensor:
        """Logits at the branching nodes ``[B, R, vocabulary]``: one forward for prompt, one for trie."""
        cache = DynamicCache()
        root = self.model(
            inputs_embeds=inputs.embeds,
            attention_mask=inputs.mask,
            position_ids=inputs.positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        if not trie.tokens:  # only the root branches
            return root
        device, size = inputs.mask.device, inputs.mask.shape[0]
        seen = torch.cat(
            [
                inputs.mask.bool()[:, None, :].expand(-1, len(trie.tokens), -1),
                trie.ancestors().to(device).expand(size, -1, -1),
            ],
            dim=2,
        )
        # Added to the attention scores: every attention implementation takes this form, some no booleans.
        bias = inputs.embeds.new_zeros(seen.shape).masked_fill(~seen, torch.finfo(inputs.embeds.dtype).min)
        logits = self.model(
            input_ids=torch.tensor(trie.tokens, device=device).expand(size, -1),
            attention_mask=bias[:, None],
            position_ids=inputs.positions[:, -1:] + torch.tensor(trie.depths, device=device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=torch.tensor([n for n in trie.branch_nodes if n != ROOT], device=device),
        ).logits
        return torch.cat([root, logits], dim=1) if ROOT in trie.branch_nodes else logits

    def _path_logits(self, inputs: _Inputs, trie: TokenTrie) -> Tensor:
        """The same logits by one plain forward for each branching node, without cache or tree attention."""
        embed = self.model.get_input_embeddings()
        rows = []
        for node in trie.branch_nodes:
            path = torch.tensor(trie.path(node), dtype=torch.long, device=inputs.mask.device)
            path = path.expand(inputs.mask.shape[0], -1)
            longer = _Inputs(
                torch.cat([inputs.embeds, embed(path)], dim=1),
                torch.cat([inputs.mask, torch.ones_like(path)], dim=1),
            )
            rows.append(
                self.model(
                    inputs_embeds=longer.embeds,
                    attention_mask=longer.mask,
                    position_ids=longer.positions,
                    use_cache=False,
                    logits_to_keep=1,
                ).logits
            )
        return torch.cat(rows, dim=1)

    def generate(
        self,
        action_tokens: Tensor,
        candidates: Sequence[str],
        max_new_tokens: int = 96,
        action_mask: Tensor | None = None,
        fact_hints: Sequence[str] | None = None,
    ) -> list[str]:
        """B answers, decoded greedily and freely; `prompts.read_label` finds the label in one."""
        return self._continue(action_tokens, candidates, None, max_new_tokens, action_mask, fact_hints)

    def describe(
        self,
        action_tokens: Tensor,
        candidates: Sequence[str],
        labels: Sequence[str],
        max_new_tokens: int = 96,
        action_mask: Tensor | None = None,
        fact_hints: Sequence[str] | None = None,
    ) -> list[str]:
        """B descriptions: what the LLM says after each of the B ``labels`` (those that `score` found)."""
        return self._continue(action_tokens, candidates, labels, max_new_tokens, action_mask, fact_hints)

    @torch.no_grad()
    def _continue(
        self,
        action_tokens: Tensor,
        candidates: Sequence[str],
        labels: Sequence[str] | None,
        max_new_tokens: int,
        action_mask: Tensor | None,
        fact_hints: Sequence[str] | None,
    ) -> list[str]:
        check_candidates(candidates)
        beginnings = None if labels is None else [self.prompts.label(label) for label in labels]
        inputs = self._prompt(action_tokens, candidates, action_mask, 1, beginnings, fact_hints)
        if self._max_positions is not None:
            max_new_tokens = min(max_new_tokens, self._max_positions - inputs.mask.shape[1])
        with self._evaluating():
            ids = self.model.generate(
                inputs_embeds=inputs.embeds, attention_mask=inputs.mask, max_new_tokens=max_new_tokens
            )
        return self.prompts.decode(ids)

    def _prompt(
        self,
        action_tokens: Tensor,
        candidates: Sequence[str],
        action_mask: Tensor | None,
        reserve: int,
        beginnings: Sequence[Sequence[int]] | None = None,
        fact_hints: Sequence[str] | None = None,
    ) -> _Inputs:
        """The prompt of one candidate list for every sample, and how each answer begins."""
        size, num_queries, _ = action_tokens.shape
        tokens = self.prompts.batch(
            [candidates] * size,
            [[]] * size if beginnings is None else beginnings,
            num_queries=num_queries,
            reserve=reserve,
            fact_hints=fact_hints,
        )
        return self._embed(tokens.ids, tokens.mask, tokens.is_action, action_tokens, action_mask)

    def _embed(
        self, ids: Tensor, mask: Tensor, is_action: Tensor, action_tokens: Tensor, action_mask: Tensor | None
    ) -> _Inputs:
        device = self.action_scale.device
        ids, mask, is_action = ids.to(device), mask.to(device), is_action.to(device)
        if action_mask is not None:
            mask = mask.masked_scatter(is_action, action_mask.to(device, mask.dtype))
        # The embedding matrix is left as it is; what it gives at the places of action tokens is overwritten.
        embeds = self.model.get_input_embeddings()(ids)
        action_tokens = action_tokens.to(device, torch.float32)
        scaled = F.rms_norm(action_tokens, action_tokens.shape[-1:], eps=1e-6) * self.action_scale
        return _Inputs(embeds.masked_scatter(is_action[:, :, None], scaled.to(embeds.dtype)), mask)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        # Dropout would make scores random; the caller's mode comes back afterwards.
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)

    def base_hash(self) -> str:
        """SHA-256 of the frozen weights (`llm_weights.base_hash`), the same before and after training."""
        return llm_weights.base_hash(self.model)

    def verify(self, expected: str) -> None:
        """Check that these are the weights a run was trained with.

        Raises:
            InputError: `base_hash` differs from ``expected``.
        """
        found = self.base_hash()
        if found != expected:
            raise InputError(
                f"language.name: the weights of {self.config.name} (hash {found[:12]}) are not those of the "
                f"run's training ({expected[:12]}); use the same model, revision and dtype"
            )

    def save_adapter(self, folder: Path) -> None:
        """Write the LoRA weights as a PEFT folder (safetensors).

        Raises:
            ValueError: LoRA is off.
        """
        self._check_lora()
        llm_weights.save_adapter(self.model, folder)

    def load_adapter(self, folder: Path) -> None:
        """Read LoRA weights written by `save_adapter`.

        Raises:
            ValueError: LoRA is off.
            InputError: the folder is no adapter, or one of another rank, alpha or LLM.
        """
        self._check_lora()
        llm_weights.load_adapter(self.model, folder, self.config)

    def _check_lora(self) -> None:
        if not self.config.lora:
            raise ValueError("LoRA is off: there is no adapter")


@torch.no_grad()
def _embedding_scale(embedding: nn.Embedding) -> Tensor:
    """Mean over the vocabulary of the root mean square of a token's embedding; float32 scalar.

    Of the module's output, not its weight: some LLMs (Gemma) scale inside.
    """
    ids = torch.arange(embedding.num_embeddings, device=embedding.weight.device)
    return torch.cat([embedding(chunk).float().pow(2).mean(-1).sqrt() for chunk in ids.split(8192)]).mean()
