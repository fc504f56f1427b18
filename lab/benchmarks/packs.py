"""How well texts find their class: ``python lab/benchmarks/packs.py [PACK ...] [--outside FOLDER] [--json]``.

Held out: each text of a pack in turn, against the other texts of all classes. Outside: texts that other projects
published for the same classes (``--outside``: the folder that holds GAP/, SMIE/, PURLS/ and Few-Shot_MDM/), against
all texts of a pack, as they are and with the words of the class name struck out. A text is given to the class whose
texts' mean is nearest ("mean"), to the class of the nearest single text ("nearest"), and, for want of a pack, to the
class whose bare name is nearest ("name").
"""

import argparse
import json
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from torch import Tensor
from torch.nn.functional import normalize

from sugar.datasets.class_names import class_names
from sugar.errors import InputError
from sugar.evaluation.metrics import wilson_interval
from sugar.knowledge.bank import TextBank, build_bank
from sugar.knowledge.cache import EmbeddingCache
from sugar.knowledge.embed import TextEncoder, TextEncoderConfig, embed_texts, load_text_encoder
from sugar.knowledge.pack import KnowledgePack, load_pack, shipped_packs
from sugar.knowledge.quality.distinguishing import stem
from sugar.knowledge.quality.figures import KINDS, class_similarities, held_out_queries, nearest_others, ranks

Report = dict[str, Any]


@dataclass(frozen=True)
class Outside:
    """A text by others: its source, the class it is about, its source's own name of that class."""

    source: str
    class_: str
    label: str
    text: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", nargs="*", metavar="PACK", help="names or files of packs; none: all that are shipped")
    parser.add_argument("--outside", type=Path, metavar="FOLDER", help="texts of other projects, unpacked")
    parser.add_argument("--encoder", default=TextEncoderConfig().name, help="text encoder: minilm, or a folder")
    parser.add_argument("--worst", type=int, default=20, help="how many confused pairs of classes to list")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    try:
        packs = {pack.name: pack for pack in map(load_pack, options.packs or shipped_packs())}
        encoder, cache = load_text_encoder(TextEncoderConfig(options.encoder)), EmbeddingCache()
        report: Report = {
            "encoder": encoder.name,
            "held_out": {name: held_out(pack, encoder, cache, options.worst) for name, pack in packs.items()},
        }
        if options.outside is not None:
            report["outside"] = {
                data_set: outside(packs[name].subset(names), texts, encoder, cache, options.worst)
                for data_set, (name, names, texts) in read_outside(options.outside).items()
                if name in packs
            }
    except InputError as error:
        parser.error(str(error))
    if options.json:
        print(json.dumps(report))
    else:
        print_tables(report)


def held_out(
    pack: KnowledgePack,
    encoder: TextEncoder,
    cache: EmbeddingCache | None = None,
    worst: int = 0,
    *,
    nameless: bool = True,
) -> Report:
    """Every text of ``pack`` against the others: top-1 and top-5 by kind, and the pairs of classes mixed up.

    ``nameless``: judge motion texts less their opening as well; it takes a third of the time.
    """
    kinds: Report = {}
    missed: dict[str, list[Report]] = {}
    for query in held_out_queries(pack, encoder, cache, nameless=nameless):
        kinds[query.kind], missed[query.kind] = _judge(query.bank, query.vectors, query.labels, query.rows)
    missed["visual and description"] = missed.pop("visual", []) + missed.pop("description", [])
    return {
        "classes": len(pack),
        "kinds": kinds,
        "confused": {kind: _pairs(mistakes, worst) for kind, mistakes in missed.items()},
        "misfits": missed["visual and description"],
    }


def outside(
    pack: KnowledgePack,
    texts: Sequence[Outside],
    encoder: TextEncoder,
    cache: EmbeddingCache | None = None,
    worst: int = 0,
) -> Report:
    """Texts of others against all texts of ``pack``: by source, and of all sources together."""
    bank = build_bank(pack, pack.names, encoder, KINDS, cache)
    bare = build_bank(None, pack.names, encoder, ("name",), cache)
    by_source: dict[str, list[Outside]] = defaultdict(list)
    for text in texts:
        by_source[text.source].append(text)
    if len(by_source) > 1:
        by_source["all"] = list(texts)
    report: Report = {}
    confused: Report = {}
    for source, own in by_source.items():
        masked = [(text, mask(text.text, f"{text.class_} {text.label}")) for text in own]
        versions = {
            "as it is": [(text, text.text) for text in own],
            # A caption that says no more than the name has nothing left to go by.
            "name masked": [(text, rest) for text, rest in masked if len(re.findall(r"\w+", rest)) > 3],
        }
        report[source] = {}
        for version, said in versions.items():
            if not said:
                continue
            labels = torch.tensor([pack.names.index(text.class_) for text, _ in said])
            vectors = embed_texts([rest for _, rest in said], encoder, cache)
            report[source][version], missed = _judge(bank, vectors, labels)
            report[source][version]["name"] = _judge(bare, vectors, labels)[0]["mean"]
            if source == "all":
                together = report.setdefault("a class's texts together", {})
                known = labels.unique()
                means = torch.stack([normalize(vectors[labels == label].mean(0), dim=0) for label in known])
                together[version] = _judge(bank, means, known)[0]
                together[version]["name"] = _judge(bare, means, known)[0]["mean"]
            # The last source is all of them.
            confused[version] = _pairs(missed, worst)
    return {"pack": pack.name, "classes": len(pack), "sources": report, "confused": confused}


def _judge(
    bank: TextBank, queries: Tensor, labels: Tensor, held_out: Tensor | None = None
) -> tuple[Report, list[Report]]:
    """Figures of both ways, and what the mean takes for another class: the class, the one found, a held-out text."""
    report: Report = {"n": len(queries)}
    mistakes: list[Report] = []
    for how in ("mean", "nearest"):
        similarities = class_similarities(bank, queries, labels, held_out, how)
        places = ranks(similarities, labels)
        right = int((places == 0).sum())
        report[how] = {
            "top1": right / len(places),
            "top1_interval": wilson_interval(right, len(places)),
            "top5": int((places < 5).sum()) / len(places),
        }
        if how == "mean":
            others = nearest_others(similarities, labels)
            for wrong in (places > 0).nonzero().flatten().tolist():
                pair = {"class": bank.names[labels[wrong]], "found": bank.names[others[wrong]]}
                mistakes.append(pair | ({} if held_out is None else {"text": bank.texts[held_out[wrong]]}))
    return report, mistakes


def _pairs(mistakes: Sequence[Report], worst: int) -> list[Report]:
    counts = Counter((mistake["class"], mistake["found"]) for mistake in mistakes)
    return [{"class": true, "found": found, "texts": n} for (true, found), n in counts.most_common(worst)]


# Outside texts -------------------------------------------------------------------------------------------------------


def read_outside(folder: Path) -> dict[str, tuple[str, tuple[str, ...], list[Outside]]]:
    """By data set: the pack to test, the classes among which is chosen, and the texts.

    Raises:
        InputError: a file is missing, damaged, or has not one text for each class in their order.
    """
    ntu = class_names("ntu120")
    smie, table = folder / "SMIE" / "descriptions", folder / "PURLS" / "supplements" / "gpt3_desc.xlsx"
    return {
        "ntu120": (
            "ntu120",
            ntu,
            [
                *_gap(folder / "GAP" / "text", "", ntu),
                *_smie(smie / "ntu120_des.txt", ntu),
                *_purls(table, 2, ntu),
                *_captions(folder / "Few-Shot_MDM" / "data" / "NTU120" / "action_captions.json", ntu),
            ],
        ),
        "ntu60": ("ntu120", ntu[:60], _smie(smie / "ntu60_des.txt", ntu[:60])),
        "pku_mmd": ("pku_mmd", class_names("pku_mmd"), _smie(smie / "pku_des.txt", class_names("pku_mmd"))),
        "utd_mhad": ("utd_mhad", class_names("utd_mhad"), _purls(table, 4, class_names("utd_mhad"))),
        "nw_ucla": (
            "nw_ucla",
            class_names("nw_ucla"),
            [
                *_gap(folder / "GAP" / "text", "ucla_", class_names("nw_ucla")),
                *_purls(table, 3, class_names("nw_ucla")),
            ],
        ),
    }


def _gap(folder: Path, prefix: str, names: Sequence[str]) -> list[Outside]:
    texts = []
    for kind in ("sentence", "pasta", "synonym"):
        lines = _lines(folder / f"{prefix}{kind}_openai_t01.txt", names)
        # The label ends at the first comma; in the lists of body parts and in some of UCLA at a semicolon.
        pieces = [re.split("[;,]", line, maxsplit=1) for line in lines]
        texts += [Outside(f"GAP {kind}", name, *_two(piece)) for name, piece in zip(names, pieces, strict=True)]
    return texts


def _smie(path: Path, names: Sequence[str]) -> list[Outside]:
    quoted = re.compile(r"^[\"“](.+?)[\"”]")
    found = ((name, line, quoted.match(line)) for name, line in zip(names, _lines(path, names), strict=True))
    return [Outside("SMIE", name, match[1] if match else "", line) for name, line, match in found]


def _captions(path: Path, names: Sequence[str]) -> list[Outside]:
    try:
        actions = json.loads(_text(path))["actions"]
        rows = [(action["action"], caption) for action in actions for caption in action["captions"][:1]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a list of actions with captions ({error})") from error
    _check_count(path, rows, names)
    return [Outside("Few-Shot_MDM", name, label, text) for name, (label, text) in zip(names, rows, strict=True)]


def _purls(path: Path, sheet: int, names: Sequence[str]) -> list[Outside]:
    """Columns: label, four body parts, three phases, the whole."""
    rows = list(_sheet(path, sheet))[1:]
    _check_count(path, rows, names)
    texts = []
    for kind, columns in {"parts": "BCDE", "phases": "FGH", "whole": "I"}.items():
        for name, row in zip(names, rows, strict=True):
            said = [row.get(column, "").strip().rstrip(".") for column in columns]
            texts.append(Outside(f"PURLS {kind}", name, row.get("A", ""), ". ".join(filter(None, said)) + "."))
    return texts


def _sheet(path: Path, number: int) -> Iterator[dict[str, str]]:
    """Rows of a sheet of an .xlsx file (a zip of XML), each from column letter to text."""
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    try:
        with zipfile.ZipFile(path) as book:
            table = ElementTree.fromstring(book.read("xl/sharedStrings.xml"))
            strings = ["".join(part.text or "" for part in item.iter(f"{space}t")) for item in table]
            rows = ElementTree.fromstring(book.read(f"xl/worksheets/sheet{number}.xml"))
            for row in rows.iter(f"{space}row"):
                cells = {cell.get("r", "")[:1]: cell.find(f"{space}v") for cell in row if cell.get("t") == "s"}
                yield {at: strings[int(cell.text or 0)] for at, cell in cells.items() if cell is not None}
    except (OSError, zipfile.BadZipFile, KeyError, ElementTree.ParseError, IndexError) as error:
        raise InputError(f"{path}: sheet {number} cannot be read ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give the folder of the unpacked texts") from error


def _lines(path: Path, names: Sequence[str]) -> list[str]:
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    _check_count(path, lines, names)
    return lines


def _check_count(path: Path, found: Sequence[object], names: Sequence[str]) -> None:
    if len(found) != len(names):
        raise InputError(f"{path}: {len(found)} texts, but {len(names)} classes")


def _two(piece: Sequence[str]) -> tuple[str, str]:
    return piece[0].strip(), piece[-1].strip()


# Masking -------------------------------------------------------------------------------------------------------------

_KEPT = frozenset(("a", "an", "the", "of", "to", "with", "in", "at", "or", "and", "from", "by", "for", "is", "other"))


def mask(text: str, name: str) -> str:
    """``text`` without the words of ``name`` in whatever form: for "wave hand" waves, waving, hands are struck out."""
    stems = {stem(word) for word in re.findall(r"\w+", name) if word.lower() not in _KEPT}
    kept = re.sub(r"\w+", lambda match: "" if stem(match[0]) in stems else match[0], text)
    return " ".join(kept.split())


# Tables --------------------------------------------------------------------------------------------------------------


def print_tables(report: Report) -> None:
    print(f"Text encoder {report['encoder']}. Shares in per cent; top-1 with its 95 % interval.")
    for name, pack in report["held_out"].items():
        _print_table(f"{name}, held out, {pack['classes']} classes", pack["kinds"])
        _print_pairs(pack["confused"])
    for name, tested in report.get("outside", {}).items():
        sources = tested["sources"].items()
        rows = {f"{source}, {version}": row for source, versions in sources for version, row in versions.items()}
        _print_table(f"{name}, outside texts, {tested['classes']} classes", rows)
        _print_pairs(tested["confused"])


def _print_table(title: str, rows: Report) -> None:
    print(f"\n{title}")
    for label, figures in rows.items():
        ways = [way for way in ("mean", "nearest", "name") if way in figures]
        if label == next(iter(rows)):
            print(f"{'':<32}{'n':>5}", *(f"{f'{way}: top-1':<20} {'top-5':>6}" for way in ways), sep="  ")
        columns = []
        for way in ways:
            low, high = figures[way]["top1_interval"]
            top1 = f"{100 * figures[way]['top1']:.1f} ({100 * low:.1f} to {100 * high:.1f})"
            columns.append(f"{top1:<20} {100 * figures[way]['top5']:>6.1f}")
        print(f"{label:<32}{figures['n']:>5}", *columns, sep="  ")


def _print_pairs(confused: Report) -> None:
    for kind, pairs in confused.items():
        if pairs:
            said = (f"{pair['class']} > {pair['found']} {pair['texts']}" for pair in pairs)
            print(f"mixed up, {kind}: {'; '.join(said)}")


if __name__ == "__main__":
    main()
