"""Which folder a run may write."""

from pathlib import Path

from sugar.config import as_plain, differences, parse_config, read_yaml
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
    for key, (old, new) in differences(as_plain(saved), as_plain(config)).items():
        raise InputError(
            f"{out}: was started with another {key} ({old!r}, now {new!r}); "
            "resume with the same config, or use another --out"
        )
