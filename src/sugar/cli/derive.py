"""Commands derived from typed functions: the signature of a function is its command line.

Parameters before ``*`` are positional, ``*names`` takes one or more, keyword-only ones are flags: required without a
default, a switch where the default is False, one or more values for a sequence. Their help is the docstring's Args. A
command may also take a config: its fields become flags over those of a YAML file.
"""

import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import docstring_parser
from jsonargparse import ArgumentParser

from sugar.config import add_config, parse_config, read_config
from sugar.errors import InputError


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        function: what it does; its docstring's first line is the help.
        config: ``module:Class`` of the dataclass that is its first argument, imported when the command is parsed.
        file: the positional argument that names the YAML file of the config: "required", "optional" or none, "".
        about: what help says in place of the function's docstring.
    """

    function: Callable[..., object]
    config: str = ""
    file: str = "required"
    about: str = ""

    @property
    def help(self) -> str:
        return (self.about or self.function.__doc__ or "").strip().splitlines()[0]

    def config_class(self) -> type[Any] | None:
        """The class that `config` names."""
        module, _, name = self.config.partition(":")
        return getattr(import_module(module), name) if name else None

    def parser(self, name: str) -> ArgumentParser:
        """The parser of the command line after the command's ``name``."""
        parser = ArgumentParser(prog=name, exit_on_error=False, allow_abbrev=False, description=self.about or self.help)
        kind = self.config_class()
        _add_arguments(parser, self.function, skip=1 if kind else 0)
        if kind is not None:
            if self.file:
                about = "YAML file; every flag below may stand in it, and base: another file"
                optional: dict[str, Any] = {"nargs": "?"} if self.file == "optional" else {}
                parser.add_argument("config", type=str | None if optional else str, help=about, **optional)
            add_config(parser, kind)
        return parser

    def arguments(self, name: str, command_line: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
        """Positional and named arguments for `function`.

        Raises:
            ArgumentError, InputError: the command line or the config file is wrong.
        """
        if self.config and self.file and command_line and not command_line[0].startswith("-"):
            read_config(Path(command_line[0]))  # before the config's class is imported, which may take seconds
        parser, kind = self.parser(name), self.config_class()
        first: list[Any] = []
        given = parser.parse_args(list(command_line))
        if kind is not None:
            path = given["config"] if self.file else None
            values = {} if path is None else read_config(Path(path))
            where = str(path or "command line")
            config, given = parse_config(kind, values, where=where, parser=parser, arguments=command_line)
            first.append(config)
        named = {}
        for parameter in _parameters(self.function, skip=len(first)):
            value = given[parameter.name.rstrip("_")]
            if parameter.kind is parameter.VAR_POSITIONAL:
                first += value
            elif parameter.kind is parameter.KEYWORD_ONLY:
                named[parameter.name] = value
            else:
                first.append(value)
        return first, named

    def run(self, name: str, command_line: Sequence[str]) -> None:
        """Parse the command line and call the function."""
        positional, named = self.arguments(name, command_line)
        self.function(*positional, **named)


Commands = Mapping[str, "Command | Commands | str"]
"""Commands by name; a group is a mapping or ``module:NAME`` of one, imported when it is asked for."""


def find(commands: Commands, words: Sequence[str], name: str = "sugar") -> tuple[Command | Commands, str, list[str]]:
    """The command that the first words name, or the group where they end.

    Returns:
        command or group, its full name, and the words after it.

    Raises:
        InputError: a word names no command.
    """
    if not words or words[0].startswith("-"):
        return commands, name, list(words)
    if words[0] not in commands:
        raise InputError(
            f"unknown command {' '.join([*name.split()[1:], words[0]])!r}; give one of {', '.join(commands)}"
        )
    found = _loaded(commands[words[0]])
    name = f"{name} {words[0]}"
    return (found, name, list(words[1:])) if isinstance(found, Command) else find(found, words[1:], name)


def group_parser(commands: Commands, name: str, about: str) -> ArgumentParser:
    """A parser that shows the commands of a group."""
    parser = ArgumentParser(prog=name, exit_on_error=False, allow_abbrev=False, description=about)
    shown = parser.add_subcommands(dest="command", required=True)
    for word, member in commands.items():
        loaded = member if isinstance(member, str) else _loaded(member)
        about = loaded.help if isinstance(loaded, Command) else GROUPS.get(word, "")
        shown.add_subcommand(word, ArgumentParser(exit_on_error=False), help=about)
    return parser


GROUPS = {
    "data": "Import, check and show data.",
    "knowledge": "Build, check and show knowledge packs.",
    "lab": "Experiments: ablations, several seeds, comparisons, label issues, fusion weights.",
    "import": "Import a data set into a store.",
}


def _loaded(member: "Command | Commands | str") -> "Command | Commands":
    if not isinstance(member, str):
        return member
    module, _, name = member.partition(":")
    loaded: Command | Commands = getattr(import_module(module), name)
    return loaded


def _parameters(function: Callable[..., object], skip: int) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())[skip:]


def _add_arguments(parser: ArgumentParser, function: Callable[..., object], skip: int) -> None:
    """Add an argument for each parameter after the first ``skip``."""
    about = {entry.arg_name: entry.description for entry in docstring_parser.parse(function.__doc__ or "").params}
    skipped = {parameter.name for parameter in _parameters(function, 0)[:skip]}
    annotations = {name: hint for name, hint in function.__annotations__.items() if name not in skipped | {"return"}}
    hints = get_type_hints(types.SimpleNamespace(__annotations__=annotations), vars(import_module(function.__module__)))
    for parameter in _parameters(function, skip):
        name, hint = parameter.name.rstrip("_"), hints[parameter.name]
        options: dict[str, Any] = {"help": about.get(parameter.name)}
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            parser.add_argument(name, type=hint, nargs="+", **options)
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            if not required:
                options["nargs"] = "?"
            parser.add_argument(name, type=hint, **options)
        elif hint is bool:
            parser.add_argument(f"--{name}", action="store_true", **options)
        elif get_origin(hint) is Sequence:
            parser.add_argument(f"--{name}", type=get_args(hint)[0], nargs="+", default=[], **options)
        elif required:
            parser.add_argument(f"--{name}", type=hint, required=True, **options)
        else:
            parser.add_argument(f"--{name}", type=hint, default=parameter.default, **options)
