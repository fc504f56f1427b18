"""Tiny LLMs of several families with random weights, and a byte tokenizer for them."""

from copy import deepcopy

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from sugar.models.llm.model import LanguageConfig, LanguageModel

NAMES = [
    "sit down",
    "sit",
    "stand up",
    "pick up with one hand",
    "pick up with two hands",
    "pick up",
    "walk",
    "sit. down",
]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens: any text, no data."""
    vocabulary = {"<end>": 0} | {symbol: i + 1 for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


SIZES = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
FAMILIES = {
    "llama": LlamaConfig(**SIZES, num_key_value_heads=2, intermediate_size=48),
    "gpt2": GPT2Config(vocab_size=260, n_embd=32, n_layer=2, n_head=4, n_positions=600),
    "qwen2": Qwen2Config(**SIZES, num_key_value_heads=2, intermediate_size=48),
    "gpt_neox": GPTNeoXConfig(**SIZES, intermediate_size=48, max_position_embeddings=600),
    "opt": OPTConfig(**SIZES, ffn_dim=48, word_embed_proj_dim=32, max_position_embeddings=600),
    "mistral": MistralConfig(**SIZES, num_key_value_heads=2, intermediate_size=48, sliding_window=4096),
    # Shorter than the prompt, so that the trie is scored path by path.
    "mistral_short_window": MistralConfig(**SIZES, num_key_value_heads=2, intermediate_size=48, sliding_window=200),
    "gemma3": Gemma3TextConfig(**SIZES, num_key_value_heads=2, head_dim=8, intermediate_size=48, sliding_window=512),
}


def make_model(family: str = "llama", attention: str = "sdpa", **changes) -> LanguageModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(deepcopy(FAMILIES[family]), attn_implementation=attention)
    for weight in model.parameters():  # fresh weights say nearly nothing: louder, so that mistakes show
        weight.data.mul_(3.0)
    config = LanguageConfig(name=family, **({"lora_rank": 4} | changes))
    return LanguageModel(model=model, tokenizer=make_tokenizer(), config=config).eval()
