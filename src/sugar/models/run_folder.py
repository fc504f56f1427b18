"""The weights in a run folder: how a model is written and read (docs/design.md, section 4)."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sugar.config import parse_config, read_yaml, section
from sugar.errors import InputError
from sugar.files import atomic_write, write_text
from sugar.knowledge.bank import TextBank
from sugar.models.config import ModelConfig
from sugar.models.heads.motion import MotionReference
from sugar.models.llm.model import LanguageModel
from sugar.models.scorers.fusion import Fusion
from sugar.models.sugar import Sugar
from sugar.skeleton.layout import JointLayout

CLASSES_FILE = "classes.json"
REFERENCE_FILE = "motion_reference.safetensors"
LABEL_TOKENS_FILE = "soft_label_tokens.safetensors"
RUN_FORMAT = 1
"""Raise it whenever folders that were written before can no longer be read."""


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
    return InputError(
        f"{path}: does not fit the run's config.yaml ({reason}); restore the file, or train again if the run is of an "
        "older version of sugar"
    )


@dataclass(frozen=True)
class RunDescription:
    """What a finished run is of.

    Args:
        classes: names of the training classes.
        layout: of the joints that the encoder reads.
        parts: which of motion, baseline and language there are.
    """

    classes: tuple[str, ...]
    layout: JointLayout
    parts: tuple[str, ...]


def write_description(folder: Path, described: RunDescription) -> None:
    """Write `CLASSES_FILE`."""
    content = {
        "format": RUN_FORMAT,
        "classes": list(described.classes),
        "layout": described.layout.to_dict(),
        "parts": list(described.parts),
    }
    write_text(folder / CLASSES_FILE, json.dumps(content, indent=1) + "\n")


def read_description(folder: Path) -> RunDescription:
    """What `write_description` wrote.

    Raises:
        InputError: there is no finished run, it is of another format, or its description is damaged.
    """
    path = folder / CLASSES_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        written = content.get("format", 1)  # the first folders do not say
        classes, layout, parts = (content[key] for key in ("classes", "layout", "parts"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing; this is no finished run (sugar train --resume finishes one)") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({error}); restore the file or train again") from error
    if written != RUN_FORMAT:
        raise InputError(
            f"{path}: the run has format {written!r}, this version of sugar reads {RUN_FORMAT}; use the version that "
            "made it or train again"
        )
    return RunDescription(tuple(classes), JointLayout.from_dict(layout, where=str(path)), tuple(parts))


def read_model_config(folder: Path) -> ModelConfig:
    """How the model of a run is built.

    Raises:
        InputError: ``config.yaml`` is missing or damaged.
    """
    path = folder / "config.yaml"
    return parse_config(ModelConfig, section(read_yaml(path).get("model"), "model", str(path)), where=str(path))[0]


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


def save_model(model: Sugar, folder: Path) -> None:
    """Write the weights that training made into the run folder; ``config.yaml`` is the trainer's.

    The LLM itself is named, not copied: only its adapter is written.
    """
    folder = Path(folder)
    save_module(model.encoder, folder / "encoder.safetensors")
    save_module(model.alignment, folder / "projection.safetensors")
    model.trained.texts.save(folder / "texts")
    # Stage 1 trains the motion head and measures its reference clips; without them the head cannot score.
    if model.motion is not None and model.trained.motion is not None and model.reference is not None:
        save_module(model.motion, folder / "motion.safetensors")
        model.trained.motion.save(folder / "motion_sentences")
        save_tensors(model.reference.tensors(), folder / REFERENCE_FILE)
    if model.baseline is not None:
        save_module(model.baseline, folder / "baseline.safetensors")
    if model.projector is not None and model.language is not None:
        save_module(model.projector, folder / "projector.safetensors")
        if model.soft_label_tokens is not None:
            save_module(model.soft_label_tokens, folder / LABEL_TOKENS_FILE)
        if model.config.language.lora:
            model.language.save_adapter(folder / "adapter")
    if model.fusion is not None:
        write_text(folder / "fusion.json", model.fusion.to_json() + "\n")
    # Last: a folder with this file is a whole run.
    whole = {"motion": model.reference, "baseline": model.baseline, "language": model.language}
    parts = tuple(name for name, part in whole.items() if part is not None)
    write_description(folder, RunDescription(tuple(model.classes), model.layout, parts))


def load_stage_one(model: Sugar, folder: Path) -> None:
    """Load encoder, alignment, motion head and, if there is one, the baseline of a run folder into ``model``.

    Raises:
        InputError: a file is missing or does not fit the model.
    """
    load_module(model.encoder, folder / "encoder.safetensors")
    load_module(model.alignment, folder / "projection.safetensors")
    if model.motion is not None:
        load_module(model.motion, folder / "motion.safetensors")
        model.reference = load_reference(folder / REFERENCE_FILE)
    if (folder / "baseline.safetensors").is_file():
        load_module(model.add_baseline(), folder / "baseline.safetensors")


def load_model(folder: str | Path, *, llm: str | None = None) -> Sugar:
    """Load a run folder, ready to recognize.

    Args:
        llm: the folder or id of the LLM where it is not where the run's config says.

    Raises:
        InputError: no run there, or a file of it is missing, damaged or does not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such run folder; give the --out of `sugar train`")
    described, config = read_description(folder), read_model_config(folder)
    if llm is not None:
        config.language.name = llm
    bank = TextBank.load(folder / "texts")
    motion_bank = TextBank.load(folder / "motion_sentences") if "motion" in described.parts else None
    model = Sugar(config=config, layout=described.layout, classes=described.classes, bank=bank, motion_bank=motion_bank)
    load_stage_one(model, folder)
    if "baseline" in described.parts and model.baseline is None:
        raise InputError(f"{folder / 'baseline.safetensors'}: missing from the run folder; restore the file")
    if "language" in described.parts:
        projector, language = model.add_language()
        load_module(projector, folder / "projector.safetensors")
        if model.soft_label_tokens is not None:
            load_module(model.soft_label_tokens, folder / LABEL_TOKENS_FILE)
        if config.language.lora:
            language.load_adapter(folder / "adapter")
        verify_base(language, folder / "environment.json")
    if (folder / "fusion.json").is_file():
        model.fusion = Fusion.read(folder / "fusion.json")
    return model.eval()
