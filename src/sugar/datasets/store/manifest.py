"""What a store says of itself."""

import json
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.skeleton.layout import JointLayout

FORMAT_VERSION = 1
MAX_TEXT = 4096
"""Longest name of a clip or a class; as long as a path can be."""
_MAX_SHOWN = 1000


@dataclass(frozen=True)
class Rejected:
    """A file that holds no valid clip, and why; both in one line that can be written down, whatever they quote."""

    file: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", _plain(self.file))
        object.__setattr__(self, "reason", _plain(self.reason))


def check_text(text: str, what: str) -> None:
    """Refuse a name that no file can hold or no terminal should print.

    Raises:
        InputError: it is too long, or has a control character or half a surrogate pair in it.
    """
    if len(text) > MAX_TEXT:
        raise InputError(f"{what} has {len(text):,} characters, more than {MAX_TEXT:,}")
    if not _printable(text):
        raise InputError(f"{what} {_plain(text)!r} holds a character that cannot be printed")


def _plain(text: str) -> str:
    if _printable(text) and len(text) <= _MAX_SHOWN:
        return text
    text = text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN // 2]} ... {text[-_MAX_SHOWN // 2 :]}"
    return "".join(c if _printable(c) else " " if c.isspace() else ascii(c)[1:-1] for c in text)


def _printable(text: str) -> bool:
    """Whether a terminal shows it in one line and UTF-8 can hold it."""
    return text.isprintable() or not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself; ``manifest.json``.

    Args:
        format_version: version of this format; a newer one cannot be read.
        name: name of the data set.
        layout: joint layout of every clip.
        classes: class names; labels are indices into them.
        clips, frames: how many there are.
        source: where the data came from.
        hash: SHA-256 over ids, labels and joints in order.
        rejected: files that held no valid clip.
    """

    format_version: int
    name: str
    layout: JointLayout
    classes: tuple[str, ...]
    clips: int
    frames: int
    source: str
    hash: str
    rejected: tuple[Rejected, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The manifest as plain JSON data."""
        rejected = [{"file": r.file, "reason": r.reason} for r in self.rejected]
        return vars(self) | {
            "source": _plain(self.source),
            "layout": self.layout.to_dict(),
            "classes": list(self.classes),
            "rejected": rejected,
        }


def read_manifest(path: Path) -> Manifest:
    """The manifest of the store in folder ``path``.

    Raises:
        InputError: no store there, a newer version, or a damaged file.
    """
    file = path / "manifest.json"
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"store {path}: there is no store ({file.name} is missing)"
        raise InputError(f"{what}; sugar data import makes one") from None
    except (OSError, ValueError) as error:
        raise InputError(f"store {path}: {file.name} cannot be read ({error})") from None
    if not isinstance(data, dict) or not isinstance(data.get("format_version"), int):
        raise InputError(f"store {path}: {file.name} is not the manifest of a store")
    if data["format_version"] > FORMAT_VERSION:
        raise InputError(
            f"store {path}: its format version {data['format_version']} is newer than {FORMAT_VERSION}, "
            "the newest this sugar reads; update sugar"
        )
    try:
        return Manifest(
            format_version=data["format_version"],
            name=str(data["name"]),
            layout=JointLayout.from_dict(data["layout"], where=f"store {path}"),
            classes=tuple(str(c) for c in data["classes"]),
            clips=int(data["clips"]),
            frames=int(data["frames"]),
            source=str(data["source"]),
            hash=str(data["hash"]),
            rejected=tuple(Rejected(str(r["file"]), str(r["reason"])) for r in data["rejected"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"store {path}: {file.name} lacks or garbles a field ({error})") from None
