"""The `sugar data` commands: one typed function each."""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from sugar.cli_common import new_parser, print_json
from sugar.datasets.nw_ucla import NwUclaReader
from sugar.datasets.reading import Reader
from sugar.datasets.utd_mhad import UtdMhadReader

FORMATS: dict[str, type[Any]] = {
    "nw-ucla": NwUclaReader,
    "utd-mhad": UtdMhadReader,
}
"""What `sugar data import` reads; the fields of a reader are the flags of its format."""


def add_data_commands(data: ArgumentParser) -> None:
    """Give the parser of `sugar data` its commands."""
    commands = data.add_subcommands(dest="what")

    import_ = new_parser(data_import.__doc__)
    commands.add_subcommand("import", import_, help=data_import.__doc__)
    formats = import_.add_subcommands(dest="format")
    for name, reader in FORMATS.items():
        command = new_parser(reader.__doc__)
        command.add_argument("source", type=Path, help="folder, zip or tar archive, or file, as distributed")
        command.add_argument("store", type=Path, help="folder of the new store")
        command.add_argument("--workers", type=int, default=0, help="processes that read; 0: as many as cores")
        command.add_class_arguments(reader, None)
        formats.add_subcommand(name, command, help=(reader.__doc__ or "").splitlines()[0])

    command = new_parser(data_info.__doc__)
    command.add_argument("store", type=Path, help="folder of a store")
    command.add_argument("--protocol", type=str | None, help="also print what trains and what tests")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("info", command, help=data_info.__doc__)

    command = new_parser(data_validate.__doc__)
    command.add_argument("path", type=Path, help="store or clip file")
    commands.add_subcommand("validate", command, help=data_validate.__doc__)


def run_data(given: Namespace) -> None:
    """Run the `data` command that was given."""
    a = given[given.what]
    match given.what:
        case "import":
            b = a[a.format]
            kind = FORMATS[a.format]
            options = {field.name: b[field.name] for field in fields(kind)}
            data_import(kind(**options), a.format, b.source, b.store, b.workers)
        case "info":
            data_info(a.store, a.protocol, a.json)
        case "validate":
            data_validate(a.path)


def data_import(reader: Reader, name: str, source: Path, store: Path, workers: int) -> None:
    """Import a data set into a store."""
    from sugar.datasets.importing import import_data

    written = import_data(reader, source, store, name=name, workers=workers)
    rejected = written.manifest.rejected
    for row in rejected[:10]:
        print(f"rejected {row.file}: {row.reason}", file=sys.stderr)
    if len(rejected) > 10:
        print(f"and {len(rejected) - 10} more: see {store / 'manifest.json'}", file=sys.stderr)
    print(f"{store}: {len(written)} clips of {len(written.classes)} classes, {len(rejected)} rejected")


def data_info(store: Path, protocol: str | None, as_json: bool) -> None:
    """What a store holds, and how a protocol splits it."""
    from sugar.datasets.protocols import ValidationConfig, get_protocol, split
    from sugar.datasets.store import Store

    opened = Store.open(store)
    described = opened.manifest.to_dict() | {"layout": opened.layout.name}
    if protocol is not None:
        sides = split(opened, get_protocol(protocol), ValidationConfig(by="none"))
        described["protocol"] = {"name": protocol, "train": len(sides.train), "test": len(sides.test)}
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        if key == "rejected":
            value = f"{len(value)}" + "".join(f"\n  {row['file']}: {row['reason']}" for row in value)
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        print(f"{key}: {value}")


def data_validate(path: Path) -> None:
    """Check every clip of a store or an input file."""
    from sugar.datasets.store import Store
    from sugar.inference.inputs import read_clips

    if path.is_dir():
        Store.open(path).verify()
    count = sum(1 for _ in read_clips(str(path), sys.stdin))
    print(f"{path}: {count} valid clips")
