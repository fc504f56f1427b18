"""The grounded motion language: what is said is read back exactly, and nothing else is read."""

import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sugar.facts.claims import VALUES, Claim, Subject
from sugar.facts.grammar import ALLOWED, is_allowed, parse, read, say, words
from sugar.knowledge.pack import load_pack

ALL = [
    claim
    for subject, predicates in ALLOWED.items()
    for predicate, person in product(sorted(predicates), (0, 1))
    for value in VALUES[predicate]
    if is_allowed(claim := Claim(subject, predicate, value, person))
]
ALONE = [claim for claim in ALL if claim.person == 0 and claim.subject != "people"]


def any_wording(seed: int | None) -> np.random.Generator | None:
    return None if seed is None else np.random.default_rng(seed)


def claim_lists(*, consistent: bool) -> st.SearchStrategy[list[Claim]]:
    """Claims of one person or two; consistent ones have one value for each subject and predicate."""

    def key(claim: Claim) -> object:
        return (claim.subject, claim.predicate, claim.person) if consistent else claim

    return st.one_of(
        st.lists(st.sampled_from(claims), min_size=1, max_size=14, unique_by=key) for claims in (ALONE, ALL)
    )


@settings(max_examples=400, deadline=None)
@given(
    claims=st.one_of(claim_lists(consistent=True), claim_lists(consistent=False)),
    seed=st.none() | st.integers(0, 2**32 - 1),
)
def test_parse_inverts_say(claims: list[Claim], seed: int | None):
    text = " ".join(say(claims, any_wording(seed)))
    assert set(parse(text)) == set(claims), text
    assert set(parse(text.upper())) == set(claims)
    assert all(found for _, found in read(text))
    mirrored = [claim.mirrored() for claim in claims]
    assert set(parse(" ".join(say(mirrored, any_wording(seed))))) == set(mirrored)


@settings(max_examples=100, deadline=None)
@given(claims=claim_lists(consistent=True), seed=st.none() | st.integers(0, 2**32 - 1))
def test_subjects_keep_their_order_and_sentences_stay_short(claims: list[Claim], seed: int | None):
    speakers = [("body" if c.subject == "knees" else c.subject, c.person) for c in claims]
    sentences = say(claims, any_wording(seed))
    read_back = [("body" if c.subject == "knees" else c.subject, c.person) for c in parse(" ".join(sentences))]
    assert list(dict.fromkeys(read_back)) == list(dict.fromkeys(speakers))
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
    assert max(len(sentence.split()) for sentence in sentences) <= 45


@pytest.mark.parametrize("subject", ALLOWED)
def test_every_claim_has_several_phrasings_of_its_own(subject: Subject):
    for claim in (claim for claim in ALL if claim.subject == subject):
        said = {" ".join(say([claim], any_wording(seed))) for seed in (None, *range(30))}
        assert all(parse(text) == (claim,) for text in said)
        # Count and pace are adverbs, which stand alone in one way only.
        assert len(said) >= 2 or claim.predicate in ("repeats", "speed")


def test_wording_is_fixed_without_a_generator_and_follows_its_seed():
    claims = [Claim("right hand", "moves"), Claim("right hand", "rises to", "head"), Claim("left hand", "still")]
    assert say(claims) == say(claims)
    assert say(claims, np.random.default_rng(5)) == say(claims, np.random.default_rng(5))
    assert len({tuple(say(claims, np.random.default_rng(seed))) for seed in range(40)}) > 8
    assert say([]) == []
    assert say(claims + claims) == say(claims)


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        (
            [
                Claim("right hand", "speed", "fast"),
                Claim("right hand", "rises to", "above the head"),
                Claim("right hand", "path", "zigzag"),
                Claim("right hand", "repeats", "4"),
            ],
            "The right hand rises above the head and swings to and fro four times, quickly.",
        ),
        ([Claim("both hands", "hands", "meet"), Claim("both hands", "repeats", "5")], "Both hands meet five times."),
        (
            [Claim("body", "speed", "slow"), Claim("body", "becomes", "sitting"), Claim("knees", "bends")],
            "The person sits down and bends the knees slowly.",
        ),
        ([Claim("body", "jumps"), Claim("body", "repeats", "2")], "The person jumps twice."),
        (
            # A count is of what is done again and again.
            [
                Claim("left hand", "repeats", "2"),
                Claim("left hand", "path", "clockwise circle"),
                Claim("left hand", "goes", "up"),
                Claim("left hand", "moves"),
            ],
            "The left hand moves, goes up and draws a circle clockwise twice.",
        ),
        (
            # An adverb is of an event: nobody stays standing many times.
            [Claim("body", "posture", "standing"), Claim("body", "repeats", "10")],
            "The person stays standing and repeats the motion many times.",
        ),
        (
            [
                Claim("left foot", "moves"),
                Claim("left foot", "rises to", "hip"),
                Claim("left foot", "goes", "forward"),
                Claim("left foot", "path", "straight"),
            ],
            "The left foot moves and rises to hip height. The left foot reaches forward and moves in a straight line.",
        ),
        (
            [
                Claim("people", "distance", "closer"),
                Claim("right hand", "goes", "forward", 1),
                Claim("body", "travels", "back"),
            ],
            "The two people come closer. The second person's right hand reaches forward. The first person walks back.",
        ),
    ],
)
def test_canonical_sentences(claims: list[Claim], text: str):
    assert " ".join(say(claims)) == text


def test_the_vocabulary_is_small_and_all_of_it_is_said():
    said = set()
    for seed in range(300):
        rng = np.random.default_rng(seed)
        claims = [ALL[i] for i in rng.permutation(len(ALL))[:40]]
        said |= {word.strip(".,") for sentence in say(claims, rng) for word in sentence.lower().split()}
    assert said == words()
    assert len(said) <= 130


@pytest.mark.parametrize(
    "claim",
    [
        Claim("left foot", "still"),
        Claim("knees", "jumps"),
        Claim("body", "bends", ""),
        Claim("knees", "bends", "forward"),
        Claim("right hand", "hands", "meet"),
        Claim("people", "distance", "near", 1),
        Claim("body", "jumps", "", 2),
    ],
)
def test_what_makes_no_sense_is_not_said(claim: Claim):
    assert not is_allowed(claim)
    with pytest.raises(ValueError, match="makes no sense"):
        say([claim])


SITS = Claim("body", "becomes", "sitting")
RISES = Claim("right hand", "rises to", "head")
STILL = Claim("left hand", "still")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("the person sits down", (SITS,)),
        ("The person sits down! The person sits down?", (SITS,)),
        ("The\nperson   sits\tdown .", (SITS,)),
        ("The first person sits down.", (SITS,)),
        ("The right hand rises to head height, the left hand stays still.", (RISES, STILL)),
        ("The left hand stays still while the right hand rises to head height", (STILL, RISES)),
        # Parts of a sentence that are not of the vocabulary are passed over, whole clauses at a time.
        ("The person sits down and drinks a cup of tea.", (SITS,)),
        ("The person takes a cup of tea, which is hot, and sits down.", (SITS,)),
        ("A dog barks while the right hand rises to head height and waves.", (RISES,)),
        ("The right hand rises to head height while somebody sings and stays still.", (RISES,)),
        ("The person never sits down.", ()),
        ("The person sits down on a chair.", ()),
        ("A friend of the person sits down.", ()),
        ("The right hand rises to head height or hip height.", ()),
        # A clause takes its name from its fact caption only, and its verb in the right number and of the right thing.
        ("The person. Sits down.", ()),
        ("Sits down and stays still.", ()),
        ("Both hands rises to head height.", ()),
        ("The right hand sits down.", ()),
        ("The right foot stays still.", ()),
        ("", ()),
        (" , and. while; and", ()),
        ("The the person the right hand", ()),
    ],
)
def test_reading(text: str, claims: tuple[Claim, ...]):
    assert parse(text) == claims


def test_other_text_claims_nothing():
    pack = load_pack("nw_ucla")
    texts = [text for entry in pack.classes for text in (*entry.motion, *entry.visual, *entry.descriptions)]
    assert [text for text in texts if parse(text)] == []


@settings(max_examples=200, deadline=None)
@given(st.text() | st.lists(st.sampled_from(sorted(words() | {",", ".", "dog"})), max_size=60).map(" ".join))
def test_any_text_can_be_read(text: str):
    assert all(is_allowed(claim) for claim in parse(text))


@pytest.mark.parametrize(
    "piece", ["the right hand ", "the two hands of the second ", "a ", "-", ",", "and ", "goes up "]
)
def test_long_text_is_read_in_linear_time(piece: str):
    start = time.perf_counter()
    parse(piece * 50_000)
    # Some 0.1 s; were it quadratic it would take minutes.
    assert time.perf_counter() - start < 15
