"""The text bank: every text of an action list as a vector, with its class and kind."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from sugar.datasets.store.manifest import check_text
from sugar.errors import InputError
from sugar.files import atomic_folder
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder, embed_texts
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack

Kind = Literal["name", "motion", "visual", "description", "motion_sentence"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MAX_NAME = 200
"""Longest name of a class, which an LLM has to read among many."""
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class TextBank:
    """``N`` texts of ``K`` classes: the positives and negatives of the contrast, the candidates of zero-shot.

    ``embeddings`` float32 ``[N, d]`` of unit norm; ``classes`` long ``[N]``, indices into ``names`` (``K``);
    ``kinds`` and ``texts`` have ``N`` entries; ``encoder`` and ``fingerprint`` say what made the vectors.
    """

    embeddings: Tensor
    classes: Tensor
    kinds: tuple[Kind, ...]
    texts: tuple[str, ...]
    names: tuple[str, ...]
    encoder: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.texts)

    def of_kind(self, *kinds: Kind) -> "TextBank":
        """Only the texts of these kinds; the class list stays, so a class may be left without a text."""
        return self._rows([row for row, kind in enumerate(self.kinds) if kind in kinds], self.names)

    def subset(self, names: Sequence[str]) -> "TextBank":
        """Only the texts of these classes, which take the indices ``0..len(names)-1`` in the order given.

        Raises:
            InputError: a name is not in the bank, or is given twice.
        """
        _check_names(names)
        for name in names:
            if name not in self.names:
                raise InputError(f"text bank: no class {name!r}; it has {', '.join(self.names)}")
        wanted = [self.names.index(name) for name in names]
        rows = [row for index in wanted for row in (self.classes == index).nonzero().flatten().tolist()]
        return self._rows(rows, tuple(names))

    def replaced_by(self, other: "TextBank") -> "TextBank":
        """This bank with the texts of the classes that ``other`` has too taken from there, class by class.

        Raises:
            InputError: the two were embedded by different text encoders.
        """
        if other.fingerprint != self.fingerprint:
            raise InputError(
                f"text bank: made by {other.encoder}, the new texts by {self.encoder}; use the same text encoder"
            )
        device = self.embeddings.device
        rows = [
            (bank, row, index)
            for index, name in enumerate(self.names)
            for bank in [other if name in other.names else self]
            for row in (bank.classes == bank.names.index(name)).nonzero().flatten().tolist()
        ]
        return TextBank(
            torch.stack([bank.embeddings[row].to(device) for bank, row, _ in rows]),
            torch.tensor([index for _, _, index in rows], device=device),
            tuple(bank.kinds[row] for bank, row, _ in rows),
            tuple(bank.texts[row] for bank, row, _ in rows),
            self.names,
            self.encoder,
            self.fingerprint,
        )

    def prototypes(self) -> Tensor:
        """One vector a class: the mean of its texts, unit norm, ``[K, d]``.

        Raises:
            InputError: a class has no text.
        """
        counts = torch.bincount(self.classes, minlength=len(self.names))
        if not counts.all():
            bare = self.names[int(counts.argmin())]
            raise InputError(f"text bank: class {bare!r} has no text of the kinds asked for")
        sums = torch.zeros(len(self.names), self.embeddings.shape[1], device=self.embeddings.device)
        return normalize(sums.index_add(0, self.classes, self.embeddings), dim=-1)

    def to(self, device: str | torch.device) -> "TextBank":
        """The same bank with its tensors on ``device``."""
        return TextBank(
            self.embeddings.to(device),
            self.classes.to(device),
            self.kinds,
            self.texts,
            self.names,
            self.encoder,
            self.fingerprint,
        )

    def save(self, folder: Path) -> None:
        """Write ``embeddings.safetensors`` and ``texts.json`` into ``folder``, in place of any former one."""
        description = {
            "format": _FORMAT,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "names": self.names,
            "kinds": self.kinds,
            "texts": self.texts,
        }
        tensors = {
            "embeddings": self.embeddings.cpu().contiguous(),
            "classes": self.classes.cpu().contiguous(),
        }
        with atomic_folder(folder) as temporary:
            save_file(tensors, temporary / "embeddings.safetensors")
            text = json.dumps(description, indent=1, ensure_ascii=False)
            (temporary / "texts.json").write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> "TextBank":
        """Read what ``save`` wrote.

        Raises:
            InputError: a file is missing or damaged, or was written by a newer version.
        """
        folder = Path(folder)
        for file in ("embeddings.safetensors", "texts.json"):
            if not (folder / file).is_file():
                raise InputError(f"{folder / file}: missing; build the text bank again")
        try:
            tensors = load_file(folder / "embeddings.safetensors")
            data = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
            version = data["format"]
            if version != _FORMAT:
                raise InputError(f"{folder / 'texts.json'}: format {version!r} is not readable; this reads {_FORMAT}")
            bank = TextBank(
                tensors["embeddings"],
                tensors["classes"],
                tuple(data["kinds"]),
                tuple(data["texts"]),
                tuple(data["names"]),
                data["encoder"],
                data["fingerprint"],
            )
        except (
            safetensors.SafetensorError,
            json.JSONDecodeError,
            UnicodeDecodeError,
            KeyError,
            TypeError,
        ) as error:
            raise InputError(f"{folder}: damaged text bank ({error}); build it again") from error
        count = len(bank.texts)
        fits = bank.embeddings.ndim == 2 and len(bank.embeddings) == len(bank.classes) == len(bank.kinds) == count
        if not fits or count == 0 or not 0 <= int(bank.classes.min()) <= int(bank.classes.max()) < len(bank.names):
            raise InputError(f"{folder}: texts and embeddings do not fit each other; build the text bank again")
        return bank

    def _rows(self, rows: list[int], names: tuple[str, ...]) -> "TextBank":
        picked = torch.tensor(rows, dtype=torch.long, device=self.classes.device)
        new_index = torch.tensor(
            [names.index(name) if name in names else -1 for name in self.names], device=self.classes.device
        )
        return TextBank(
            self.embeddings[picked],
            new_index[self.classes[picked]],
            tuple(self.kinds[row] for row in rows),
            tuple(self.texts[row] for row in rows),
            names,
            self.encoder,
            self.fingerprint,
        )


def name_only(names: Sequence[str]) -> list[str]:
    """The text of a class about which only its name is known."""
    return [f"An action of {name}" for name in names]


def build_bank(
    pack: KnowledgePack | None,
    names: Sequence[str],
    encoder: TextEncoder,
    kinds: Sequence[Kind] = ("motion", "visual"),
    cache: EmbeddingCache | None = None,
) -> TextBank:
    """Embed the texts of ``kinds`` of every class in ``names``, class by class in that order.

    A class that the pack does not have, or has without a text of these kinds, gets its ``name_only`` text, of
    kind ``name``; so does every class without a pack (``None``).

    Raises:
        InputError: no name, a name twice, empty or too long, or an unknown kind.
    """
    _check_names(names)
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InputError(f"text bank: kinds must be some of {', '.join(KINDS)}, not {', '.join(unknown) or 'none'}")
    rows: list[tuple[int, Kind, str]] = []
    for index, name in enumerate(names):
        entry = pack[name] if pack is not None and name in pack else None
        known = [(kind, text) for kind in kinds for text in _texts_of(name, entry, kind)]
        rows += [(index, kind, text) for kind, text in known or [("name", name_only([name])[0])]]
    texts = tuple(text for _, _, text in rows)
    return TextBank(
        embeddings=embed_texts(texts, encoder, cache),
        classes=torch.tensor([index for index, _, _ in rows]),
        kinds=tuple(kind for _, kind, _ in rows),
        texts=texts,
        names=tuple(names),
        encoder=encoder.name,
        fingerprint=encoder.fingerprint,
    )


def _texts_of(name: str, entry: ClassKnowledge | None, kind: Kind) -> Sequence[str]:
    if kind == "name":
        return name_only([name])
    if entry is None:
        return ()
    fields: dict[Kind, tuple[str, ...]] = {
        "motion": entry.motion,
        "visual": entry.visual,
        "description": entry.descriptions,
        "motion_sentence": entry.motion_sentences,
    }
    return fields[kind]


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise InputError("class names: the list is empty; give at least one name")
    for number, name in enumerate(names):
        if not name.strip():
            raise InputError(f"class names: entry {number + 1} is empty; write the name")
        if name in names[:number]:
            raise InputError(f"class names: {name!r} stands twice; give each once")
        if len(name) > MAX_NAME:
            raise InputError(f"class names: {name[:40]!r}... has {len(name):,} characters, more than {MAX_NAME}")
        check_text(name, f"class names: entry {number + 1}")
