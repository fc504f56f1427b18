"""Stage 1 from where another run ended: its encoder has seen more people and actions than a small data set holds.

What is taken over knows no classes: the encoder, the maps into the space of the texts and the claims about the joints.
"""

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sugar.errors import InputError
from sugar.knowledge.embed import TextEncoderConfig
from sugar.models.run_folder import load_tensors, read_description, read_model_config
from sugar.models.sugar import Sugar
from sugar.training.guard import UnseenGuard, UnseenLeak

_OWN = ("log_temperature", "classifier.", "rarity")
"""What a new run learns or measures for itself."""


def take_pretrained(model: Sugar, folder: Path, guard: UnseenGuard) -> dict[str, Any]:
    """Give ``model`` the encoder, projections and motion head of the run in ``folder``.

    The motion head is left at random where the two runs' heads live in different spaces, or one run has none.

    Returns:
        what the new run's record says of it: folder, classes, hash of the encoder.

    Raises:
        InputError: no finished run there; another encoder, layout or text encoder than the new run's; a class that
            the new run must not see.
    """
    described, config = read_description(folder), read_model_config(folder)
    try:
        guard.check_names("its classes", described.classes)
    except UnseenLeak as leak:
        raise InputError(f"pretrained {folder}: {leak}; give a run that was trained without it") from None
    for what, theirs, ours in (
        ("encoder", config.encoder, model.config.encoder),
        ("text encoder", _named(config.text_encoder), _named(model.config.text_encoder)),
        ("joint layout", described.layout, model.layout),
    ):
        if theirs != ours:
            raise InputError(f"pretrained {folder}: its {what} is not this run's; make them the same")
    parts: list[tuple[nn.Module, str]] = [
        (model.encoder, "encoder.safetensors"),
        (model.alignment, "projection.safetensors"),
    ]
    if model.motion is not None and "motion" in described.parts and config.motion.space == model.config.motion.space:
        parts.append((model.motion, "motion.safetensors"))
    for module, file in parts:
        _take(module, folder / file)
    return where_it_began(folder, len(described.classes))


def where_it_began(folder: Path, classes: int) -> dict[str, Any]:
    """What a run's record says of the run in ``folder`` whose encoder it took."""
    digest = hashlib.sha256((folder / "encoder.safetensors").read_bytes()).hexdigest()
    return {"run": str(folder), "classes": classes, "encoder_sha256": digest}


def _named(encoder: TextEncoderConfig) -> tuple[str, str | None]:
    return encoder.name, encoder.revision


def _take(module: nn.Module, path: Path) -> None:
    def taken(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(_OWN)}

    theirs, ours = taken(load_tensors(path)), taken(module.state_dict())
    if {name: tensor.shape for name, tensor in theirs.items()} != {name: t.shape for name, t in ours.items()}:
        raise InputError(f"{path}: damaged, or of an older version of sugar: its tensors are not this run's")
    module.load_state_dict(theirs, strict=False)
