"""The `sugar knowledge` commands: one typed function each."""

import sys
from dataclasses import asdict, replace
from json import loads
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sugar.cli.common import print_json
from sugar.cli.derive import Command, Commands
from sugar.errors import InputError
from sugar.files import write_text

if TYPE_CHECKING:
    from sugar.authoring.config import BuildConfig, ContrastConfig


def knowledge_build(config: "BuildConfig", *, out: Path, dry_run: bool = False, max_cost: float | None = None) -> None:
    """Ask models for the texts of an action list; what was answered before is not asked again.

    Args:
        out: folder of the pack, its origins and its journal
        dry_run: show what would be asked, and ask nothing
        max_cost: short for --running.max_cost
    """
    _needs_ask()
    from sugar.authoring.build import PACK, build_knowledge
    from sugar.authoring.client.progress import AskingProgress
    from sugar.authoring.client.runner import DryRunner, ModelRunner
    from sugar.authoring.config import check_build
    from sugar.knowledge.embed import TextEncoderConfig, load_text_encoder

    if max_cost is not None:
        config = replace(config, running=replace(config.running, max_cost=max_cost))
    check_build(config)
    if dry_run:
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


def knowledge_contrast(config: "ContrastConfig", pack: str, *, out: Path, dry_run: bool = False) -> None:
    """Ask again about classes of a pack that are easily confused: how do they differ in motion?

    Args:
        pack: name of a shipped pack, or a YAML file
        out: YAML file of the new pack; its journal lies beside it
        dry_run: name the pairs, and ask nothing
    """
    _needs_ask()
    from sugar.authoring.build import confusable_pairs, contrast_pack
    from sugar.authoring.client.progress import AskingProgress
    from sugar.authoring.client.runner import ModelRunner
    from sugar.knowledge.embed import TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.pack_file import write_pack

    loaded = load_pack(pack)
    pairs = confusable_pairs(loaded, config.contrast, load_text_encoder(TextEncoderConfig()))
    for pair in pairs:
        print(f"{pair.first} / {pair.second}: {pair.value:.2f}, {pair.why}")
    if dry_run:
        return
    with AskingProgress() as progress:
        runner = ModelRunner(config.provider, config.running, out.with_suffix(".journal"), progress=progress)
        new, _ = contrast_pack(loaded, pairs, runner)
    write_pack(new, out)
    print(runner.summary.text())
    _report(out, runner.failures, runner.summary.left)


def knowledge_validate(pack: str, *, json: bool = False) -> None:
    """Check a knowledge pack: parts, counts, texts that two classes share.

    Args:
        pack: name of a shipped pack, or a YAML file
        json: one JSON list on standard output
    """
    from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.quality.checks import check_pack

    findings = check_pack(load_pack(pack), load_text_encoder(TextEncoderConfig()), cache=EmbeddingCache())
    errors = sum(finding.severity == "error" for finding in findings)
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(_printable(f"{finding.severity}: {finding}"))
        print(f"{pack}: {errors} errors, {len(findings) - errors} pieces of advice")
    if errors:
        raise InputError(f"knowledge pack {pack}: {errors} errors; fix them")


def knowledge_show(pack: str, *, class_: str | None = None, out: Path | None = None) -> None:
    """Print a knowledge pack, or one class of it; or write it as a page, with what its classes have in common.

    Args:
        pack: name of a shipped pack, or a YAML file
        class_: print only this class
        out: a .html file: write a page in place of printing
    """
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


def knowledge_diff(a: str, b: str, *, json: bool = False) -> None:
    """Compare two knowledge packs: texts that differ, and what that does to the likeness of their classes.

    Args:
        a: name of a shipped pack, or a YAML file
        b: the other one
        json: one JSON object on standard output
    """
    from sugar.knowledge.embed import EmbeddingCache, TextEncoderConfig, load_text_encoder
    from sugar.knowledge.pack import load_pack
    from sugar.knowledge.quality.pack_difference import difference

    encoder = load_text_encoder(TextEncoderConfig())
    found = difference(load_pack(a), load_pack(b), encoder, EmbeddingCache())
    if json:
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
        return [loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
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


COMMANDS: Commands = {
    "build": Command(knowledge_build, "sugar.authoring.config:BuildConfig", file="optional"),
    "contrast": Command(knowledge_contrast, "sugar.authoring.config:ContrastConfig", file=""),
    "validate": Command(knowledge_validate),
    "show": Command(knowledge_show),
    "diff": Command(knowledge_diff),
}
