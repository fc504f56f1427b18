"""Knowledge packs: what is known in words about each class of one action list.

A pack is one YAML file per data set (docs/knowledge.md): for each class motion texts (what six body parts
do), visual texts (the scene that belongs to the action) and short descriptions (what the LLM learns to say).
"""

import importlib.resources
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml

from sugar.errors import InputError

FORMAT = 1
BODY_PARTS = ("head", "hand", "arm", "hip", "leg", "foot")

_PACK_KEYS = ("format", "name", "version", "language", "provenance", "classes")
_PROVENANCE_KEYS = ("author", "method", "date", "license")
# The C parser reads a pack of 120 classes in a tenth of the time; it is not in every build of PyYAML.
_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_FIELDS = ("motion", "visual", "descriptions")


@dataclass(frozen=True)
class Provenance:
    """Who wrote the texts, how, when, and under which license they may be used."""

    author: str
    method: str
    date: str
    license: str


@dataclass(frozen=True)
class ClassKnowledge:
    """The texts of one class; every text is stripped and stands on one line.

    ``motion`` has the six-part shape ``An action of NAME: head ...; hand ...; arm ...; hip ...; leg ...;
    foot ...``; ``motion_sentences`` say the motion in a small fixed vocabulary and may be empty.
    """

    name: str
    motion: tuple[str, ...]
    visual: tuple[str, ...]
    descriptions: tuple[str, ...]
    motion_sentences: tuple[str, ...] = ()


@dataclass(frozen=True)
class KnowledgePack:
    """The classes of one action list with their texts, in the order of the file."""

    name: str
    version: str
    language: str
    provenance: Provenance
    classes: tuple[ClassKnowledge, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of the pack."""
        return tuple(entry.name for entry in self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> ClassKnowledge:
        """The entry of class ``name``.

        Raises:
            InputError: the pack has no such class.
        """
        for entry in self.classes:
            if entry.name == name:
                return entry
        raise InputError(f"knowledge pack {self.name}: no class {name!r}; it has {', '.join(self.names)}")

    def subset(self, names: Iterable[str]) -> "KnowledgePack":
        """A pack of the named classes only, in the order asked for.

        Raises:
            InputError: a name is unknown, or asked for twice.
        """
        names = tuple(names)
        repeated = _first_duplicate(names)
        if repeated is not None:
            raise InputError(f"knowledge pack {self.name}: class {repeated!r} is asked for twice; name it once")
        entries = tuple(self[name] for name in names)
        return KnowledgePack(self.name, self.version, self.language, self.provenance, entries)


def shipped_packs() -> tuple[str, ...]:
    """Names of the packs that come with the package, sorted."""
    files = (entry.name for entry in _packs_folder().iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def load_pack(name_or_path: str | Path) -> KnowledgePack:
    """Read a knowledge pack: a shipped one by name (``nw_ucla``), any other by path (``my/pack.yaml``).

    Several, joined by ``+`` (``nw_ucla+utd_mhad``), make one pack; a class that more than one knows has all its texts.

    Raises:
        InputError: no such pack, or the file is not a valid pack; the line names file, class and field.
    """
    if "+" in str(name_or_path) and not Path(name_or_path).exists():
        return _join([load_pack(name) for name in str(name_or_path).split("+")])
    source = _find(name_or_path)
    where = str(name_or_path)
    try:
        text = source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 text at byte {error.start}; save the pack as UTF-8") from error
    except OSError as error:
        raise InputError(f"{where}: cannot be read ({error.strerror}); give a readable YAML file") from error
    return _parse_pack(_parse_yaml(text, where), where)


def _join(packs: list[KnowledgePack]) -> KnowledgePack:
    """One pack of all classes, in the order of the packs."""
    classes: dict[str, ClassKnowledge] = {}
    for entry in (entry for pack in packs for entry in pack.classes):
        known = classes.get(entry.name)
        if known is not None:
            entry = ClassKnowledge(
                name=entry.name,
                motion=known.motion + entry.motion,
                visual=known.visual + entry.visual,
                descriptions=known.descriptions + entry.descriptions,
                motion_sentences=known.motion_sentences + entry.motion_sentences,
            )
        classes[entry.name] = entry
    first = packs[0]
    return KnowledgePack(
        name="+".join(pack.name for pack in packs),
        version="+".join(pack.version for pack in packs),
        language=first.language,
        provenance=first.provenance,
        classes=tuple(classes.values()),
    )


def _packs_folder() -> Traversable:
    return importlib.resources.files("sugar.knowledge").joinpath("packs")


def _find(name_or_path: str | Path) -> Traversable:
    path = Path(name_or_path).expanduser()
    is_path = isinstance(name_or_path, Path) or path.suffix in (".yaml", ".yml") or len(path.parts) != 1
    if is_path:
        if not path.is_file():
            raise InputError(f"{name_or_path}: no such knowledge pack file; give a YAML file")
        return path
    if str(name_or_path) not in shipped_packs():
        known = ", ".join(shipped_packs())
        raise InputError(f"knowledge pack {name_or_path!r} is unknown: give one of {known}, or a path to a .yaml")
    return _packs_folder().joinpath(f"{name_or_path}.yaml")


def _parse_yaml(text: str, where: str) -> object:
    try:
        loader = _LOADER(text)
        root = loader.get_single_node()
        # Of two equal keys the loader keeps the last without a word, so a class's texts could vanish.
        _refuse_repeated_keys(root, where)
        return None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{where}:{at} is not valid YAML ({error.problem}); fix it there") from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{where}: is not valid YAML ({reason}); fix it") from error
    except RecursionError as error:
        raise InputError(f"{where}: is nested too deeply for a knowledge pack; flatten it") from error


def _refuse_repeated_keys(root: yaml.Node | None, where: str) -> None:
    waiting: list[yaml.Node] = [root] if root is not None else []
    seen: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            repeated = _first_duplicate([key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)])
            if repeated is not None:
                line = node.start_mark.line + 1
                raise InputError(f"{where}: key {repeated!r} stands twice in the entry at line {line}; keep one")
            waiting.extend(value for _, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)


def _parse_pack(data: object, where: str) -> KnowledgePack:
    if not isinstance(data, dict):
        raise InputError(f"{where}: must be a mapping with the keys {', '.join(_PACK_KEYS)}")
    if "format" in data and data["format"] != FORMAT:
        raise InputError(f"{where}: format {data['format']!r} is not readable by this version; it reads {FORMAT}")
    _check_keys(data, _PACK_KEYS, (), where)
    provenance = data["provenance"]
    if not isinstance(provenance, dict):
        raise InputError(f"{where}: provenance must be a mapping with the keys {', '.join(_PROVENANCE_KEYS)}")
    _check_keys(provenance, _PROVENANCE_KEYS, (), f"{where}: provenance")
    entries = data["classes"]
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{where}: classes must be a list with at least one class")
    classes = tuple(_parse_class(entry, number, where) for number, entry in enumerate(entries, start=1))
    repeated = _first_duplicate([entry.name.casefold() for entry in classes])
    if repeated is not None:
        raise InputError(f"{where}: class {repeated!r} stands twice; give each class one entry")
    return KnowledgePack(
        name=_text(data["name"], f"{where}: name"),
        version=_text(data["version"], f"{where}: version"),
        language=_text(data["language"], f"{where}: language"),
        provenance=Provenance(
            **{key: _text(provenance[key], f"{where}: provenance.{key}") for key in _PROVENANCE_KEYS}
        ),
        classes=classes,
    )


def _parse_class(entry: object, number: int, where: str) -> ClassKnowledge:
    place = f"{where}: class number {number}"
    if not isinstance(entry, dict):
        raise InputError(f"{place} must be a mapping with the keys name, {', '.join(_TEXT_FIELDS)}")
    if "name" not in entry:
        raise InputError(f"{place}: key 'name' is missing; add it")
    name = _text(entry["name"], f"{place}: name")
    place = f"{where}: class {name!r}"
    if "same_as" in entry:
        return _same_as(entry, name, place)
    _check_keys(entry, ("name", *_TEXT_FIELDS), ("motion_sentences",), place)
    return ClassKnowledge(
        name=name,
        motion=_texts(entry["motion"], f"{place}: motion"),
        visual=_texts(entry["visual"], f"{place}: visual"),
        descriptions=_texts(entry["descriptions"], f"{place}: descriptions"),
        motion_sentences=_texts(entry.get("motion_sentences", []), f"{place}: motion_sentences"),
    )


def _same_as(entry: dict, name: str, place: str) -> ClassKnowledge:
    """The class as another shipped pack knows it, under the same name."""
    _check_keys(entry, ("name", "same_as"), (), place)
    other = _text(entry["same_as"], f"{place}: same_as")
    if other not in shipped_packs():
        raise InputError(f"{place}: same_as must name a shipped pack ({', '.join(shipped_packs())}), not {other!r}")
    found = _shipped_entries(other).get(name)
    if found is None or "same_as" in found:
        raise InputError(f"{place}: pack {other!r} has no texts of its own for it")
    return _parse_class(found, 1, other)


@cache
def _shipped_entries(pack: str) -> dict[str, dict]:
    """The class entries of a shipped pack as they stand in its file, by name."""
    data = _parse_yaml(_find(pack).read_text(encoding="utf-8"), pack)
    return {entry["name"]: entry for entry in data["classes"]}  # type: ignore[index]


def _check_keys(data: dict, required: tuple[str, ...], optional: tuple[str, ...], place: str) -> None:
    for key in required:
        if key not in data:
            raise InputError(f"{place}: key {key!r} is missing; add it")
    for key in data:
        if key not in required and key not in optional:
            raise InputError(f"{place}: unknown key {key!r}; known are {', '.join((*required, *optional))}")


def _texts(value: object, place: str) -> tuple[str, ...]:
    """A list of texts; the list may be empty (``check_pack`` counts), a text may not."""
    if not isinstance(value, list):
        raise InputError(f"{place} must be a list of texts, not {_kind(value)}")
    return tuple(_text(text, f"{place}[{number}]") for number, text in enumerate(value, start=1))


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{place} must be text, not {_kind(value)}; put it in quotes")
    text = " ".join(value.split())
    if not text:
        raise InputError(f"{place} is empty; write the text or take the entry out")
    return text


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing", bool: "a yes/no value"}
    return names.get(type(value), f"{value!r}")


def _first_duplicate(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None
