"""Which folder a run may write."""

from pathlib import Path
from typing import Any

from sugar.config import as_plain, parse_config, read_yaml
from sugar.errors import InputError
from sugar.training.config import RunConfig


def check_out(config: RunConfig, out: Path, resume: bool) -> None:
    """Refuse to mix two runs in one folder.

    Raises:
        InputError: it is there and ``resume`` is off, or it is of another config.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not resume:
        raise InputError(f"{out}: exists; continue that run with --resume or give another --out")
    saved, _ = parse_config(RunConfig, read_yaml(out / "config.yaml"), where=str(out / "config.yaml"))
    if (changed := _first_difference(as_plain(saved), as_plain(config))) is not None:
        raise InputError(
            f"{out}: was started with another {changed}; resume with the same config, or use another --out"
        )


def _first_difference(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> str | None:
    for key in old.keys() | new.keys():
        if old.get(key) != new.get(key):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                return _first_difference(old[key], new[key], f"{prefix}{key}.")
            return f"{prefix}{key} ({old.get(key)!r}, now {new.get(key)!r})"
    return None
