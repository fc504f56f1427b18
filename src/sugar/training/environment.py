"""What a run was made with, so that its numbers can be made again."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from sugar.errors import InputError
from sugar.files import write_text

PACKAGES = ("sugar", "torch", "transformers", "peft", "accelerate", "numpy", "safetensors")


def environment(*, seed: int, store_hash: str | None = None) -> dict[str, Any]:
    """Versions, machine, seed, data hash, commit of the source (None if not a checkout) and the time (UTC).

    The caller adds what only it knows, such as the LLM's id, revision and weight hashes.
    """
    cuda = torch.cuda.is_available()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "store_hash": store_hash,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "system": platform.platform(),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())] if cuda else [],
        "cuda": torch.version.cuda if cuda else None,
    }


def write_environment(folder: Path, record: dict[str, Any]) -> Path:
    """Write ``record`` to ``environment.json`` in ``folder``."""
    path = folder / "environment.json"
    write_text(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return path


def read_environment(run: Path) -> dict[str, Any]:
    """What a run was trained with.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = run / "environment.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: missing from the run folder; restore the file or train again") from None
    except ValueError as error:
        raise InputError(f"{path}: damaged ({error}); restore the file or train again") from None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The CPU's model, or its architecture where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Commit of this source, marked ``-dirty`` if tracked files were changed."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        # An installed copy may lie inside somebody else's checkout: only a tracked file speaks for its
        # commit.
        git("ls-files", "--error-unmatch", here.name)
        commit = git("rev-parse", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return None
