"""A job shared out by Ray: the same promises as in one process, whoever of the processes dies."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from answering_server import AnsweringServer, Asked, Faults
from pydantic import BaseModel

from sugar.authoring.client import sharding
from sugar.authoring.client.config import Prices, ProviderConfig, RunningConfig, ShardingConfig
from sugar.authoring.client.journal import Entry, Journal
from sugar.authoring.client.progress import Summary
from sugar.authoring.client.request import Request
from sugar.authoring.client.sharding import run_sharded
from sugar.errors import InputError

FAULTY = Faults(share=0.3, seed=9)
CONFIG = RunningConfig(concurrency=16, backoff=0.01)
TIMEOUT = 2.0
ITEMS = [f"item {i}" for i in range(1000)]
HERE = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parents[1])))


class Motion(BaseModel):
    """The shape that is asked for."""

    name: str


def make(description: Mapping[str, Any]) -> list[Request]:
    return [Request(description["item"], f"What happens? Item: {description['item']}", Motion)]


def item_of(record: Mapping[str, Any]) -> str:
    return record["prompt"].split("Item: ")[1].split("\n")[0]


def say(asked: Asked) -> dict[str, str]:
    return {"name": item_of({"prompt": asked.prompt})}


def job(
    urls: list[str], folder: str, items: list[str] = ITEMS, config: RunningConfig = CONFIG, key_env: str = "NO_KEY"
) -> Summary:
    providers = [ProviderConfig(name="m", base_url=url, timeout=TIMEOUT, key_env=key_env) for url in urls]
    descriptions = ({"item": item} for item in items)
    return run_sharded(descriptions, make, providers, Path(folder), config, ShardingConfig(workers=2))


@pytest.fixture(scope="module")
def importable():
    """Processes that Ray starts can import this module."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'sugar[ray]'")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]))
        yield


@pytest.fixture(scope="module")
def ray_runs(importable):
    """A Ray that several tests share; a job takes the one that runs."""
    ray = sharding._ray()
    sharding._start(ray, ShardingConfig(workers=2))
    yield
    ray.shutdown()


def entries(folder: Path) -> dict[str, Entry]:
    """The journal by item; each line of it counts."""
    found = [json.loads(line) for file in folder.iterdir() for line in file.read_text().splitlines()]
    assert max(Counter(entry["item"] for entry in found).values()) == 1
    journal = {entry.item: entry for entry in Journal(folder).entries()}
    for item, entry in journal.items():
        assert (entry.answer == {"name": item}) != bool(entry.failure)
    return journal


def check_no_good_answer_is_asked_again(record: list[dict[str, Any]], kills: Sequence[float] = ()) -> None:
    """Unless the asking process was killed, or had waited in vain: the server cannot see that it was late."""
    by_item = defaultdict(list)
    for asked in sorted(record, key=lambda asked: asked["received"]):
        by_item[item_of(asked)].append(asked)
    for item, those in by_item.items():
        for good, late in pairwise(those):
            if good["well"]:
                killed = any(good["received"] <= kill <= late["received"] for kill in kills)
                # The asking side gave up; its clock runs from before the server took the question.
                assert killed or late["received"] - good["received"] > TIMEOUT / 2, item


def test_faults_with_two_workers_and_two_endpoints_and_a_worker_that_dies(ray_runs, tmp_path):
    with AnsweringServer(say, faults=FAULTY) as one, AnsweringServer(say, faults=FAULTY) as other:
        kills = []

        def kill_a_worker() -> None:
            while len(one.record()) + len(other.record()) < 300:
                time.sleep(0.01)
            first = min(tmp_path.iterdir(), key=lambda file: file.name.rsplit("-", 1)[1])
            os.kill(int(first.name.rsplit("-", 2)[1]), signal.SIGKILL)  # HOST-PID-START.jsonl
            kills.append(time.time())

        killer = threading.Thread(target=kill_a_worker)
        killer.start()
        summary = job([one.base_url, other.base_url], str(tmp_path), ITEMS + ITEMS[:50])
        killer.join()
        record = one.record() + other.record()
        assert one.record()
        assert other.record()
    journal = entries(tmp_path)
    assert set(journal) == set(ITEMS)
    assert len(list(tmp_path.iterdir())) == 3  # of two workers and the one that took the dead one's place
    assert summary.done == 1050
    assert {asked["fault"] for asked in record} == {"", *FAULTY.kinds}
    # Each question belongs to an entry, but for those that the killed worker had under way. On a busy machine entries
    # may count more: a question can time out before the server takes it.
    assert abs(len(record) - sum(entry.calls for entry in journal.values())) <= 8 * CONFIG.attempts
    check_no_good_answer_is_asked_again(record, kills)


def test_the_cost_of_all_workers_has_one_limit(ray_runs, tmp_path):
    prices = Prices(input=0.0, output=1e6)
    with AnsweringServer(lambda asked: {"name": "x" * 100}) as server:
        config = RunningConfig(concurrency=4, prices=prices, max_cost=1500)  # an answer is of 28 tokens
        summary = job([server.base_url], str(tmp_path), ITEMS[:200], config)
        assert 40 <= summary.answered <= 1500 // 28
        assert summary.spent == summary.cost <= 1500
        assert summary.left == 200 - summary.answered
        assert summary.answered == len(server.record()) == len(Journal(tmp_path))


def test_a_mistake_is_told_in_one_line(ray_runs, tmp_path, monkeypatch):
    with AnsweringServer(say, key="right") as server, pytest.raises(InputError, match="access denied") as error:
        job([server.base_url], str(tmp_path))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_killed_job_goes_on(importable, tmp_path):
    """SIGKILL for the process that started Ray: its workers end too, and what is in the journal stays."""
    with AnsweringServer(say, faults=FAULTY) as server:
        items = ITEMS[:300]
        code = f"from test_sharding import ITEMS, job; job([{server.base_url!r}], {str(tmp_path)!r}, ITEMS[:300])"
        with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
            while len(server.record()) < 100:
                assert process.poll() is None, process.communicate()[1]
                time.sleep(0.01)
            process.kill()
            process.wait()
            end = time.monotonic() + 60
            processes = [int(file.name.rsplit("-", 2)[1]) for file in tmp_path.iterdir()]
            while any(Path(f"/proc/{worker}").exists() for worker in processes):
                assert time.monotonic() < end, "the workers of a killed job go on"
                time.sleep(0.05)
        killed, before = time.time(), set(entries(tmp_path))
        assert 25 < len(before) < 300
        summary = job([server.base_url], str(tmp_path), items)
        record = server.record()
    journal = entries(tmp_path)
    assert set(journal) == set(items)
    assert (summary.done, summary.from_journal) == (300, len(before))
    assert not before & {item_of(asked) for asked in record if asked["received"] > killed}
    assert len(record) - sum(entry.calls for entry in journal.values()) <= 2 * 8 * CONFIG.attempts
    check_no_good_answer_is_asked_again(record, [killed])


def test_providers_of_different_models_are_refused(tmp_path):
    providers = [ProviderConfig(name=name, base_url="http://localhost:1/v1") for name in ("a", "b")]
    with pytest.raises(InputError, match="same model"):
        run_sharded([], make, providers, tmp_path, CONFIG, ShardingConfig())
    with pytest.raises(InputError, match="no provider"):
        run_sharded([], make, [], tmp_path, CONFIG, ShardingConfig())
    with pytest.raises(InputError, match="workers"):
        ShardingConfig(workers=0)


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'sugar\[ray\]'"):
        job(["http://localhost:1/v1"], str(tmp_path))
