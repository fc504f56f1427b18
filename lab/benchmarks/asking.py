"""How many questions a second a job reaches: ``python lab/benchmarks/asking.py [--limits 8,64,256] [--json]``.

The test server runs as a process of its own and takes 200 ms for each answer, so a limit of n questions at the same
time allows n / 0.2 s of them in a second. For each limit: what was reached, its share of that, and the processor time
of a question in this process (client, checks, journal), which sets the most that one process reaches on one core; past
it, a job is shared out (`sugar.authoring.client.sharding`). The journal is on disk, in the temporary folder. Other work
on the machine disturbs all figures, the processor time least; ``load`` tells of it.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sugar.authoring.client.config import ProviderConfig, RunningConfig
from sugar.authoring.client.job import run_requests
from sugar.authoring.client.journal import Journal
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.providers import OpenAIProvider
from sugar.authoring.client.request import Request

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from answering_server import server_process


class Motion(BaseModel):
    """Six body parts, as motion knowledge has them."""

    head: str
    hand: str
    arm: str
    hip: str
    leg: str
    foot: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limits", default="8,64,256", help="questions at the same time")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that the server takes")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each limit would take at best")
    parser.add_argument("--prompt", type=int, default=2000, help="characters of a question")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "latency_s": options.latency, "limits": {}}
    for limit in map(int, options.limits.split(",")):
        rounds = max(2, round(options.seconds / options.latency))
        row = measure(limit, limit * rounds, options.latency, options.prompt)
        report["limits"][limit] = row
        if not options.json:
            print(f"{limit} at the same time: " + ", ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        print(json.dumps(report))


def questions(count: int, characters: int, name: str) -> Iterator[Request]:
    return (Request(f"{name} {i}", f"{name} {i} ".ljust(characters, "x"), Motion) for i in range(count))


def measure(limit: int, count: int, latency: float, characters: int) -> dict[str, float]:
    """One job of ``count`` questions, ``limit`` of them at the same time."""
    with server_process("--latency-ms", str(1000 * latency)) as url, tempfile.TemporaryDirectory() as folder:
        provider = OpenAIProvider(ProviderConfig(name="benchmark", base_url=url, timeout=30))
        config = RunningConfig(concurrency=limit)

        def run(name: str, count: int) -> Summary:
            summary = Summary()
            journal = Journal(Path(folder) / name)
            for _ in run_requests(questions(count, characters, name), provider, journal, config, summary=summary):
                pass
            return summary

        run("imports", 2)
        load, processor = os.getloadavg()[0], time.process_time()
        summary = run("timed", count)
        processor = time.process_time() - processor
    if summary.answered != count or summary.retried:
        raise SystemExit(f"not all were answered at once: {summary.text()}")
    reached = count / summary.seconds
    return {
        "questions": count,
        "seconds": round(summary.seconds, 2),
        "questions_per_s": round(reached, 1),
        "share_of_possible": round(reached * latency / limit, 3),
        "processor_ms_a_question": round(1000 * processor / count, 2),
        "load": round(load, 1),
    }


if __name__ == "__main__":
    main()
