"""Configuration as typed data: dataclasses from YAML and flags, and back to YAML.

A wrong key or value is an InputError that names it, so every entry point reads its settings here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace, set_parsing_settings

from sugar.errors import InputError
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
        InputError: an unknown key or a value of the wrong type; names ``where`` and the key.
    """
    fields = ArgumentParser(exit_on_error=False, allow_abbrev=False)
    add_config(fields, kind)
    try:
        from_file = fields.parse_object(dict(values), defaults=True)
        fields.instantiate(from_file)  # a wrong file is told apart from a wrong flag
    except (ArgumentError, InputError) as error:
        raise InputError(f"{where}: {_one_line(error)}") from error
    try:
        parsed = (parser or fields).parse_args(list(arguments), namespace=from_file)
        built = (parser or fields).instantiate(parsed)
    except (ArgumentError, InputError) as error:
        raise InputError(f"command line: {_one_line(error)}") from error
    return kind(**{field.name: built[field.name] for field in dataclasses.fields(kind)}), built  # type: ignore[arg-type]


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; InputError when it is missing, not YAML, or not a mapping."""
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {_one_line(error)}") from error
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
    """Mappings are merged key by key; everything else is replaced."""
    both = {key: _merge(under[key], over[key]) for key in under.keys() & over.keys() if _mappings(under, over, key)}
    return under | over | both


def _mappings(under: dict[str, Any], over: dict[str, Any], key: str) -> bool:
    return isinstance(under[key], dict) and isinstance(over[key], dict)


def as_plain(config: Any) -> dict[str, Any]:
    """The dataclass as nested plain types (tuples become lists), as written to YAML and JSON."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    return plain(dataclasses.asdict(config))


def write_config(config: Any, path: Path) -> None:
    """Write the resolved config as YAML."""
    write_text(path, yaml.safe_dump(as_plain(config), sort_keys=False, allow_unicode=True))
