"""A small LLM pre-trained on the spot from the knowledge packs' texts, for machines without any.

It is honest but poor: it knows the packs' words and little else. It serves the demo until a built-in LLM ships.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from sugar.files import atomic_folder
from sugar.knowledge.pack import KnowledgePack
from sugar.training.engine import LoopConfig, Objective, fit, stable_seed
from sugar.training.optimisation import OptimisationConfig

VOCABULARY = 1024
POSITIONS = 512
BLOCK = 128


def train_small_lm(packs: Sequence[KnowledgePack], folder: Path, *, epochs: int, seed: int) -> Path:
    """Train tokenizer and model and write them in Hugging Face layout; returns ``folder``."""
    texts = pack_sentences(packs)
    tokenizer = train_tokenizer(texts)
    ids = [i for text in texts for i in [*tokenizer.encode(text), int(tokenizer.eos_token_id)]]
    torch.manual_seed(stable_seed(seed, "small-lm"))
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=POSITIONS,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    fit(
        _NextToken(model),
        _Blocks(torch.tensor(ids)),
        _TokenBatch.collate,
        loop=LoopConfig(epochs=epochs, batch_size=16, log_steps=0, checkpoint_epochs=0, tensorboard="off"),
        optimisation=OptimisationConfig(learning_rate=2e-3, weight_decay=0.1),
        seed=seed,
        folder=folder.parent,
        resume=False,
        name="language-model",
    )
    with atomic_folder(folder) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    return folder


def pack_sentences(packs: Sequence[KnowledgePack]) -> list[str]:
    """Every text of the packs."""
    return [
        text
        for pack in packs
        for entry in pack.classes
        for kind in (entry.motion, entry.visual, entry.descriptions)
        for text in kind
    ]


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer: it can write any text, so any action name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")


class _NextToken(Objective):
    def __init__(self, model: LlamaForCausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: "_TokenBatch", generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return self.model(input_ids=batch.ids, labels=batch.ids).loss, {}


@dataclass
class _TokenBatch:
    ids: Tensor

    def to(self, device: torch.device) -> "_TokenBatch":
        return _TokenBatch(self.ids.to(device))

    @staticmethod
    def collate(blocks: list[Tensor]) -> "_TokenBatch":
        return _TokenBatch(torch.stack(blocks))


class _Blocks:
    """Blocks of ``BLOCK`` tokens that overlap by half, so that every text is also seen from its middle."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return max(1, 2 * (len(self.ids) // BLOCK) - 1)

    def __getitem__(self, index: int) -> Tensor:
        start = index * BLOCK // 2
        return self.ids[start : start + BLOCK]
