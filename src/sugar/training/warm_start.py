"""Stage 1 taken over from another run: whole (`start_from`), or as a beginning (`pretrained`).

`start_from` trains other stages on the finished stage 1 of a run of the same classes and clips. `pretrained` starts
stage 1 from the encoder of a run of other classes. It takes nothing that belongs to classes: the encoder, the maps into
the space of the texts and the claims about the joints.
"""

import hashlib
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sugar.config import as_plain, parse_config, read_yaml
from sugar.errors import InputError
from sugar.knowledge.embed import TextEncoderConfig
from sugar.models.run_folder import load_stage_one, load_tensors, read_description, read_model_config
from sugar.models.sugar import Sugar
from sugar.training.config import DataConfig, RunConfig
from sugar.training.environment import read_environment
from sugar.training.guard import UnseenGuard, UnseenLeak

_SPLIT_KEYS = ("protocol", "validation", "exclude", "relabel")


def take_stage_one(
    model: Sugar, folder: Path, guard: UnseenGuard, *, data: DataConfig, store_hash: str, clips: str
) -> dict[str, Any]:
    """Give ``model`` encoder, alignment, motion head and baseline of the run in ``folder``.

    Args:
        data, store_hash, clips: what the new run trains on, the last as `hash_of_clips` gives it.

    Returns:
        what the new run's record says of it: folder, classes, hash of the encoder.

    Raises:
        InputError: no finished run there; other classes, joints or clips than the new run's; a file that does not fit.
    """
    _check_classes(model, folder, guard)
    _check_clips(folder, data, store_hash, clips)
    load_stage_one(model, folder)
    return where_it_began(folder, len(model.classes))


def _check_classes(model: Sugar, folder: Path, guard: UnseenGuard) -> None:
    described = read_description(folder)
    try:
        guard.check_names("its classes", described.classes)
    except UnseenLeak as leak:
        raise InputError(f"start_from {folder}: {leak}; give a run that was trained without it") from None
    if described.classes != model.classes:
        raise InputError(
            f"start_from {folder}: {_difference(described.classes, model.classes)}; the classes and their order must "
            "be this run's (pretrained takes the encoder of a run of other classes)"
        )
    if described.layout != model.layout:
        raise InputError(f"start_from {folder}: its joint layout is not this run's; import the data with one layout")
    if model.motion is not None and "motion" not in described.parts:
        raise InputError(
            f"start_from {folder}: has no trained motion head; give a run with stage alignment, or set "
            "model.motion.weight 0"
        )


def _difference(theirs: tuple[str, ...], ours: tuple[str, ...]) -> str:
    for name in theirs:
        if name not in ours:
            return f"its class {name!r} is none of this run's"
    for name in ours:
        if name not in theirs:
            return f"this run's class {name!r} is none of its"
    return "its classes are this run's in another order"


def _check_clips(folder: Path, data: DataConfig, store_hash: str, clips: str) -> None:
    """Clips that trained there must not validate here, nor the other way round."""
    record = read_environment(folder)
    if record.get("store_hash") != store_hash:
        raise InputError(f"start_from {folder}: it was trained on another store than {data.store}; give it the same")
    if (theirs := record.get("clips_fingerprint")) == clips:  # whatever the settings are called that led there
        return
    path = folder / "config.yaml"
    config, _ = parse_config(RunConfig, read_yaml(path), where=str(path))
    before, now = as_plain(config.data), as_plain(data)
    for key in _SPLIT_KEYS:
        if before[key] != now[key]:
            raise InputError(
                f"start_from {folder}: its data.{key} is {before[key]!r}, this run's {now[key]!r}; make them the same"
            )
    if theirs is not None:  # earlier runs do not say
        raise InputError(
            f"start_from {folder}: the files of its data.protocol, exclude or relabel have changed since, and other "
            "clips train now; give the files as they were or train it again"
        )


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
