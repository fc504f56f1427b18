"""The `sugar knowledge` commands: one typed function each."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from sugar.cli.common import new_parser, print_json
from sugar.config import add_config, parse_config, read_config
from sugar.errors import InputError
from sugar.files import write_text

_PACK = "name of a shipped pack, or a YAML file"


def add_knowledge_commands(knowledge: ArgumentParser, command_line: Sequence[str]) -> None:
    """Give the parser of `sugar knowledge` its commands; the flags of `build` are the fields of its config."""
    commands = knowledge.add_subcommands(dest="what")

    build = _build_parser() if command_line[:2] == ["knowledge", "build"] else new_parser(None)
    commands.add_subcommand("build", build, help=knowledge_build.__doc__)

    contrast = _contrast_parser() if command_line[:2] == ["knowledge", "contrast"] else new_parser(None)
    commands.add_subcommand("contrast", contrast, help=knowledge_contrast.__doc__)

    command = new_parser(knowledge_validate.__doc__)
    command.add_argument("pack", type=str, help=_PACK)
    command.add_argument("--json", action="store_true", help="one JSON list on standard output")
    commands.add_subcommand("validate", command, help=knowledge_validate.__doc__)

    command = new_parser(knowledge_show.__doc__)
    command.add_argument("pack", type=str, help=_PACK)
    command.add_argument("--class", type=str | None, help="print only this class")
    command.add_argument("--out", type=Path | None, help="a .html file: write a page in place of printing")
    commands.add_subcommand("show", command, help=knowledge_show.__doc__)

    command = new_parser(knowledge_diff.__doc__)
    command.add_argument("a", type=str, help=_PACK)
    command.add_argument("b", type=str, help=_PACK)
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("diff", command, help=knowledge_diff.__doc__)


def run_knowledge(given: Namespace, arguments: Sequence[str]) -> None:
    """Run the command that was parsed; ``arguments`` are those after `knowledge`."""
    a = given[given.what]
    match given.what:
        case "build":
            knowledge_build(arguments[1:])
        case "contrast":
            knowledge_contrast(arguments[1:])
        case "validate":
            knowledge_validate(a.pack, a.json)
        case "show":
            knowledge_show(a.pack, a["class"], a.out)
        case "diff":
            knowledge_diff(a.a, a.b, a.json)


def knowledge_build(arguments: Sequence[str]) -> None:
    """Ask models for the texts of an action list; what was answered before is not asked again."""
    _needs_ask()
    from sugar.authoring.build import PACK, build_knowledge
    from sugar.authoring.client.progress import AskingProgress
    from sugar.authoring.client.runner import DryRunner, ModelRunner
    from sugar.authoring.config import BuildConfig, check_build
    from sugar.knowledge.embed import TextEncoderConfig, load_text_encoder

    parser = _build_parser()
    path = parser.parse_args(list(arguments)).config
    values = {} if path is None else read_config(Path(path))
    where = str(path or "command line")
    config, given = parse_config(BuildConfig, values, where=where, parser=parser, arguments=arguments)
    if given["max_cost"] is not None:
        config.running = replace(config.running, max_cost=given["max_cost"])
    check_build(config)
    out: Path = given["out"]
    if given["dry_run"]:
        dry = DryRunner(config.provider, config.running, out / "journal")
        build_knowledge(config, out, dry, draw=_draw)
        for line in dry.lines():
            print(_printable(line))
        return
    encoder = load_text_encoder(TextEncoderConfig()) if config.contrast.pairs else None
    with AskingProgress() as progress:
        runner = ModelRunner(
            config.provider,
            config.running,
            out / "journal",
            endpoints=config.endpoints,
            workers=config.workers,
            address=config.address,
            progress=progress,
        )
        with runner.open():
            built = build_knowledge(config, out, runner, encoder, _draw)
    print(runner.summary.text())
    _report(out / PACK, built.failures, runner.summary.left)


def knowledge_contrast(arguments: Sequence[str]) -> None:
    """Ask again about classes of a pack that are easily confused: how do they differ in motion?"""
    _needs_ask()
    from sugar.authoring.build import confusable_pairs, contrast_pack
    from sugar.authoring.client.progress import AskingProgress
    from sugar.authoring.client.runner import ModelRunner
    from sugar.authoring.config import ContrastConfig
    from sugar.knowledge.embed import TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.pack_file import write_pack

    parser = _contrast_parser()
    config, given = parse_config(ContrastConfig, {}, where="command line", parser=parser, arguments=arguments)
    pack = load_pack(given["pack"])
    pairs = confusable_pairs(pack, config.contrast, load_text_encoder(TextEncoderConfig()))
    for pair in pairs:
        print(f"{pair.first} / {pair.second}: {pair.value:.2f}, {pair.why}")
    if given["dry_run"]:
        return
    out: Path = given["out"]
    with AskingProgress() as progress:
        runner = ModelRunner(config.provider, config.running, out.with_suffix(".journal"), progress=progress)
        new, _ = contrast_pack(pack, pairs, runner)
    write_pack(new, out)
    print(runner.summary.text())
    _report(out, runner.failures, runner.summary.left)


def knowledge_validate(pack: str, as_json: bool) -> None:
    """Check a knowledge pack: parts, counts, texts that two classes share."""
    from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.quality.checks import check_pack

    findings = check_pack(load_pack(pack), load_text_encoder(TextEncoderConfig()), cache=EmbeddingCache())
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(_printable(f"{finding.severity}: {finding}"))
        print(f"{pack}: {errors} errors, {len(findings) - errors} pieces of advice")
    if errors:
        raise InputError(f"knowledge pack {pack}: {errors} errors; fix them")


def knowledge_show(pack: str, class_: str | None, out: Path | None) -> None:
    """Print a knowledge pack, or one class of it; or show it as a page, with what its classes have in common."""
    from sugar.knowledge.pack import load_pack

    if out is not None and out.suffix.lower() != ".html":
        raise InputError(f"{out}: the page is written into a .html file; give the file such a name")
    loaded = load_pack(pack)
    if class_ is not None:
        loaded = loaded.subset([class_])
    if out is not None:
        return _pack_page(pack, loaded, out)
    for entry in loaded.classes:
        print(f"\n{_printable(entry.name)}")
        for kind in ("motion", "visual", "descriptions", "motion_sentences"):
            for text in getattr(entry, kind):
                print(_printable(f"  {kind}: {text}"))


def knowledge_diff(a: str, b: str, as_json: bool) -> None:
    """Compare two knowledge packs: texts that differ, and what that does to the likeness of their classes."""
    from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.quality.pack_difference import difference

    encoder = load_text_encoder(TextEncoderConfig())
    found = difference(load_pack(a), load_pack(b), encoder, EmbeddingCache())
    if as_json:
        print_json(found.to_json())
    else:
        for line in found.lines():
            print(line)


def _pack_page(name: str, pack: Any, out: Path) -> None:
    from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
    from sugar.knowledge.quality.figures import measure_quality
    from sugar.reports.pack_page import render_pack_page, text_origins

    quality = measure_quality(pack, load_text_encoder(TextEncoderConfig()), EmbeddingCache())
    write_text(out, render_pack_page(pack, quality, text_origins(_origins(Path(name).with_name("texts.jsonl")))))
    print(f"{out}: the page")


def _origins(path: Path) -> list[dict[str, Any]]:
    """Where the texts of a pack that was built are from; nothing of other packs."""
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError:
        raise InputError(f"{path}: is damaged; build the pack again, nothing is asked twice") from None


def _report(out: Path, failures: Any, left: int) -> None:
    print(f"{out}: the pack")
    for item, failure in list(failures.items())[:5]:
        print(_printable(f"no answer: {item}: {failure}"), file=sys.stderr)
    if left:
        raise InputError(f"{left} questions are left: their cost would pass max_cost; run it again with a higher one")
    if failures:
        raise InputError(
            f"{len(failures)} questions have no answer, so the pack is not whole; "
            "ask them again with --running.retry_failed true"
        )


def _draw(clip: Any, visual: Any) -> Any:
    """Drawn skeletons of a clip, as `sugar.authoring.build` wants them."""
    from sugar.authoring.media.skeleton_frames import SkeletonFrameConfig, skeleton_frames, skeleton_video

    if visual.send == "video":
        return [skeleton_video(clip)]
    wanted = visual.frames
    config = SkeletonFrameConfig(size=wanted.size, most=wanted.most)
    return skeleton_frames(clip, config if wanted.threshold is None else replace(config, threshold=wanted.threshold))


def _needs_ask() -> None:
    from importlib.util import find_spec

    if missing := [name for name in ("pydantic", "openai") if find_spec(name) is None]:
        raise InputError(f"knowledge build needs {' and '.join(missing)}: pip install 'sugar[ask]'")


def _printable(line: str) -> str:
    """Texts of others must not steer the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in line)


def _build_parser() -> ArgumentParser:
    _needs_ask()
    from sugar.authoring.config import BuildConfig

    parser = new_parser(knowledge_build.__doc__)
    parser.add_argument("config", type=str | None, nargs="?", help="YAML file; every flag below may stand in it")
    parser.add_argument("--out", type=Path, required=True, help="folder of the pack, its origins and its journal")
    parser.add_argument("--dry_run", action="store_true", help="show what would be asked, and ask nothing")
    parser.add_argument("--max_cost", type=float | None, help="short for --running.max_cost")
    add_config(parser, BuildConfig)
    return parser


def _contrast_parser() -> ArgumentParser:
    _needs_ask()
    from sugar.authoring.config import ContrastConfig

    parser = new_parser(knowledge_contrast.__doc__)
    parser.add_argument("pack", type=str, help=_PACK)
    parser.add_argument("--out", type=Path, required=True, help="YAML file of the new pack; its journal lies beside it")
    parser.add_argument("--dry_run", action="store_true", help="name the pairs, and ask nothing")
    add_config(parser, ContrastConfig)
    return parser
