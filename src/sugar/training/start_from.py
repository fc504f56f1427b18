"""Other stages on the stage 1 of another run, taken over whole: a run of the same classes and clips."""

from pathlib import Path
from typing import Any

from sugar.config import as_plain, parse_config, read_yaml
from sugar.errors import InputError
from sugar.models.run_folder import load_stage_one, read_description
from sugar.models.sugar import Sugar
from sugar.training.config import DataConfig, RunConfig
from sugar.training.environment import read_environment
from sugar.training.guard import UnseenGuard, UnseenLeak
from sugar.training.pretrained import where_it_began

_DIVIDES = ("protocol", "validation", "exclude", "relabel")


def take_stage_one(
    model: Sugar, folder: Path, guard: UnseenGuard, *, data: DataConfig, store_hash: str, clips: str
) -> dict[str, Any]:
    """Give ``model`` encoder, alignment, motion head and baseline of the run in ``folder``.

    Args:
        data, store_hash, clips: what the new run trains on, the last as `contents.of_sides` says it.

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
    if (theirs := record.get("clips_digest")) == clips:  # whatever the settings are called that led there
        return
    path = folder / "config.yaml"
    config, _ = parse_config(RunConfig, read_yaml(path), where=str(path))
    before, now = as_plain(config.data), as_plain(data)
    for key in _DIVIDES:
        if before[key] != now[key]:
            raise InputError(
                f"start_from {folder}: its data.{key} is {before[key]!r}, this run's {now[key]!r}; make them the same"
            )
    if theirs is not None:  # earlier runs do not say
        raise InputError(
            f"start_from {folder}: the files of its data.protocol, exclude or relabel have changed since, and other "
            "clips train now; give the files as they were or train it again"
        )
