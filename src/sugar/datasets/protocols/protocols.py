"""Evaluation protocols: which clips train, which validate, which test.

Protocols are data: one YAML file a data set in `protocol_files`, and users' own. `Protocol` says what may stand there.
"""

import re
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sugar.datasets.class_names import class_names
from sugar.datasets.protocols.validation import Mask, ValidationConfig, held_out_clips
from sugar.datasets.store.store import COLUMNS, Store
from sugar.errors import InputError

__all__ = ["Protocol", "Split", "ValidationConfig", "describe_split", "get_protocol", "protocol_names", "split"]

Indices = npt.NDArray[np.int64]

_FOLDER = Path(__file__).with_name("shipped")
_GENERALIZED = "-generalized"
_LARGEST_RANGE = 100_000


@dataclass(frozen=True)
class Protocol:
    """A split by one column of the store or by lists of clips; for zero-shot, classes that only test.

    Args:
        name: its name on the command line.
        column: subject, camera, setup or trial; None with lists of clips, or where only `unseen` tells the sides.
        train: values of the training side.
        test: values of the test side; None is every value that does not train.
        train_clips, test_clips: clip ids of the sides in place of a column; no test clips are all that do not train.
        exclude: clip ids on neither side (``except`` in YAML).
        classes: the classes that take part, by name or 0-based index; none named are all.
        unseen: the classes that only test, likewise; the others only train.
        generalized: the test side keeps the seen classes too.
        lists: names of classes that are asked together, where not all are (combined stores: those of each).
        class_list: what indices count in, a name or path for `class_names`; empty is the store's own order.
        dataset: which data set it is for.
        source: where it comes from.

    Raises:
        InputError: fields that contradict each other.
    """

    name: str
    column: str | None = None
    train: tuple[int, ...] = ()
    test: tuple[int, ...] | None = None
    train_clips: tuple[str, ...] = ()
    test_clips: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    classes: tuple[int | str, ...] = ()
    unseen: tuple[int | str, ...] = ()
    generalized: bool = False
    lists: tuple[tuple[str, ...], ...] = ()
    class_list: str = ""
    dataset: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        wrong = None
        if self.column is not None and self.column not in COLUMNS:
            wrong = f"its column is one of {', '.join(COLUMNS)}, not {self.column!r}"
        elif bool(self.train) != (self.column is not None) or (self.test is not None and not self.test):
            wrong = "a column needs values on the training side and values need a column"
        elif set(self.train) & set(self.test or ()) or set(self.train_clips) & set(self.test_clips):
            wrong = "its training side shares a value with its test side"
        elif self.column and (self.train_clips or self.test_clips):
            wrong = "give a column or lists of clips, not both"
        elif not (self.column or self.train_clips) and (self.generalized or not self.unseen):
            wrong = "give what trains: a column with values or train_clips (or, for zero-shot, unseen classes)"
        elif self.generalized and not self.unseen:
            wrong = "generalized needs unseen classes"
        if wrong:
            raise InputError(f"protocol {self.name!r}: {wrong}")


def get_protocol(name_or_path: str | Path) -> Protocol:
    """A shipped protocol by name, one's own by the path of a YAML file or as ``COLUMN:TRAIN[/TEST]`` (subject:1-5/6).

    A zero-shot protocol's name with ``-generalized`` at its end tests all classes of the test side.

    Raises:
        InputError: there is none of this name, the file is none, or the form is not kept.
    """
    name = str(name_or_path)
    if Path(name).suffix in (".yaml", ".yml"):
        from sugar.config import read_yaml

        return _from_entry(read_yaml(Path(name)), Path(name).stem, f"protocol file {name}")
    if (found := _shipped(name)) is not None:
        return found
    if name.endswith(_GENERALIZED) and (found := _shipped(name.removesuffix(_GENERALIZED))) is not None:
        return replace(found, name=name, generalized=True)
    column, colon, values = name.partition(":")
    train, slash, test = values.partition("/")
    if colon and column in COLUMNS and train:
        return Protocol(name, column, _numbers(train, name), _numbers(test, name) if slash else None)
    known = ", ".join(protocol_names())
    raise InputError(
        f"unknown protocol {name!r}: use a YAML file, COLUMN:TRAIN[/TEST] such as subject:1-3/4, or {known}"
    )


def protocol_names() -> list[str]:
    """Names of the shipped protocols."""
    from sugar.config import read_yaml

    return [name for file in sorted(_FOLDER.glob("*.yaml")) for name in read_yaml(file)["protocols"]]


def _shipped(name: str) -> Protocol | None:
    """The shipped protocol of this name; a file holds those that begin with its own name."""
    from sugar.config import read_yaml

    for file in sorted(_FOLDER.glob("*.yaml")):
        if name.startswith(file.stem):
            content = read_yaml(file)
            if entry := content["protocols"].get(name):
                common = {key: content[key] for key in ("dataset", "class_list", "source") if key in content}
                return _from_entry(common | entry, name, f"protocol file {file.name}")
    return None


_YAML_KEYS = {"except": "exclude"}


def _from_entry(entry: dict[str, Any], name: str, where: str) -> Protocol:
    """A protocol from its YAML mapping; ``base`` names one that it changes."""
    entry = {_YAML_KEYS.get(key, key): value for key, value in entry.items()}
    name = str(entry.pop("name", name))
    given = entry.pop("base", None)
    base = None if given is None else _shipped(str(given))
    if given is not None and base is None:
        raise InputError(f"{where}: protocol {name!r}: a base must be a shipped protocol, not {given!r}")
    types = {field.name: field for field in fields(Protocol)}
    if unknown := sorted(set(map(str, entry)) - set(types)):
        known = ", ".join(sorted({*types, "base", "except"} - {"exclude"}))
        raise InputError(f"{where}: protocol {name!r} has no field {unknown[0]!r}; there are {known}")
    values: dict[str, Any] = {}
    for key, value in entry.items():
        if key in ("train", "test"):
            values[key] = _numbers(value, f"{where}: {name}: {key}")
        elif key in ("classes", "unseen"):
            values[key] = _references(value, f"{where}: {name}: {key}")
        elif key == "lists":
            if not isinstance(value, dict):
                raise InputError(f"{where}: protocol {name!r}: lists must be class names by the list's name")
            values[key] = tuple(
                _texts(names, f"{where}: {name}: lists: {of}", "class names") for of, names in value.items()
            )
        elif isinstance(types[key].default, tuple):
            values[key] = _texts(value, f"{where}: {name}: {key}")
        elif types[key].default is MISSING or not isinstance(value, bool if key == "generalized" else str):
            raise InputError(f"{where}: protocol {name!r}: {key} cannot be {value!r}")
        else:
            values[key] = value
    return replace(base, name=name, **values) if base else Protocol(name, **values)


def _numbers(value: Any, where: str) -> tuple[int, ...]:
    """Numbers of ``3``, ``"1,4-6"`` or a list of such."""
    found: list[int] = []
    for part in value if isinstance(value, list) else str(value).split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", str(part).strip())
        if not match or isinstance(part, bool):
            raise InputError(f"protocol {where!r}: {part!r} is neither a number nor a range such as 13-19")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + _LARGEST_RANGE:
            raise InputError(f"protocol {where!r}: the range {part!r} is empty or too large")
        found += range(first, last + 1)
    return tuple(dict.fromkeys(found))


def _references(value: Any, where: str) -> tuple[int | str, ...]:
    """Classes: numbers and ranges as they are, every other text a name."""
    parts = value if isinstance(value, list) else [value]
    found: list[int | str] = []
    for part in parts:
        if isinstance(part, int) or (isinstance(part, str) and re.fullmatch(r"[\d,\s-]+", part)):
            found += _numbers(part, where)
        elif isinstance(part, str):
            found.append(part)
        else:
            raise InputError(f"protocol {where!r}: {part!r} is neither the name nor the number of a class")
    return tuple(found)


def _texts(value: Any, where: str, what: str = "clip ids") -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise InputError(f"protocol {where!r}: give a list of {what}")
    return tuple(value)


@dataclass(frozen=True, eq=False)
class Split:
    """Clip indices of the three sides, each sorted; no clip is in two. Classes in the store's order.

    Args:
        train, validation, test: the sides; training and validation hold seen classes only.
        seen: names of the classes that may train.
        unseen: names of those that only test; none where the protocol is not zero-shot.
    """

    train: Indices
    validation: Indices
    test: Indices
    seen: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def split(store: Store, protocol: Protocol, validation: ValidationConfig) -> Split:
    """Split the labeled clips of a store; clips without a label and with other values are in no side.

    Raises:
        InputError: the store lacks the column or a class, a side is empty, or the validation values do not train.
    """
    if not (store.labels >= 0).any():
        raise InputError(f"store {store.path}: none of its clips has a label; import the data with labels")
    takes_part, seen, unseen = _classes(store, protocol)
    takes_part &= ~_listed(store, protocol.exclude)
    trains, tests = _sides(store, protocol, takes_part)
    if unseen:
        new = np.isin(store.labels, [store.classes.index(name) for name in unseen])
        trains &= ~new
        tests &= new | protocol.generalized
    for side, chosen in (("training", trains), ("test", tests)):
        if not chosen.any():
            raise InputError(f"store {store.path}: no clip on the {side} side of protocol {protocol.name}")
    held_out = held_out_clips(store, trains, validation)
    if not (trains & ~held_out).any():
        raise InputError("validation: it would hold out every training clip; hold out less")
    return Split(
        train=np.flatnonzero(trains & ~held_out),
        validation=np.flatnonzero(held_out),
        test=np.flatnonzero(tests),
        seen=seen,
        unseen=unseen,
    )


def _classes(store: Store, protocol: Protocol) -> tuple[Mask, tuple[str, ...], tuple[str, ...]]:
    """Clips of the classes that take part, and the names of the seen and of the unseen ones."""
    names = store.classes if not protocol.class_list else class_names(protocol.class_list)

    def resolve(references: tuple[int | str, ...]) -> set[str]:
        found = set()
        for reference in references:
            if isinstance(reference, int) and reference >= len(names):
                raise InputError(f"protocol {protocol.name!r}: there is no class {reference}, only 0..{len(names) - 1}")
            name = names[reference] if isinstance(reference, int) else reference
            if name not in store.classes:
                raise InputError(f"store {store.path}: it has no class {name!r}, which protocol {protocol.name} names")
            found.add(name)
        return found

    part = resolve(protocol.classes) if protocol.classes else set(store.classes)
    unseen = resolve(protocol.unseen)
    if unseen - part:
        raise InputError(f"protocol {protocol.name!r}: the unseen class {min(unseen - part)!r} does not take part")
    takes_part = np.isin(store.labels, [i for i, name in enumerate(store.classes) if name in part])
    seen = tuple(name for name in store.classes if name in part - unseen)
    return takes_part, seen, tuple(name for name in store.classes if name in unseen)


def _sides(store: Store, protocol: Protocol, takes_part: Mask) -> tuple[Mask, Mask]:
    if protocol.column is None:
        trains = takes_part & _listed(store, protocol.train_clips)
        if not protocol.train_clips:
            return takes_part.copy(), takes_part.copy()  # the unseen classes tell them apart
        return trains, takes_part & (_listed(store, protocol.test_clips) if protocol.test_clips else ~trains)
    values = store.column(protocol.column)
    if (values[takes_part] < 0).any():
        missing = store.clip_ids[int(np.flatnonzero(takes_part & (values < 0))[0])]
        raise InputError(
            f"store {store.path}: clip {missing!r} has no {protocol.column}, which protocol {protocol.name} needs"
        )
    trains = np.isin(values, protocol.train)
    tests = ~trains if protocol.test is None else np.isin(values, protocol.test)
    return takes_part & trains, takes_part & tests


def _listed(store: Store, clip_ids: tuple[str, ...]) -> Mask:
    wanted = set(clip_ids)
    return np.array([clip_id in wanted for clip_id in store.clip_ids], dtype=bool)


def describe_split(store: Store, protocol: Protocol) -> dict[str, Any]:
    """What a protocol makes of a store, as plain data: clips, classes, subjects and cameras of either side.

    Raises:
        InputError: as `split`.
    """
    sides = split(store, protocol, ValidationConfig(by="none"))

    def side(indices: Indices) -> dict[str, Any]:
        numbers = {f"{name}s": np.unique(store.column(name)[indices]) for name in ("subject", "camera")}
        return {
            "clips": len(indices),
            "classes": len(np.unique(store.labels[indices])),
            **{name: [int(value) for value in values if value >= 0] for name, values in numbers.items()},
        }

    return {
        "protocol": protocol.name,
        "source": protocol.source,
        "seen_classes": list(sides.seen),
        "unseen_classes": list(sides.unseen),
        "train": side(sides.train),
        "test": side(sides.test),
    }
