"""The weights in a run folder: how a model is written and read (DESIGN section 4)."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sugar.errors import InputError
from sugar.files import atomic_write
from sugar.models.language import LanguageModel
from sugar.models.motion import MotionReference

CLASSES_FILE = "classes.json"
REFERENCE_FILE = "motion_reference.safetensors"
WORDS_FILE = "soft_words.safetensors"


def save_module(module: nn.Module, path: Path) -> None:
    """The state of a module as safetensors."""
    save_tensors(dict(module.state_dict()), path)


def save_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Tensors by name as safetensors."""
    with atomic_write(path) as temporary:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, temporary)


def load_module(module: nn.Module, path: Path) -> None:
    """Read what `save_module` wrote.

    Raises:
        InputError: the file is missing, damaged or does not fit.
    """
    tensors = load_tensors(path)
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise _does_not_fit(path, error) from error


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read what `save_tensors` wrote.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(f"{path}: missing from the run folder; train again or restore the file")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _does_not_fit(path, error) from error


def load_reference(path: Path) -> MotionReference:
    """The reference clips of the motion score.

    Raises:
        InputError: the file is missing or damaged.
    """
    tensors = load_tensors(path)
    try:
        return MotionReference.from_tensors(tensors)
    except KeyError as error:
        raise InputError(f"{path}: holds no {error}; it is of an older version or damaged: train again") from None


def _does_not_fit(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0]
    return InputError(f"{path}: does not fit the run's config.yaml ({reason}); restore the file")


def read_description(path: Path) -> dict[str, Any]:
    """Classes, layout and parts of a finished run.

    Raises:
        InputError: there is no finished run, or its description is damaged.
    """
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        return {key: described[key] for key in ("classes", "layout", "parts")}
    except FileNotFoundError:
        raise InputError(f"{path}: missing; this is no finished run (sugar train --resume finishes one)") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: damaged ({error}); restore the file or train again") from error


def verify_base(language: LanguageModel, path: Path) -> None:
    """The LLM that is loaded must be the one that the adapter was trained on.

    Raises:
        InputError: it is another one, or the run does not say which.
    """
    try:
        expected = json.loads(path.read_text(encoding="utf-8"))["llm"]["hash_after"]
    except FileNotFoundError:
        raise InputError(f"{path}: missing from the run folder; restore the file") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: does not name the LLM's hash ({error}); restore the file") from error
    language.verify(expected)
