"""Configuration as typed data: dataclasses from YAML and flags, and back to YAML.

A wrong key or value is an InputError that names it, so every entry point reads its settings here.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from sugar.errors import InputError, one_line
from sugar.files import write_text

set_parsing_settings(docstring_parse_attribute_docstrings=True)

Config = TypeVar("Config")


def add_config(parser: ArgumentParser, kind: type) -> None:
    """Give ``parser`` the fields of the dataclass ``kind`` as flags (nested ones with dots)."""
    parser.add_class_arguments(kind, None)


def parse_config(
    kind: type[Config],
    values: Mapping[str, Any],
    *,
    where: str,
    parser: ArgumentParser | None = None,
    arguments: Sequence[str] = (),
) -> tuple[Config, Namespace]:
    """Build the dataclass ``kind`` from nested ``values`` (a YAML file), overridden by command line ``arguments``.

    Args:
        where: what the values come from, for messages.
        parser: a command's parser that has ``kind``'s flags among others; None: these flags alone.

    Returns:
        the config and all parsed arguments.

    Raises:
        InputError: an unknown key, a section that is no mapping, or a value that is wrong or lacks; names ``where``
            and the key.
    """
    fields = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_config(fields, kind)
    given = _without_empty_sections(kind, values, where)
    try:
        from_file = fields.parse_object(given, defaults=True)
        _build(kind, fields.instantiate(from_file))  # a wrong file is told apart from a wrong flag
    except (ArgumentError, InputError) as error:
        raise InputError(f"{where}: {one_line(error)}") from error
    try:
        parsed = (parser or fields).parse_args(list(arguments), namespace=from_file)
        built = (parser or fields).instantiate(parsed)
        return _build(kind, built), built
    except (ArgumentError, InputError) as error:
        raise InputError(f"command line: {one_line(error)}") from error
    except TypeError as error:
        raise InputError("command line: null stands where a value or settings belong; give some") from error


def _build(kind: type[Config], parts: Namespace) -> Config:
    return kind(**{field.name: parts[field.name] for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


def section(found: Any, name: str, where: str) -> dict[str, Any]:
    """The settings of the section ``name`` of a file; none where nothing stands below its name.

    Raises:
        InputError: something else stands there; names ``where`` and the section.
    """
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise InputError(f"{where}: {name} must be a mapping of settings, not {found!r}")
    return dict(found)


def _without_empty_sections(kind: type, values: Mapping[str, Any], where: str, prefix: str = "") -> dict[str, Any]:
    """The settings of a dataclass, where a section with nothing below it changes nothing.

    Raises:
        InputError: a section is no mapping, or a setting that must have a value has none.
    """
    kept: dict[str, Any] = {}
    hints = get_type_hints(kind)
    for key, value in values.items():
        hint = hints.get(key)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            inner = section(value, f"{prefix}{key}", where)
            kept[key] = _without_empty_sections(hint, inner, where, f"{prefix}{key}.")
        elif value is None and hint is not None and type(None) not in get_args(hint):
            raise InputError(f"{where}: {prefix}{key} is empty; give a value or take the line out")
        else:
            kept[key] = value
    return kept


def at_least(least: float, name: str, config: object, *fields: str) -> None:
    """Refuse values below ``least`` in some ``fields`` of the section ``name``; see `_check`."""
    _check(name, config, fields, lambda value: value >= least, f"{least} or more")


def above(limit: float, name: str, config: object, *fields: str) -> None:
    """Refuse values that are not above ``limit``; see `_check`."""
    _check(name, config, fields, lambda value: value > limit, f"a number above {limit}")


def between(low: float, high: float, name: str, config: object, *fields: str) -> None:
    """Refuse values outside ``low`` .. ``high``; see `_check`."""
    _check(name, config, fields, lambda value: low <= value <= high, f"a number from {low} to {high}")


def _check(name: str, config: object, fields: Sequence[str], valid: Callable[[float], bool], expected: str) -> None:
    """Of a tuple every entry counts, and there must be one.

    Raises:
        InputError: names section, field and value.
    """
    for field in fields:
        value = getattr(config, field)
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or not all(math.isfinite(number) and valid(number) for number in numbers):
            each = "one or more, each " if isinstance(value, tuple) else ""
            raise InputError(f"{name}.{field} is {value}: give {each}{expected}")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; InputError when it is missing, not YAML, or not a mapping."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        json.dumps(values, skipkeys=True, default=str)  # ValueError: an alias within what it stands for
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {one_line(error)}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(values).__name__}")
    return values


def read_config(path: Path) -> dict[str, Any]:
    """A config file's settings; its key ``base`` names another one beside it, of which it changes some.

    Raises:
        InputError: a file is missing or no mapping, or bases lead round in a circle.
    """
    files: list[Path] = []
    layers: list[dict[str, Any]] = []
    at: Path | None = Path(path)
    while at is not None:
        if at.resolve() in files:
            raise InputError(f"{path}: its bases lead back to {at}; take one 'base' out")
        files.append(at.resolve())
        values = read_yaml(at)
        base = values.pop("base", None)
        if base is not None and not isinstance(base, str):
            raise InputError(f"{at}: base must be the name of a file beside it, not {base!r}")
        layers.append(values)
        at = None if base is None else at.parent / base
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = _merge(merged, layer)
    return merged


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Mappings are merged key by key, an empty one changes nothing; everything else is replaced."""
    merged = under | over
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict | None):
            merged[key] = _merge(under[key], over[key] or {})
    return merged


def as_plain(config: Any) -> dict[str, Any]:
    """The dataclass as nested plain types (tuples become lists), as written to YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def leaves(nested: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The values of nested mappings, each with its keys from the outermost in."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from (((str(key), *keys), leaf) for keys, leaf in leaves(value))
        else:
            yield (str(key),), value


def flatten(nested: Mapping[str, Any]) -> dict[str, Any]:
    """The values of nested mappings by their dotted keys."""
    return {".".join(keys): value for keys, value in leaves(nested)}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The values that differ between two nested mappings, before and after, by their sorted dotted keys."""
    old, new = flatten(before), flatten(after)
    pairs = {key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def write_config(config: Any, path: Path) -> None:
    """Write the resolved config as YAML."""
    write_text(path, yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True))
