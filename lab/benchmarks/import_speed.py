"""Speed of importing NTU RGB+D: ``python lab/benchmarks/import_speed.py [--clips 4000] [--memory 200,2000] [--json]``.

Writes synthetic clips in the exact form of ``.skeleton`` files (seven digits a number, twelve numbers a joint, CRLF;
every fourth clip with two bodies) into a temporary folder and reads them

- with the field's usual reader in plain Python: line by line, a dict for each joint (some hundred clips will do);
- with ours, parsing alone, in one process;
- with ours into a store (parsing, cleaning, checks, writing), in one process and in two.

Memory: the peak of whole imports by two processes, for few and for many clips (hard links to the same files), of the
main process and of the largest reading process; "anonymous" leaves out mapped file pages, which the system may drop.
"""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sugar.datasets.formats.benchmarks.ntu import Ntu120Reader, read_clip_file
from sugar.datasets.formats.source import opened
from sugar.datasets.store.importing import import_data
from sugar.skeleton.clip import SkeletonClip

DISTINCT = 100
"""Different texts; the files beyond repeat them."""
PLAIN = 400
"""Most clips that the plain reader reads: it takes as long for each."""
_JOINT = "%.7g " * 11 + "%d"
_BODY_KEYS = "id clipped_edges left_confidence left_state right_confidence right_state restricted lean_x lean_y state"
_JOINT_KEYS = "x y z depth_x depth_y color_x color_y orientation_w orientation_x orientation_y orientation_z state"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--frames", type=int, default=100, help="frames a clip")
    parser.add_argument("--memory", default="200,2000,20000", help="numbers of clips to measure memory at; empty: none")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--import-once", nargs=2, metavar=("FOLDER", "STORE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.import_once:
        print(json.dumps(import_watched(*map(Path, options.import_once))))
        return
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), options.clips, options.frames, [int(n) for n in options.memory.split(",") if n])
    print(json.dumps(report, indent=None if options.json else 1))


def measure(folder: Path, clips: int, frames: int, memory: Sequence[int]) -> dict[str, Any]:
    """All measurements, with files and stores in ``folder``."""
    texts = [ntu_text(frames, persons=2 if i % 4 == 0 else 1, seed=i) for i in range(min(DISTINCT, clips))]
    files = write_files(folder / "clips", texts, clips)
    sizes = [len(texts[i % len(texts)]) / 1e6 for i in range(clips)]

    def timed(work: Callable[[], None], read: int = clips) -> dict[str, float]:
        """The middle one of three times."""
        return sorted((once(work, read) for _ in range(3)), key=lambda row: row["seconds"])[1]

    def once(work: Callable[[], None], read: int) -> dict[str, float]:
        begin, before = time.perf_counter(), processor_seconds()
        work()
        seconds = time.perf_counter() - begin
        for process in multiprocessing.active_children():
            process.join()  # an idle one ends by itself, and is counted once it has ended
        processor = processor_seconds() - before
        return {
            "seconds": round(seconds, 2),
            "milliseconds_a_clip": round(1e3 * seconds / read, 3),
            "processor_milliseconds_a_clip": round(1e3 * processor / read, 3),
            "clips_per_second": round(read / seconds, 1),
            "megabytes_per_second": round(sum(sizes[:read]) / seconds, 1),
        }

    report: dict[str, Any] = {
        "clips": clips,
        "frames": frames,
        "megabytes": round(sum(sizes), 1),
        "cores": os.cpu_count(),
    }
    check(files)
    plain = min(PLAIN, clips)
    report["plain reader"] = timed(lambda: all_plainly(files[:plain]), plain)
    report["parsing alone, 1 process"] = timed(lambda: parse_all(folder / "clips"))
    for workers in (1, 2):
        report[f"import, {workers} process{'es' * (workers > 1)}"] = timed(
            lambda workers=workers: run_import(folder / "clips", folder / "store", workers)  # type: ignore[misc]
        )
    rows = {name: row for name, row in report.items() if isinstance(row, dict)}
    for title, key in (
        ("times faster", "milliseconds_a_clip"),
        ("times less work", "processor_milliseconds_a_clip"),
    ):
        report[title] = {name: round(rows["plain reader"][key] / row[key], 1) for name, row in rows.items()}
    report["peak megabytes"] = {}
    for number in memory:
        linked = folder / f"linked{number}"
        linked.mkdir()
        for i in range(number):
            os.link(files[i % len(files)], linked / clip_name(i))
        command = [sys.executable, __file__, "--import-once", str(linked), str(folder / "linked-store")]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        report["peak megabytes"][f"{number} clips"] = json.loads(output)
    return report


def processor_seconds() -> float:
    """What this process and those that it has ended have used; other work on the machine disturbs it less."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def clip_name(i: int) -> str:
    """Names that the data set allows, 2 setups x 3 cameras x 106 subjects x 2 trials x 60 actions of them."""
    i, action = divmod(i, 60)
    i, trial = divmod(i, 2)
    i, subject = divmod(i, 106)
    setup, camera = divmod(i, 3)
    return f"S{setup + 1:03d}C{camera + 1:03d}P{subject + 1:03d}R{trial + 1:03d}A{action + 1:03d}.skeleton"


def write_files(folder: Path, texts: Sequence[bytes], clips: int) -> list[Path]:
    folder.mkdir()
    files = [folder / clip_name(i) for i in range(clips)]
    for i, file in enumerate(files):
        file.write_bytes(texts[i % len(texts)])
    os.sync()  # else the system writes them to the disk while their reading is timed
    return files


def ntu_text(frames: int, persons: int, seed: int) -> bytes:
    """A walk of some bodies, with numbers of the size and precision of real files."""
    rng = np.random.default_rng(seed)
    body = rng.normal(size=(25, 3)) * [0.2, 0.5, 0.1] + [0, 0, 3]
    steps = rng.normal(size=(frames, persons, 1, 3)).cumsum(axis=0) * 0.01
    joints = body + steps + rng.normal(size=(frames, persons, 25, 3)) * 0.005
    depth = [256, 212] + [365, -365] * joints[..., :2] / joints[..., 2:]
    color = [960, 540] + [1060, -1060] * joints[..., :2] / joints[..., 2:]
    rows = np.concatenate([joints, depth, color, rng.uniform(-1, 1, (*joints.shape[:3], 4))], axis=-1)
    states = 2 - (rng.random(joints.shape[:3]) < 0.1)
    lines = [str(frames)]
    for t in range(frames):
        lines.append(str(persons))
        for m in range(persons):
            lines.append(f"{72057594037931101 + m} 0 1 1 1 1 0 {rng.normal():.7g} {rng.normal():.7g} 2")
            lines.append("25")
            lines += [_JOINT % (*row, s) for row, s in zip(rows[t, m].tolist(), states[t, m].tolist(), strict=True)]
    return "\r\n".join([*lines, ""]).encode()


def read_plainly(path: Path) -> list[list[dict[str, Any]]]:
    """The usual way: frame by frame, body by body, joint by joint, all twelve fields by name."""
    body_keys, joint_keys = _BODY_KEYS.split(), _JOINT_KEYS.split()
    frames = []
    with path.open() as file:
        for _ in range(int(file.readline())):
            bodies = []
            for _ in range(int(file.readline())):
                body: dict[str, Any] = dict(zip(body_keys, map(float, file.readline().split()), strict=True))
                body["joints"] = [
                    {key: float(value) for key, value in zip(joint_keys, file.readline().split(), strict=True)}
                    for _ in range(int(file.readline()))
                ]
                bodies.append(body)
            frames.append(bodies)
    return frames


def all_plainly(files: Sequence[Path]) -> None:
    for file in files:
        read_plainly(file)


def check(files: Sequence[Path]) -> None:
    """Both readers find the same numbers, and none of the synthetic bodies is cleaned away."""
    for file in files[:8]:
        clip = read_clip_file(file)
        plain = [[[j["x"], j["y"], j["z"]] for j in body["joints"]] for frame in read_plainly(file) for body in frame]
        ours = clip.joints.reshape(-1, 25, 3)
        expected = np.array(plain, np.float32)
        if not np.array_equal(np.sort(ours, axis=None), np.sort(expected, axis=None)):
            raise SystemExit(f"{file}: the two readers differ")


def parse_all(folder: Path) -> None:
    with opened(folder, folder / "scratch") as files:
        plan = Ntu120Reader().plan(files)
        for item in plan.items:
            for clip in plan.read(item):
                if not isinstance(clip, SkeletonClip):
                    raise SystemExit(f"{clip.file}: {clip.reason}")


def run_import(folder: Path, store: Path, workers: int) -> None:
    written = import_data(Ntu120Reader(), folder, store, name="ntu120", workers=workers)
    if written.manifest.rejected:
        raise SystemExit(f"rejected: {written.manifest.rejected[0]}")


def import_watched(folder: Path, store: Path) -> dict[str, float]:
    """Import by two processes; peak memory in megabytes."""
    peaks = {"main": 0.0, "main, anonymous": 0.0, "largest reader": 0.0, "largest reader, anonymous": 0.0}
    done = threading.Event()

    def watch() -> None:
        own = os.getpid()
        while not done.wait(0.02):
            for who, processes in (("main", [own]), ("largest reader", _children(own))):
                for process in processes:
                    peaks[who] = max(peaks[who], _status(process, "VmHWM"))
                    peaks[f"{who}, anonymous"] = max(peaks[f"{who}, anonymous"], _status(process, "RssAnon"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    run_import(folder, store, workers=2)
    done.set()
    watcher.join()
    return {name: round(peak, 1) for name, peak in peaks.items()}


def _children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def _status(process: int, field: str) -> float:
    """A field of the process's status in megabytes; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 1e3 for line in lines if line.startswith(f"{field}:")), default=0.0)


if __name__ == "__main__":
    main()
