"""How good a generated description is: against reference texts, and against the label it should name."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sugar.errors import InputError
from sugar.facts.description_check import CheckedClaim, faithfulness
from sugar.facts.grammar import parse


@dataclass(frozen=True)
class ChrF:
    """Corpus chrF in [0, 100] (Popovic 2015) and sacrebleu's signature, which makes it comparable."""

    score: float
    signature: str


@dataclass(frozen=True)
class DescriptionMetrics:
    """Figures of n generated texts; shares in [0, 1], chrF in [0, 100] or None without sacrebleu.

    ``faithfulness`` is the share of the ``claims`` decided by the joints that hold, None without any; ``claiming``
    the share of texts that claim anything.
    """

    n: int
    rouge_l: float
    label_first: float
    label_named: float
    chrf: float | None
    chrf_signature: str | None
    faithfulness: float | None = None
    claims: int = 0
    claiming: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """Plain types for JSON."""
        return asdict(self)


def chrf(texts: Sequence[str], references: Sequence[Sequence[str]]) -> ChrF:
    """Corpus chrF; the best of each text's references counts.

    Args:
        texts: N generated descriptions.
        references: for each text one or more references; the numbers may differ.

    Raises:
        ImportError: sacrebleu is missing.
        InputError: lengths differ or a text has no reference.
    """
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise ImportError("chrF needs sacrebleu: pip install 'sugar[metrics]'") from error
    _check_references(texts, references)
    # sacrebleu wants one stream per reference number; repeating a text's last one changes no maximum.
    most = max(len(r) for r in references)
    streams = [[r[min(i, len(r) - 1)] for r in references] for i in range(most)]
    metric = CHRF()
    score = metric.corpus_score(list(texts), streams).score
    return ChrF(score=float(score), signature=str(metric.get_signature()))


def rouge_l(text: str, reference: str) -> float:
    """ROUGE-L F1 in [0, 1] (Lin 2004): longest common subsequence of lower-cased words."""
    a, b = _words(text), _words(reference)
    if not a or not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for word in a:
        diagonal = 0
        for j, other in enumerate(b, start=1):
            above = row[j]
            row[j] = diagonal + 1 if word == other else max(above, row[j - 1])
            diagonal = above
    # F1 of precision LCS/|a| and recall LCS/|b|
    return 2 * row[-1] / (len(a) + len(b))


def leading_label(text: str, names: Sequence[str]) -> str | None:
    """The candidate name that the text starts with, or None; the longest where one begins another.

    Whole words only, case and punctuation aside: "Sit down. ..." names "sit down" and not "sit".
    """
    words = _words(text)
    matches = [n for n in names if (w := _words(n)) and words[: len(w)] == w]
    return max(matches, key=lambda n: len(_words(n)), default=None)


def names_label(text: str, label: str) -> bool:
    """Whether the label stands anywhere in the text, as whole words in order."""
    words, wanted = _words(text), _words(label)
    return bool(wanted) and any(words[i : i + len(wanted)] == wanted for i in range(len(words) - len(wanted) + 1))


def describe_metrics(
    texts: Sequence[str],
    references: Sequence[Sequence[str]],
    labels: Sequence[str],
    candidates: Sequence[str],
    claims: Sequence[Sequence[CheckedClaim]] = (),
) -> DescriptionMetrics:
    """All figures of a set of generated texts.

    References tell of the class, so sentences that make checkable claims about the clip are not held against them.

    Args:
        texts: N answers of the form ``{label}. {description}``; references are met without the label.
        references: one or more reference descriptions for each.
        labels: N names that the texts should agree with: the predicted ones for agreement, the true ones for
            the accuracy of free generation.
        candidates: all names of the list.
        claims: those of each text, checked.

    Raises:
        InputError: lengths differ, nothing to score, or a text has no reference.
    """
    _check_references(texts, references)
    if len(labels) != len(texts):
        raise InputError(f"{len(labels)} labels for {len(texts)} descriptions: give one each")
    leading = [leading_label(t, candidates) for t in texts]
    bodies = [without_claims(strip_label(t, name)) for t, name in zip(texts, leading, strict=True)]
    pairs = list(zip(bodies, references, strict=True))
    try:
        character_score = chrf(bodies, references)
    except ImportError:
        character_score = None
    return DescriptionMetrics(
        n=len(texts),
        rouge_l=float(np.mean([max(rouge_l(body, r) for r in refs) for body, refs in pairs])),
        label_first=float(np.mean([a == b for a, b in zip(leading, labels, strict=True)])),
        label_named=float(np.mean([names_label(t, n) for t, n in zip(texts, labels, strict=True)])),
        chrf=character_score.score if character_score else None,
        chrf_signature=character_score.signature if character_score else None,
        faithfulness=faithfulness(claim for of_text in claims for claim in of_text),
        claims=sum(claim.holds is not None for of_text in claims for claim in of_text),
        claiming=float(np.mean([bool(of_text) for of_text in claims])) if claims else 0.0,
    )


def strip_label(text: str, label: str | None) -> str:
    """The description without its leading label (see `leading_label`) and the full stop behind it."""
    if label is None:
        return text.strip()
    words = list(re.finditer(r"\w+", text))
    end = words[len(_words(label)) - 1].end()
    return re.sub(r"^\W+", "", text[end:]).strip()


def without_claims(text: str) -> str:
    """The sentences that claim nothing checkable; the whole text where all do."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return " ".join(sentence for sentence in sentences if not parse(sentence)) or text


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _check_references(texts: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if not texts:
        raise InputError("no descriptions to score: generate at least one")
    if len(texts) != len(references):
        raise InputError(f"{len(references)} sets of references for {len(texts)} descriptions: give one set each")
    empty = [i for i, r in enumerate(references) if isinstance(r, str) or not r]
    if empty:
        raise InputError(f"description {empty[0]} has no list of references: give at least one")
