"""Measured facts against the truth of synthetic clips: ``python lab/benchmarks/facts.py [--clips 24] [--seed 2026]``.

Prints JSON: for each fact how many of the true ones the joints bear out, how many wrong ones they bear out as
well (every other value of a true claim), and the time a clip takes. The clips have the default sensor noise.
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import replace

from sugar.datasets.synthetic import SYNTHETIC_CLASSES, Truth, generate_with_truth
from sugar.facts.claims import VALUES, Claim
from sugar.facts.measure import MotionFacts, PersonFacts, measure

_LIMBS = ("left hand", "right hand", "left foot", "right foot")


class Tally:
    """Counts of right answers by fact."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.right: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    def note(self, fact: str, right: bool, where: str) -> None:
        self.total[fact] += 1
        self.right[fact] += right
        if not right:
            self.missed[f"{where}: {fact}"] += 1

    def table(self) -> dict[str, dict[str, float]]:
        return {
            fact: {"n": n, "right": self.right[fact], "share": round(self.right[fact] / n, 4)}
            for fact, n in sorted(self.total.items())
        }


def note_person(tally: Tally, facts: MotionFacts, person: int, truth: Truth, label: str, claims: list[Claim]) -> None:
    """The four facts that the project promises, of one person."""
    one: PersonFacts = facts.people[person]
    said = {(c.subject, c.predicate) for c in claims}
    for side in ("left", "right"):
        for limb, acting in (("hand", truth.hands), ("foot", truth.feet)):
            moves = facts.check(Claim(f"{side} {limb}", "moves", "", person))  # type: ignore[arg-type]
            if side in acting:
                tally.note("limb: an acting one moves", moves is True, label)
            elif (f"{side} {limb}", "still") in said:
                still = facts.check(Claim(f"{side} {limb}", "still", "", person))  # type: ignore[arg-type]
                tally.note("limb: a still one is still and does not move", still is True and moves is False, label)
    measured = one.side(facts.limit)
    if truth.side:
        tally.note("side", measured == truth.side, label)
    elif len(truth.hands) == 2:
        tally.note("side: none where both hands act", measured is None, label)
    counts = dict(zip(_LIMBS, (limb.repeats for limb in (*one.hands, *one.feet)), strict=True))
    counts["body"] = one.body.repeats
    for claim in claims:
        if claim.predicate == "repeats":
            tally.note("repetitions within one", abs(counts[claim.subject] - int(claim.value)) <= 1, label)
            tally.note("repetitions exact", counts[claim.subject] == int(claim.value), label)
    ends = (one.body.postures[0], one.body.postures[-1])
    tally.note("posture at start and end", ends == (truth.posture_start, truth.posture_end), label)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=24, help="clips a class")
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    tally, claimed, wrong = Tally(), Tally(), Tally()
    clips, said, false, seconds = 0, 0, 0, 0.0
    for clip, truth in generate_with_truth(args.clips, args.seed):
        begin = time.process_time()
        facts = measure(clip)
        own = facts.claims()
        seconds += time.process_time() - begin
        clips, said = clips + 1, said + len(own)
        false += sum(facts.check(claim) is not True for claim in own)
        claims = list(truth.claims) + list(truth.partner.claims if truth.partner else ())
        label = clip.label or ""
        for person, one in enumerate([truth, truth.partner] if truth.partner else [truth]):
            if one is not None and person < len(facts.people):
                note_person(tally, facts, person, one, label, [c for c in claims if c.person == person])
        true = set(claims)
        for claim in claims:
            claimed.note(claim.predicate, facts.check(claim) is True, f"{label}: {claim.subject} {claim.value}")
            for value in VALUES[claim.predicate]:
                other = replace(claim, value=value)
                if other not in true and claim.subject != "people":
                    wrong.note(claim.predicate, facts.check(other) is True, f"{label}: {claim.value} as {value}")
    result = {
        "clips": clips,
        "classes": len(SYNTHETIC_CLASSES),
        "seed": args.seed,
        "facts": tally.table(),
        "true_claims_borne_out": claimed.table(),
        "other_values_borne_out": wrong.table(),
        "claims_a_clip": round(said / clips, 2),
        "own_claims_not_borne_out": false,
        "cpu_ms_a_clip": round(1000 * seconds / clips, 2),
        "most_missed": dict((tally.missed + claimed.missed).most_common(12)),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
