"""The `sugar data` commands: one typed function each."""

import sys
from collections.abc import Iterable, Sequence, Sized
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser, Namespace
from rich.console import Console
from rich.progress import track
from rich.table import Table

from sugar.cli.common import new_parser, print_json
from sugar.datasets.formats.benchmarks.kinetics import KineticsReader
from sugar.datasets.formats.benchmarks.msr_action3d import MsrAction3DReader
from sugar.datasets.formats.benchmarks.ntu import Ntu60Reader, Ntu120Reader
from sugar.datasets.formats.benchmarks.nw_ucla import NwUclaReader
from sugar.datasets.formats.benchmarks.pku_mmd import PkuMmdReader
from sugar.datasets.formats.benchmarks.smarthome import SmarthomeReader
from sugar.datasets.formats.benchmarks.uav_human import UavHumanReader
from sugar.datasets.formats.benchmarks.utd_mhad import UtdMhadReader
from sugar.datasets.formats.bvh import BvhReader
from sugar.datasets.formats.coco import CocoKeypointsReader
from sugar.datasets.formats.custom import CustomReader
from sugar.datasets.formats.openpose import OpenPoseReader
from sugar.datasets.formats.pyskl import PysklReader
from sugar.datasets.formats.source import Reader
from sugar.errors import InputError
from sugar.files import write_text

View = Literal["front", "side", "top"]
Form = Literal["pyskl", "npz", "json", "csv", "parquet"]
FORMATS: dict[str, type[Any]] = {
    "files": CustomReader,
    "bvh": BvhReader,
    "coco": CocoKeypointsReader,
    "kinetics-skeleton": KineticsReader,
    "msr-action3d": MsrAction3DReader,
    "ntu60": Ntu60Reader,
    "ntu120": Ntu120Reader,
    "nw-ucla": NwUclaReader,
    "openpose": OpenPoseReader,
    "pku-mmd": PkuMmdReader,
    "pyskl": PysklReader,
    "smarthome": SmarthomeReader,
    "uav-human": UavHumanReader,
    "utd-mhad": UtdMhadReader,
}
"""What `sugar data import` reads; the fields of a reader are the flags of its format."""
_FEW = 5
"""Ids of clips that are shown as examples."""


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

    command = new_parser(data_combine.__doc__)
    command.add_argument("out", type=Path, help="folder of the new store")
    command.add_argument("stores", type=str, nargs="+", help="STORE=PROTOCOL, each")
    command.add_argument("--layout", type=str | None, help="common joint layout; the first store's if not given")
    commands.add_subcommand("combine", command, help=data_combine.__doc__)

    command = new_parser(data_export.__doc__)
    command.add_argument("form", type=Form, help="what to write")
    command.add_argument("store", type=Path, help="folder of a store")
    command.add_argument("out", type=Path, help="new file (pyskl) or folder")
    command.add_argument("--protocol", type=str | None, help="pyskl: write its two sides as splits")
    commands.add_subcommand("export", command, help=data_export.__doc__)

    command = new_parser(data_info.__doc__)
    command.add_argument("store", type=Path, help="folder of a store")
    command.add_argument("--protocol", type=str | None, help="also print what trains and what tests")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("info", command, help=data_info.__doc__)

    command = new_parser(data_show.__doc__)
    command.add_argument("source", type=Path, help="folder of a store, or a clip file")
    command.add_argument("clip_id", type=str | None, nargs="?", help="which clip; the first if not given")
    command.add_argument("--out", type=Path, required=True, help="a .gif, .mp4 or .html file")
    command.add_argument("--views", type=str, default="front,side", help="from where: front, side, top")
    command.add_argument("--size", type=int, default=360, help="width and height of a view in pixels")
    commands.add_subcommand("show", command, help=data_show.__doc__)

    command = new_parser(data_stats.__doc__)
    command.add_argument("store", type=Path, help="folder of a store")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("stats", command, help=data_stats.__doc__)

    command = new_parser(data_validate.__doc__)
    command.add_argument("path", type=Path, help="store or clip file")
    command.add_argument("--knowledge", type=str | None, help="a pack: also find labels that the joints contradict")
    command.add_argument("--json", action="store_true", help="one JSON list on standard output")
    commands.add_subcommand("validate", command, help=data_validate.__doc__)


def run_data(given: Namespace) -> None:
    """Run the `data` command that was given."""
    a = given[given.what]
    match given.what:
        case "import":
            b = a[a.format]
            kind = FORMATS[a.format]
            options = {field.name: b[field.name] for field in fields(kind)}
            data_import(kind(**options), b.source, b.store, b.workers)
        case "combine":
            data_combine(a.out, a.stores, a.layout)
        case "export":
            data_export(a.form, a.store, a.out, a.protocol)
        case "info":
            data_info(a.store, a.protocol, a.json)
        case "show":
            data_show(a.source, a.clip_id, a.out, a.views.split(","), a.size)
        case "stats":
            data_stats(a.store, a.json)
        case "validate":
            data_validate(a.path, a.knowledge, a.json)


def data_import(reader: Reader, source: Path, store: Path, workers: int) -> None:
    """Import a data set into a store."""
    from sugar.datasets.store.importing import import_data

    if workers < 0:
        raise InputError(f"--workers must be 0 (as many as cores) or more, not {workers}")
    written = import_data(reader, source, store, name=store.name, workers=workers)
    rejected = written.manifest.rejected
    for row in rejected[:10]:
        print(f"rejected {row.file}: {row.reason}", file=sys.stderr)
    if len(rejected) > 10:
        print(f"and {len(rejected) - 10} more: see {store / 'manifest.json'}", file=sys.stderr)
    print(f"{store}: {_count(written, 'clip')} of {_count(written.classes, 'class')}, {len(rejected)} rejected")


def data_combine(out: Path, stores: Sequence[str], layout: str | None) -> None:
    """Several stores as one, in one joint layout, with a protocol that keeps every clip on its side."""
    from sugar.datasets.protocols.protocols import get_protocol
    from sugar.datasets.store.combine import PROTOCOL_FILE, combine_stores
    from sugar.datasets.store.store import Store
    from sugar.skeleton.layouts import get_layout

    parts = []
    for given in stores:
        path, equals, protocol = given.partition("=")
        if not equals:
            raise InputError(f"data combine: give each store as STORE=PROTOCOL, not {given!r}")
        parts.append((Store.open(path), get_protocol(protocol)))
    combined = combine_stores(parts, out, parts[0][0].layout if layout is None else get_layout(layout))
    print(f"{out}: {_count(combined, 'clip')} of {_count(combined.classes, 'class')}; protocol {out / PROTOCOL_FILE}")


def data_export(form: Form, store: Path, out: Path, protocol: str | None) -> None:
    """Write a store as files that other tools read."""
    from sugar.datasets.formats.pyskl import write_pyskl
    from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
    from sugar.datasets.store.export import write_files
    from sugar.datasets.store.store import Store

    opened = Store.open(store)
    if form != "pyskl":
        if protocol is not None:
            raise InputError("data export: only pyskl files hold splits; leave --protocol out")
        write_files(opened, out, form)
        print(f"{out}: {_count(opened, 'clip')}")
        return
    splits = None
    if protocol is not None:
        sides = split(opened, get_protocol(protocol), ValidationConfig(by="none"))
        ids = {"train": sides.train, "test": sides.test}
        splits = {f"{protocol}_{side}": [opened.clip_ids[i] for i in at] for side, at in ids.items()}
    names = out.with_suffix(".classes.txt")  # such a file holds labels as numbers only
    for path in (out, names):
        if path.exists():
            raise InputError(f"{path}: it is already there; give the name of a new file")
    write_pyskl(opened, out, splits)
    write_text(names, "".join(f"{name}\n" for name in opened.classes))
    print(f"{out}: {_count(opened, 'clip')}; their class names are in {names} (import pyskl ... --classes {names})")


def data_info(store: Path, protocol: str | None, as_json: bool) -> None:
    """What a store holds, and how a protocol splits it."""
    from sugar.datasets.protocols.protocols import describe_split, get_protocol
    from sugar.datasets.store.store import Store

    opened = Store.open(store)
    described = opened.manifest.to_dict() | {"layout": opened.layout.name}
    described["first_clips"] = list(opened.clip_ids[:_FEW])
    if protocol is not None:
        described["protocol"] = describe_split(opened, get_protocol(protocol))
    if as_json:
        print_json(described)
        return
    for key, value in described.items():
        if key == "rejected":
            value = f"{len(value)}" + "".join(f"\n  {row['file']}: {row['reason']}" for row in value)
        elif key == "protocol":
            value = "".join(f"\n  {name}: {_in_words(part)}" for name, part in value.items())
        print(f"{key}: {_in_words(value)}")


def data_show(source: Path, clip_id: str | None, out: Path, views: Sequence[View], size: int) -> None:
    """Draw a clip of a store or a file as a GIF, an MP4 or a page."""
    from sugar.datasets.store.store import Store
    from sugar.inference.sources import read_clips
    from sugar.reports.show import show_clip

    if (source / "manifest.json").is_file():
        store = Store.open(source)
        if clip_id is not None and clip_id not in store.clip_ids:
            raise _no_clip(f"store {source}", clip_id, store.clip_ids)
        clip = store[0 if clip_id is None else store.index(clip_id)]
    else:
        ids = []
        for clip in read_clips(str(source), sys.stdin):
            if clip_id in (None, clip.clip_id):
                break
            ids.append(clip.clip_id)
        else:
            raise _no_clip(str(source), clip_id, ids)
    show_clip(clip, out, views, size)
    print(f"{out}: {clip.clip_id}, {clip.num_frames / clip.fps:.1f} s" + (f", {clip.label}" if clip.label else ""))


def _no_clip(where: str, clip_id: str | None, ids: Sequence[str]) -> InputError:
    """With ids that have the given one in them, or else the first."""
    near = [other for other in ids if clip_id and clip_id in other] or ids
    few = ", ".join(near[:_FEW]) + (", ..." if len(near) > _FEW else "")
    return InputError(f"{where}: it has no clip {clip_id!r}; its {_count(ids, 'clip')}: {few}")


def data_stats(store: Path, as_json: bool) -> None:
    """A store in figures: lengths, classes, gaps, missing joints, how steady its bones are."""
    from sugar.datasets.diagnostics.statistics import store_figures
    from sugar.datasets.store.store import Store

    opened = Store.open(store)
    figures = store_figures(opened, _watched(len(opened), "measuring")).to_dict()
    if as_json:
        print_json(figures)
        return
    for key in ("name", "layout", "clips", "unlabeled"):
        print(f"{key}: {figures[key]}")
    frames, seconds, fps = figures["frames"], figures["seconds"], figures["fps"]
    print(f"hours: {figures['hours']:.2f}")
    print("fps: " + (", ".join(f"{n} in {count}" for n, count in fps.items()) if len(fps) > 1 else next(iter(fps))))
    print(f"frames a clip: {frames['least']} to {frames['most']}, median {frames['median']:g}")
    print(f"seconds a clip: {seconds['least']:.3g} to {seconds['most']:.3g}, median {seconds['median']:.3g}")
    print("persons a clip: " + ", ".join(f"{n} in {count}" for n, count in figures["persons"].items()))
    print(f"frames with nobody: {figures['empty_frames']:.2%}")
    print(f"height: {figures['height']:.3g} (head to foot along the bones, median)")
    console = Console()
    table = Table("class", "clips", title="classes")
    for name, count in figures["classes"].items():
        table.add_row(name, str(count))
    console.print(table)
    table = Table("bone", "length", "spread within a clip", "missing", title="bones and the joint at their end")
    for bone, values in figures["bones"].items():
        missing = figures["missing_joints"][bone.split(" - ")[1]]
        table.add_row(bone, f"{values['length']:.3g}", f"{values['spread']:.1%}", f"{missing:.1%}")
    console.print(table)


def data_validate(path: Path, knowledge: str | None, as_json: bool) -> None:
    """Check a store or an input file: what is wrong, where, and how to fix it."""
    from sugar.datasets.diagnostics.posture_labels import label_findings
    from sugar.datasets.diagnostics.statistics import findings, store_figures
    from sugar.datasets.store.store import Store
    from sugar.inference.sources import description_of, not_a_store, read_clips
    from sugar.knowledge.pack import load_pack

    if not (path / "manifest.json").is_file():
        if description_of(path):  # most of what can be wrong is found in a store only
            raise InputError(not_a_store(path))
        if knowledge is not None:
            raise InputError(f"{path}: --knowledge compares the labels of a store; import the clips first")
        clips = [clip.clip_id for clip in read_clips(str(path), sys.stdin)]
        print_json([]) if as_json else print(f"{path}: {_count(clips, 'valid clip')}")
        return
    store = Store.open(path)
    pack = None if knowledge is None else load_pack(knowledge)
    store.verify()
    found = list(findings(store_figures(store, _watched(len(store), "measuring"))))
    if pack is not None:
        found += label_findings(
            (store[i] for i in _watched(len(store), "comparing")),
            {entry.name: entry.motion_sentences for entry in pack.classes},
        )
    if as_json:
        print_json([asdict(finding) for finding in found])
        return
    for finding in found:
        print(finding)
    rejected = len(store.manifest.rejected)
    print(f"{path}: {_count(store, 'valid clip')}, {rejected} rejected at import, {_count(found, 'finding')}")


def _watched(count: int, what: str) -> Iterable[int]:
    """The numbers up to ``count``, with a progress bar if somebody is there to see it."""
    console = Console(stderr=True)
    return track(range(count), what, console=console, transient=True, disable=not console.is_terminal)


def _count(things: Sized, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{len(things)} {what if len(things) == 1 else plural}"


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
