"""An LLM's files: loading the frozen base, hashing it, putting LoRA on, saving and loading the adapters."""

import hashlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from huggingface_hub.utils import HFValidationError, validate_repo_id
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from sugar.config import at_least, between
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.hub import Pretrained, quiet

BUILT_IN = "sugar-lm"
BUILT_IN_FOLDER = Path(__file__).parent / "shipped" / BUILT_IN


@dataclass
class LanguageConfig:
    """Which LLM, and how it is adapted."""

    name: str = BUILT_IN
    """A Hugging Face causal LM: `sugar-lm`, which comes with the package, a folder (config.json, *.safetensors,
    tokenizer) or a hub id"""
    revision: str | None = None
    """Commit, tag or branch of a hub id; None is its main branch"""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    """Number format of the frozen weights; auto is the checkpoint's own. Adapters stay float32"""
    prompt: Literal["choose", "top_five"] = "choose"
    """The instruction: choose one and describe it, or name the five most compatible"""
    lora: bool = True
    """Train LoRA adapters on all linear layers but the head; off: nothing of the LLM is trained"""
    lora_rank: int = 64
    """Rank r of the adapters"""
    lora_alpha: int = 16
    """Adapters are scaled by alpha / r"""
    lora_dropout: float = 0.05
    """Dropout before the adapters"""
    fact_hints: bool = True
    """Say in the prompt, beside the action tokens, what the motion head is sure of; the paper has tokens alone"""
    label_loss_weight: float = 0.5
    """Weight of the label's tokens in the loss, against those of the description. Names are short: by its count of
    tokens the label would have a tenth"""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time"""
    tree_attention: bool = True
    """Score all candidates in one forward. Off: one forward for each branch of the trie, the same numbers,
    for models that take no 4-D attention mask (ALiBi, state-space)"""

    def __post_init__(self) -> None:
        between(0, 1, "language", self, "label_loss_weight")
        if self.lora:
            at_least(1, "language", self, "lora_rank", "lora_alpha")
            between(0, 0.99, "language", self, "lora_dropout")


def find_base(config: LanguageConfig) -> Path | str:
    """The folder or the hub id of the LLM.

    Raises:
        InputError: nothing is named, there is no such folder, or it lacks config, tokenizer or weights.
    """
    if not config.name:
        raise InputError(f"language.name: no LLM given; name {BUILT_IN}, a folder or a Hugging Face id")
    folder = BUILT_IN_FOLDER if config.name == BUILT_IN else Path(config.name).expanduser()
    if folder.is_dir():
        _check_folder(folder)
        return folder
    if folder.exists():
        raise InputError(f"language.name: {config.name} is a file; name a folder with a whole Hugging Face model")
    try:
        validate_repo_id(config.name)
    except HFValidationError:
        raise InputError(f"language.name: no folder {config.name}; name a folder or a Hugging Face id") from None
    return config.name


def load_base(config: LanguageConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of ``config.name``; a folder is never looked up anywhere else.

    Raises:
        InputError: the folder lacks config, tokenizer or weights; the hub id cannot be had; weights lack or do not fit.
    """
    found = find_base(config)
    local = isinstance(found, Path)
    pretrained = Pretrained(str(found), local, config.revision)
    try:
        with quiet(progress=sys.stderr.isatty()):
            # First, though the others read it as well: with no network each would try for half a minute.
            pretrained.load(AutoConfig)
            tokenizer = pretrained.load(AutoTokenizer)
            model, loaded = pretrained.load_weights(
                AutoModelForCausalLM,
                dtype=config.dtype if config.dtype == "auto" else getattr(torch, config.dtype),
                ignore_mismatched_sizes=True,  # refused below, by name
            )
    except Exception as error:  # of damaged files the libraries raise whatever they stumble over
        raise InputError(
            f"language.name: cannot load {config.name}{'' if local else ', which is no folder here, from the hub'}: "
            f"{_first_line(error)}; name a folder with a whole Hugging Face model, or a hub id"
        ) from error
    if loaded["missing_keys"]:
        raise InputError(
            f"language.name: {config.name} lacks {len(loaded['missing_keys'])} weights, "
            f"{min(loaded['missing_keys'])} among them; get a whole copy of the model"
        )
    if loaded["mismatched_keys"]:
        weight, there, expected = min(loaded["mismatched_keys"])
        raise InputError(
            f"language.name: {config.name} has a config.json of another model: {weight} is {[*there]} in its weights "
            f"and {[*expected]} by the config; get a whole copy of the model"
        )
    return model, tokenizer


def with_lora(model: PreTrainedModel, config: LanguageConfig) -> PeftModel:
    """LoRA adapters (arXiv 2106.09685) on all linear layers but the head, in place."""
    lora = LoraConfig(
        task_type="CAUSAL_LM",
        target_modules="all-linear",  # in PEFT's words: all but the output head
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        # GPT-2 keeps its linear layers transposed.
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
    )
    with warnings.catch_warnings():
        # PEFT reads an attribute that transformers has since renamed.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        return get_peft_model(model, lora)


def base_hash(model: nn.Module) -> str:
    """SHA-256 over names and bytes of the pre-trained weights as loaded (so: of one dtype), without adapters.

    The same before LoRA is put on and after it is trained.
    """
    named = {
        name.removeprefix("base_model.model.").replace(".base_layer.", "."): weight
        for name, weight in model.named_parameters()
        if ".lora_" not in name
    }
    digest = hashlib.sha256()
    for name in sorted(named):
        weight = named[name].detach()
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
        digest.update(weight.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write the LoRA weights as a PEFT folder: ``adapter_config.json``, ``adapter_model.safetensors``."""
    with atomic_folder(folder) as temporary:
        # Without save_embedding_layers=False PEFT asks the hub about the base model.
        model.save_pretrained(str(temporary), save_embedding_layers=False)
        (temporary / "README.md").unlink(missing_ok=True)  # an empty model card


def load_adapter(model: PeftModel, folder: Path, config: LanguageConfig) -> None:
    """Read LoRA weights written by `save_adapter` into ``model``.

    Raises:
        InputError: the folder is no adapter, or one of another rank, alpha or LLM.
    """
    try:
        saved = LoraConfig.from_pretrained(str(folder))
        state = load_file(Path(folder) / "adapter_model.safetensors")
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise InputError(f"{folder}: not a LoRA adapter: {_first_line(error)}; name a run's adapter folder") from error
    if not isinstance(saved, LoraConfig):
        raise InputError(f"{folder}: not a LoRA adapter: adapter_config.json is of another kind; restore the file")
    if (saved.r, saved.lora_alpha) != (config.lora_rank, config.lora_alpha):
        raise InputError(
            f"{folder}: adapter of rank {saved.r} and alpha {saved.lora_alpha}, but the config says "
            f"{config.lora_rank} and {config.lora_alpha}; set language.lora_rank and language.lora_alpha"
        )
    try:
        result = set_peft_model_state_dict(model, state)
    except RuntimeError as error:  # shapes differ
        raise InputError(f"{folder}: adapter of another LLM than {config.name}; name the run's own") from error
    if result.unexpected_keys or any(".lora_" in name for name in result.missing_keys):
        raise InputError(f"{folder}: adapter of another LLM than {config.name}; name the run's own")


def _check_folder(folder: Path) -> None:
    required = {
        "config.json": ("config.json",),
        "tokenizer": ("tokenizer.json", "tokenizer.model", "vocab.json"),
        "weights (*.safetensors)": ("*.safetensors",),
    }
    for what, patterns in required.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise InputError(f"language.name: {folder} has no {what}; name a folder with a whole Hugging Face model")


def _first_line(error: Exception) -> str:
    """The first line of a message; with the second where it only leads up to that."""
    lines = [line.strip() for line in str(error).splitlines()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1]).rstrip(".")
