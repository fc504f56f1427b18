"""Reads a checkpoint and a tokenizer of llama2.c (github.com/karpathy/llama2.c), to compare with."""

import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

BOS = 1


def read_model(path: Path) -> LlamaForCausalLM:
    """The model of a version-0 checkpoint: seven integers, then float32 weights kind by kind."""
    with path.open("rb") as file:
        width, inner, layers, heads, kv_heads, vocabulary, positions = struct.unpack("7i", file.read(28))
        values = torch.from_numpy(np.fromfile(file, dtype="<f4"))
    config = LlamaConfig(
        vocab_size=abs(vocabulary),
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=positions,
        rms_norm_eps=1e-5,
        tie_word_embeddings=vocabulary > 0,
        bos_token_id=BOS,
        eos_token_id=BOS,
    )
    place = 0

    def take(*shape: int) -> Tensor:
        nonlocal place
        size = int(np.prod(shape))
        place += size
        return values[place - size : place].view(*shape).clone()

    kv_width = width // heads * kv_heads
    state = {"model.embed_tokens.weight": take(abs(vocabulary), width)}
    stacks = {
        "input_layernorm": take(layers, width),
        "self_attn.q_proj": _half_rotation(take(layers, width, width), heads),
        "self_attn.k_proj": _half_rotation(take(layers, kv_width, width), kv_heads),
        "self_attn.v_proj": take(layers, kv_width, width),
        "self_attn.o_proj": take(layers, width, width),
        "post_attention_layernorm": take(layers, width),
        "mlp.gate_proj": take(layers, inner, width),
        "mlp.down_proj": take(layers, width, inner),
        "mlp.up_proj": take(layers, inner, width),
    }
    state |= {f"model.layers.{i}.{name}.weight": w[i] for name, w in stacks.items() for i in range(layers)}
    state["model.norm.weight"] = take(width)
    take(positions, width // heads)  # tables of the rotation, computed anew here
    state["lm_head.weight"] = state["model.embed_tokens.weight"] if vocabulary > 0 else take(-vocabulary, width)
    if place != len(values):
        raise ValueError(f"{path}: {len(values)} weights, {place} expected: not a version-0 checkpoint")
    model = LlamaForCausalLM(config)
    model.load_state_dict(state)
    return model.eval()


def _half_rotation(weight: Tensor, heads: int) -> Tensor:
    """llama2.c rotates neighboring channels, transformers channels half a head apart."""
    layers, rows, width = weight.shape
    return weight.view(layers, heads, rows // heads // 2, 2, width).transpose(2, 3).reshape(layers, rows, width)


class Tokenizer:
    """The byte-pair encoder of llama2.c: always merges the neighbors of the highest score."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self._pieces: list[bytes] = []
        self._scores: list[float] = []
        place = 4
        while place < len(data):
            score, size = struct.unpack_from("fi", data, place)
            self._pieces.append(data[place + 8 : place + 8 + size])
            self._scores.append(score)
            place += 8 + size
        self._ids = {piece: i for i, piece in reversed(list(enumerate(self._pieces)))}

    def encode(self, text: str) -> list[int]:
        """Ids of the text with a leading space, without <s>; letters the vocabulary lacks as bytes."""
        ids: list[int] = []
        for letter in " " + text if text else "":
            piece = letter.encode()
            ids += [self._ids[piece]] if piece in self._ids else [byte + 3 for byte in piece]
        while True:
            merged = [self._ids.get(self._pieces[a] + self._pieces[b]) for a, b in pairwise(ids)]
            best = max(((self._scores[new], -i, new) for i, new in enumerate(merged) if new is not None), default=None)
            if best is None:
                return ids
            ids[-best[1] : -best[1] + 2] = [best[2]]

    def decode(self, ids: list[int]) -> str:
        """The text of the ids, without <s> and </s> and outer white space."""
        pieces = [bytes([i - 3]) if 3 <= i < 259 else self._pieces[i] for i in ids if i > 2]
        return b"".join(pieces).decode(errors="replace").strip()
