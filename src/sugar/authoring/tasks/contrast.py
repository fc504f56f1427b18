"""Classes that are mistaken for each other: which they are, and new texts that stress how they differ in motion.

Imports pydantic.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field, field_validator, model_validator

from sugar.authoring.client.request import Request
from sugar.authoring.tasks.answer_shape import AnswerShape, Text, distinct_texts, exactly, words
from sugar.authoring.tasks.class_descriptions import check_descriptions
from sugar.authoring.tasks.motion_knowledge import People, SixParts, check_people, check_variants, people_line
from sugar.authoring.tasks.motion_sentences import SENTENCES, MotionSentence, check_sentences, people_of, vocabulary
from sugar.authoring.tasks.quoting import Marked, prompt, quoted, quoted_texts
from sugar.errors import InputError
from sugar.facts.grammar import say
from sugar.knowledge.pack import ClassKnowledge


@dataclass(frozen=True)
class ConfusablePair:
    """Two classes that are mistaken for each other.

    ``value``: similarity of their texts, or share of their clips that are taken for the other; ``why`` says which.
    """

    first: str
    second: str
    value: float
    why: str


class ContrastedClass(AnswerShape):
    """New texts of one of two classes."""

    people: People
    motion: list[SixParts]
    sentences: Annotated[list[MotionSentence], Field(min_length=SENTENCES[0], max_length=SENTENCES[1])]
    descriptions: list[Text]


class ContrastAnswer(AnswerShape):
    """How two classes differ in motion, and texts for both that say so."""

    difference: Text
    first: ContrastedClass
    second: ContrastedClass


def contrast_request(
    first: ClassKnowledge, second: ClassKnowledge, *, count: int = 3, descriptions: int = 4
) -> Request:
    """Ask how two classes differ in motion, and for texts of both that stress it.

    How many people take part is what the motion sentences of each tell; without any the model decides.

    Args:
        count: motion texts of each class.
        descriptions: descriptions of each class.

    Raises:
        InputError: a name or text that cannot be sent.
    """
    people = people_of(first), people_of(second)
    text = prompt(
        "contrast",
        first=quoted(first.name),
        second=quoted(second.name),
        first_people=people_line(people[0]),
        second_people=people_line(people[1]),
        first_texts=_old_texts(first),
        second_texts=_old_texts(second),
        count=count,
        descriptions=descriptions,
        least=SENTENCES[0],
        most=SENTENCES[1],
        vocabulary=vocabulary(people[0] if people[0] == people[1] else None),
    )
    answer = contrast_answer(first, second, count=count, descriptions=descriptions)
    return Request(f"contrast/{first.name}/{second.name}", text, answer, template="contrast")


def contrasted(entry: ClassKnowledge, new: ContrastedClass, *, add: bool = False) -> ClassKnowledge:
    """The class with its new motion texts, motion sentences and descriptions, in place of the old.

    With ``add`` they stand before the old. Visual texts stay: they come from pictures.
    """
    motion = tuple(parts.text(entry.name) for parts in new.motion)
    sentences = tuple(" ".join(say(each.claims, two_people=new.people == 2)) for each in new.sentences)
    texts = tuple(new.descriptions)
    if add:
        motion = distinct_texts(motion + entry.motion)
        sentences = distinct_texts(sentences + entry.motion_sentences)
        texts = distinct_texts(texts + entry.descriptions)
    return replace(entry, motion=motion, motion_sentences=sentences, descriptions=texts)


def contrast_answer(
    first: ClassKnowledge, second: ClassKnowledge, *, count: int, descriptions: int
) -> type[ContrastAnswer]:
    """The shape of the answer to `contrast_request`."""

    # Within the class its fields' names would hide the arguments.
    first_shape = _contrasted_class(first, count, descriptions)
    second_shape = _contrasted_class(second, count, descriptions)

    class ExpectedContrastAnswer(ContrastAnswer):
        first: first_shape  # type: ignore[valid-type]
        second: second_shape  # type: ignore[valid-type]

        @model_validator(mode="after")
        def _differ(self) -> "ExpectedContrastAnswer":
            _check_apart(self.first, self.second)
            return self

    return ExpectedContrastAnswer


def confusable_by_similarity(
    similarity: ArrayLike, names: Sequence[str], *, count: int = 10, threshold: float = 0.6
) -> list[ConfusablePair]:
    """The ``count`` pairs of classes whose texts are most alike, of at least ``threshold``, the closest first.

    Args:
        similarity: ``[C, C]``, of the classes in a text encoder.
    """
    values = np.asarray(similarity, dtype=np.float64)
    if values.shape != (len(names), len(names)):
        raise ValueError(f"similarity has shape {values.shape} for {len(names)} names")
    return _top((values + values.T) / 2, names, count, threshold, "similarity of their texts")


def confusable_by_report(
    report: Path | Mapping[str, Any], *, scorer: str = "", count: int = 10, threshold: float = 0.05
) -> list[ConfusablePair]:
    """The ``count`` pairs of classes that a trained run mistakes most often, the worst first.

    Their value is the share of all clips of the two that were taken for the other.

    Args:
        report: ``report.json`` of ``sugar eval``, its folder, or its content.
        scorer: whose confusions; empty: ``fused``, or the first.

    Raises:
        InputError: no such report, one without confusions, or without that scorer.
    """
    where = "report" if isinstance(report, Mapping) else str(report)
    content = report if isinstance(report, Mapping) else _read_report(Path(report))
    details = content.get("details")
    if not isinstance(details, Mapping) or not details or "classes" not in content:
        raise InputError(f"{where}: holds no confusions; give the report.json of `sugar eval`")
    scorer = scorer or ("fused" if "fused" in details else next(iter(details)))
    if scorer not in details:
        raise InputError(f"{where}: has no scorer {scorer!r}; it has {', '.join(details)}")
    confusion = np.asarray(details[scorer]["confusion"], dtype=np.float64)
    clips = confusion.sum(axis=1)
    both = clips[:, None] + clips[None, :]
    rates = np.divide(confusion + confusion.T, both, out=np.zeros_like(both), where=both > 0)
    return _top(rates, content["classes"], count, threshold, f"clips taken for the other by {scorer!r}")


def _top(values: np.ndarray, names: Sequence[str], count: int, threshold: float, why: str) -> list[ConfusablePair]:
    rows, columns = np.triu_indices(len(names), k=1)
    order = np.argsort(-values[rows, columns], kind="stable")
    pairs = [ConfusablePair(names[rows[i]], names[columns[i]], float(values[rows[i], columns[i]]), why) for i in order]
    return [pair for pair in pairs if pair.value >= threshold][:count]


def _read_report(path: Path) -> Mapping[str, Any]:
    # `evaluation` has a reader of its own, but stands on a higher floor.
    path = path / "report.json" if path.is_dir() else path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give the report.json of `sugar eval`") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON; give the report.json of `sugar eval`") from error
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: is no report; give the report.json of `sugar eval`")
    return content


def _old_texts(entry: ClassKnowledge) -> Marked:
    texts = (*entry.motion, *entry.descriptions, *entry.motion_sentences)
    return quoted_texts(texts, f"text of {entry.name}")


def _contrasted_class(entry: ClassKnowledge, count: int, descriptions: int) -> type[ContrastedClass]:
    people = people_of(entry)
    motion_shape = exactly(SixParts, count)
    descriptions_shape = exactly(Text, descriptions)

    class ExpectedClass(ContrastedClass):
        motion: motion_shape  # type: ignore[valid-type]
        descriptions: descriptions_shape  # type: ignore[valid-type]

        @field_validator("people")
        @classmethod
        def _as_asked(cls, value: People) -> People:
            return check_people(value, people)

        @model_validator(mode="after")
        def _fit(self) -> "ExpectedClass":
            check_variants(self.motion, entry.name, self.people)
            check_sentences(self.sentences, self.people)
            check_descriptions(self.descriptions)
            return self

    return ExpectedClass


def _check_apart(first: ContrastedClass, second: ContrastedClass) -> None:
    """Refuse texts and statements that both classes have."""
    claims = {frozenset(each.claims) for each in first.sentences}
    if any(frozenset(each.claims) in claims for each in second.sentences):
        raise ValueError("a motion sentence of the first action states the same as one of the second: tell them apart")
    texts = {words(text) for text in first.descriptions} | {words(parts.text("")) for parts in first.motion}
    for text in (*second.descriptions, *(parts.text("") for parts in second.motion)):
        if words(text) in texts:
            raise ValueError(f"both actions have the text {text!r}: word them so that they differ")
