"""Configuration as typed data: dataclasses from YAML and flags, and back to YAML.

A wrong key or value is an InputError that names it, so every entry point reads its settings here.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from sugar.errors import InputError
from sugar.files import write_text

set_parsing_settings(docstring_parse_attribute_docstrings=True)

Config = TypeVar("Config")


def config_parser(kind: type, program: str = "config", description: str | None = None) -> ArgumentParser:
    """A parser whose flags are the fields of the dataclass ``kind`` (nested ones with dots)."""
    parser = ArgumentParser(exit_on_error=False, allow_abbrev=False, prog=program, description=description)
    parser.add_class_arguments(kind, None)
    return parser


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def parse_config(kind: type[Config], values: Mapping[str, Any], *, where: str, flags: Sequence[str] = ()) -> Config:
    """Build ``kind`` from nested ``values``, then from ``flags`` such as ``["--represent.loop.epochs", "3"]``.

    Raises:
        InputError: an unknown key or a value of the wrong type; names ``where`` and the key.
    """
    parser = config_parser(kind)
    try:
        parsed = parser.parse_object(dict(values), defaults=True)
    except ArgumentError as error:
        raise InputError(f"{where}: {_one_line(error)}") from error
    try:
        parsed = parser.parse_args(list(flags), namespace=parsed)
        built = parser.instantiate(parsed)
    except ArgumentError as error:
        raise InputError(f"command line: {_one_line(error)}") from error
    return kind(**{field.name: built[field.name] for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


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
