"""A script for the answering server that plays back a knowledge pack, as if a model had written it just now."""

import re
from collections import Counter
from typing import Any

from answering_script import Answer, Asked, Failure

from sugar.authoring.tasks import motion_sentences
from sugar.facts.grammar import of_two, parse
from sugar.knowledge.pack import BODY_PARTS, ClassKnowledge, KnowledgePack

CONTRASTS = dict[tuple[str, str], dict[str, Any]]


def play_back(pack: KnowledgePack, contrasts: CONTRASTS | None = None) -> Answer:
    """Answers with the texts of ``pack``; of visual ones each time the next of the class."""
    seen: Counter[str] = Counter()

    def answer(asked: Asked) -> dict[str, Any] | Failure:
        fields = set((asked.schema or {}).get("properties", {}))
        if "difference" in fields and "first" in fields:
            first, second = (_named(asked, "First action"), _named(asked, "Second action"))
            return (contrasts or {})[first, second]
        name = _named(asked, "Action")
        if name not in pack:
            return Failure(400, f"no class {name!r}")
        entry = pack[name]
        if "variants" in fields:
            return {"people": people(entry), "variants": [six_parts(text) for text in entry.motion]}
        if "sentences" in fields:
            return {"people": people(entry), "sentences": [statements(text) for text in entry.motion_sentences]}
        if asked.sha256 or asked.video_sha256:
            seen[name] += 1
            return {"texts": [entry.visual[(seen[name] - 1) % len(entry.visual)]]}
        if "texts" in fields:
            return {"texts": list(entry.descriptions)}
        return {"text": entry.descriptions[0]}

    return answer


def contrasted_class(entry: ClassKnowledge) -> dict[str, Any]:
    """One side of an answer about two classes."""
    return {
        "people": people(entry),
        "motion": [six_parts(text) for text in entry.motion],
        "sentences": [statements(text) for text in entry.motion_sentences],
        "descriptions": list(entry.descriptions),
    }


def people(entry: ClassKnowledge) -> int:
    return 2 if any(of_two(parse(text)) for text in entry.motion_sentences) else 1


def six_parts(text: str) -> dict[str, str]:
    phrases = text.partition(": ")[2].split("; ")
    return dict(zip(BODY_PARTS, phrases, strict=True))


def statements(text: str) -> dict[str, Any]:
    claims = parse(text)
    two = of_two(claims)
    said = {claim: pair for pair, claim in motion_sentences._STATEMENTS.items() if pair[0] in _names(two)}
    return {"statements": [{"who": said[claim][0], "does": said[claim][1]} for claim in claims]}


def _names(two: bool) -> set[str]:
    return {who for who in motion_sentences._WHO if (who in motion_sentences._OF_TWO) == two}


def _named(asked: Asked, field: str) -> str:
    return re.findall(rf'^{field}: "(.*)"$', asked.prompt, re.MULTILINE)[-1]
