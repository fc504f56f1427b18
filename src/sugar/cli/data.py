"""The `sugar data` commands: one typed function each."""

import sys
from collections.abc import Iterable, Sequence, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, cast

from rich.console import Console
from rich.progress import track
from rich.table import Table

from sugar.cli.common import print_json
from sugar.cli.derive import Command, Commands
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


def data_import(reader: Reader, source: Path, store: Path, *, workers: int = 0) -> None:
    """Import a data set into a store.

    Args:
        source: folder, zip or tar archive, or file, as distributed
        store: folder of the new store
        workers: processes that read; 0: as many as cores
    """
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


def data_combine(out: Path, *stores: str, layout: str | None = None) -> None:
    """Join several stores, in one joint layout, with a protocol that keeps every clip on its side.

    Args:
        out: folder of the new store
        stores: STORE=PROTOCOL, each
        layout: common joint layout; the first store's if not given
    """
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


def data_export(form: Form, store: Path, out: Path, *, protocol: str | None = None) -> None:
    """Write a store as files that other tools read.

    Args:
        form: what to write
        store: folder of a store
        out: new file (pyskl) or folder
        protocol: pyskl: write its two sides as splits
    """
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


def data_info(store: Path, *, protocol: str | None = None, json: bool = False) -> None:
    """Print what a store holds, and how a protocol splits it.

    Args:
        store: folder of a store
        protocol: also print what trains and what tests
        json: one JSON object on standard output
    """
    from sugar.datasets.protocols.protocols import describe_split, get_protocol
    from sugar.datasets.store.store import Store

    opened = Store.open(store)
    described = opened.manifest.to_dict() | {"layout": opened.layout.name}
    described["first_clips"] = list(opened.clip_ids[:_FEW])
    if protocol is not None:
        described["protocol"] = describe_split(opened, get_protocol(protocol))
    if json:
        print_json(described)
        return
    for key, value in described.items():
        if key == "rejected":
            value = f"{len(value)}" + "".join(f"\n  {row['file']}: {row['reason']}" for row in value)
        elif key == "protocol":
            value = "".join(f"\n  {name}: {_in_words(part)}" for name, part in value.items())
        print(f"{key}: {_in_words(value)}")


def data_show(
    source: Path, clip_id: str | None = None, *, out: Path, views: str = "front,side", size: int = 360
) -> None:
    """Draw a clip of a store or a file as a GIF, an MP4 or a page.

    Args:
        source: folder of a store, or a clip file
        clip_id: which clip; the first if not given
        out: a .gif, .mp4 or .html file
        views: from where: front, side, top
        size: width and height of a view in pixels
    """
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
    show_clip(clip, out, [cast(View, view) for view in views.split(",")], size)
    print(f"{out}: {clip.clip_id}, {clip.num_frames / clip.fps:.1f} s" + (f", {clip.label}" if clip.label else ""))


def _no_clip(where: str, clip_id: str | None, ids: Sequence[str]) -> InputError:
    """With ids that have the given one in them, or else the first."""
    near = [other for other in ids if clip_id and clip_id in other] or ids
    few = ", ".join(near[:_FEW]) + (", ..." if len(near) > _FEW else "")
    return InputError(f"{where}: it has no clip {clip_id!r}; its {_count(ids, 'clip')}: {few}")


def data_stats(store: Path, *, json: bool = False) -> None:
    """Print a store in figures: lengths, classes, gaps, missing joints, how steady its bones are.

    Args:
        store: folder of a store
        json: one JSON object on standard output
    """
    from sugar.datasets.diagnostics.statistics import store_figures
    from sugar.datasets.store.store import Store

    opened = Store.open(store)
    figures = store_figures(opened, _watched(len(opened), "measuring")).to_dict()
    if json:
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


def data_validate(path: Path, *, knowledge: str | None = None, json: bool = False) -> None:
    """Check a store or an input file: what is wrong, where, and how to fix it.

    Args:
        path: store or clip file
        knowledge: a pack: also find labels that the joints contradict
        json: one JSON list on standard output
    """
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
        print_json([]) if json else print(f"{path}: {_count(clips, 'valid clip')}")
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
    if json:
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


COMMANDS: Commands = {
    "import": {
        name: Command(data_import, f"{reader.__module__}:{reader.__name__}", file="", about=reader.__doc__ or "")
        for name, reader in FORMATS.items()
    },
    "combine": Command(data_combine),
    "export": Command(data_export),
    "info": Command(data_info),
    "show": Command(data_show),
    "stats": Command(data_stats),
    "validate": Command(data_validate),
}
