"""Class names of the known data sets, in the order of their labels; one text file each."""

import importlib.resources
from pathlib import Path

from sugar.errors import InputError


def class_names(name_or_path: str | Path) -> tuple[str, ...]:
    """The classes of a known data set by its name (``ntu120``), or of one's own by a text file, one name a line.

    Raises:
        InputError: neither a known name nor a readable file of names that differ from each other.
    """
    folder = importlib.resources.files("sugar.datasets").joinpath("classes")
    known = sorted(entry.name.removesuffix(".txt") for entry in folder.iterdir())
    path = Path(name_or_path)
    try:
        if str(name_or_path) in known:
            text = folder.joinpath(f"{name_or_path}.txt").read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"classes {str(name_or_path)!r}: neither a text file of names nor one of {', '.join(known)}"
        ) from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) != len(names):
        raise InputError(f"classes {str(name_or_path)!r}: it must hold names, one a line, each once")
    return names
