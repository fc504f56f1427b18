"""Import: parallel, resumable, atomic, with flat memory; and sources that are not what they pretend to be."""

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from sugar.datasets.formats.benchmarks.nw_ucla import NwUclaReader
from sugar.datasets.formats.source import Item, Plan, SourceFile, one_each, opened, read_source
from sugar.datasets.store.importing import CHUNK_FILES, import_data
from sugar.datasets.store.manifest import Rejected
from sugar.errors import InputError
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import KINECT20


@dataclass(frozen=True)
class TextReader:
    """A file ``LABEL ID FRAMES`` is a clip; for the tests."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        return Plan(one_each(files, ".txt"), KINECT20, ("sit", "stand"), self.read)

    def read(self, item: Item) -> Iterator[SkeletonClip | Rejected]:
        if "STOP_AT" in os.environ and int(item.files[0].stem) >= int(os.environ["STOP_AT"]):
            time.sleep(60)  # until the signal comes
        text = item.files[0].read().decode()
        if text.startswith("bad"):
            raise InputError("it is bad")
        label, clip_id, frames = text.split()
        joints = np.full((int(frames), 1, 20, 3), float(len(clip_id)))
        yield SkeletonClip(joints, KINECT20, clip_id=clip_id, label=label)


class AnyLabel(TextReader):
    """The same without a list of classes."""

    def plan(self, files: Sequence[SourceFile]) -> Plan:
        return replace(super().plan(files), classes=None)


def write_source(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        (folder / f"{i:05d}.txt").write_text(f"{('sit', 'stand')[i % 2]} clip{i} {1 + i % 7}")
    return folder


def entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_store_does_not_depend_on_the_number_of_processes(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", 3 * CHUNK_FILES + 5)
    one = import_data(TextReader(), source, tmp_path / "one", name="toy", workers=1)
    two = import_data(TextReader(), source, tmp_path / "two", name="toy", workers=2)
    assert len(one) == 3 * CHUNK_FILES + 5
    assert one.hash == two.hash
    assert one.clip_ids[:2] == ("clip0", "clip1")
    one.verify()
    assert entries(tmp_path) == {"in", "one", "two"}


def test_the_store_of_nw_ucla_is_the_one_that_results_name(nw_ucla_folder: Path, tmp_path: Path) -> None:
    store = import_data(NwUclaReader(), nw_ucla_folder, tmp_path / "s", name="nw-ucla", workers=1)
    assert store.hash == "51c38415b28ab510e2e47f2bb36a6b125e2fb8306d0e0fac1c9a44d45acc4580"


def test_reading_processes_need_no_torch_and_no_terminal() -> None:
    modules = "sys, sugar.datasets.store.importing, sugar.datasets.formats.benchmarks.ntu"
    script = f"import {modules}; print({{'torch', 'rich'}} & set(sys.modules))"
    assert (
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout == "set()\n"
    )


def test_an_import_looks_for_no_pandas(tmp_path: Path) -> None:
    write_source(tmp_path / "source", 3)
    program = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        assert name != 'pandas'\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from sugar.datasets.store.importing import import_data\n"
        "from test_importing import TextReader\n"
        "store = import_data(TextReader(), sys.argv[1], sys.argv[2], name='d', workers=1)\n"
        "print(len(store), store[1].label, store.lengths.tolist())"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "source"), str(tmp_path / "store")]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    assert done.stdout.split(maxsplit=2) == ["3", "stand", "[1, 2, 3]\n"]


def test_classes_of_no_fixed_list_are_the_labels_that_occur(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", 2 * CHUNK_FILES)
    (source / "99999.txt").write_text("fly last 4")
    store = import_data(AnyLabel(), source, tmp_path / "s", name="toy", workers=1)
    assert store.classes == ("fly", "sit", "stand")
    assert store[-1].label == "fly"


def test_rejected_files_duplicates_and_unknown_labels_are_listed(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", 3)
    (source / "3.txt").write_text("bad")
    (source / "4.txt").write_text("sit clip0 4")
    (source / "5.txt").write_text("fly clip9 4")
    store = import_data(TextReader(), source, tmp_path / "s", name="toy", workers=1)
    assert len(store) == 3
    reasons = {row.file: row.reason for row in store.manifest.rejected}
    assert reasons["3.txt"] == "it is bad"
    assert "there twice" in reasons["clip0"]
    assert "'fly' is not one of the 2 classes" in reasons["clip9"]


def test_nothing_valid_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", 0)
    with pytest.raises(InputError, match=r"no \.txt file"):
        import_data(TextReader(), source, tmp_path / "s", name="toy")
    (source / "1.txt").write_text("bad")
    with pytest.raises(InputError, match=r"no valid clip \(first of 1 rejected: 1.txt: it is bad\)"):
        import_data(TextReader(), source, tmp_path / "s", name="toy", workers=1)
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="not a store is already there"):
        import_data(TextReader(), source, tmp_path / "other", name="toy", workers=1)
    assert entries(tmp_path) == {"in", "other"}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_import_goes_on(tmp_path: Path, sent: signal.Signals) -> None:
    source = write_source(tmp_path / "in", 6 * CHUNK_FILES)
    (source / "00001.txt").write_text("bad")
    script = (
        "import signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background\n"
        "from test_importing import TextReader, import_data\n"
        "import_data(TextReader(), sys.argv[2], sys.argv[3], name='toy', workers=1)\n"
    )
    arguments = [sys.executable, "-c", script, str(Path(__file__).parent), str(source), str(tmp_path / "s")]
    parts = tmp_path / ".s.import" / "parts"
    environment = os.environ | {"STOP_AT": str(2 * CHUNK_FILES + 5)}
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment) as process:
        while len(list(parts.glob("*.arrow"))) < 2 and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, sent)
        _, errors = process.communicate(timeout=30)
    assert not (tmp_path / "s").exists()
    if sent == signal.SIGINT:
        assert "the same command goes on" in errors
    assert len(list(parts.glob("*.arrow"))) == 2
    # Same size, other content: if what is there were read again, this one would be rejected.
    first = source / "00000.txt"
    first.write_text("bad".ljust(first.stat().st_size))
    store = import_data(TextReader(), source, tmp_path / "s", name="toy", workers=1)
    assert len(store) == 6 * CHUNK_FILES - 1
    assert [row.file for row in store.manifest.rejected] == ["00001.txt"]
    assert entries(tmp_path) == {"in", "s"}


@pytest.mark.skipif(sys.platform != "linux", reason="process groups")
@pytest.mark.parametrize("threads", [0, 1])
def test_reading_processes_end_with_the_one_that_started_them(tmp_path: Path, threads: int) -> None:
    source = write_source(tmp_path / "in", 6 * CHUNK_FILES)
    script = (
        "import sys, threading, time; sys.path.insert(0, sys.argv[1])\n"
        "from test_importing import TextReader, import_data\n"
        "if __name__ == '__main__':\n"
        f"    for _ in range({threads}): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "    import_data(TextReader(), sys.argv[2], sys.argv[3], name='toy', workers=3)\n"
    )
    (tmp_path / "script.py").write_text(script)
    arguments = [sys.executable, tmp_path / "script.py", Path(__file__).parent, source, tmp_path / "s"]
    environment = os.environ | {"STOP_AT": str(CHUNK_FILES)}
    with subprocess.Popen(list(map(str, arguments)), env=environment, start_new_session=True) as process:
        while len(members(process.pid)) < 3 or not list((tmp_path / ".s.import/parts").glob("*.arrow")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    until = time.monotonic() + 20
    while members(process.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not members(process.pid)


def members(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(number) == group and state != "Z":
            found.append(place.parent.name)
    return found


def test_another_source_does_not_go_on_with_old_parts(tmp_path: Path) -> None:
    parts = tmp_path / ".s.import" / "parts"
    parts.mkdir(parents=True)
    (parts / "00000000.arrow").write_text("of another import")
    source = write_source(tmp_path / "in", 2)
    assert len(import_data(TextReader(), source, tmp_path / "s", name="toy", workers=1)) == 2


def test_archives_hold_what_folders_hold(tmp_path: Path) -> None:
    source = write_source(tmp_path / "in", 4)
    (source / ".hidden.txt").write_text("bad")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in source.iterdir():
            packed.write(path, f"in/{path.name}")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as tar:
        tar.add(source, "in")
    hashes = {
        import_data(TextReader(), path, tmp_path / "s", name="toy", workers=1).hash
        for path in (source, tmp_path / "x.zip", tmp_path / "x.tgz")
    }
    assert len(hashes) == 1
    assert entries(tmp_path) == {"in", "x.zip", "x.tgz", "s"}


def test_members_outside_their_folder_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("../evil.txt", "sit a 3")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("../evil.txt")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"sit"))
    for name in ("x.zip", "x.tar"):
        with pytest.raises(InputError, match="would lie outside its folder"):
            import_data(TextReader(), tmp_path / name, tmp_path / "s", name="toy")
    assert entries(tmp_path) == {"x.zip", "x.tar"}
    assert not (tmp_path / "evil.txt").exists()


def test_links_in_archives_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("sit secret 3")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        member = tarfile.TarInfo("link.txt")
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.txt")
        tar.addfile(member)
    with pytest.raises(InputError, match=r"no \.txt file"):
        list(read_source(TextReader(), tmp_path / "x.tar"))


def test_archives_out_of_all_proportion_are_refused(tmp_path: Path) -> None:
    zeros = b"\0" * 40_000_000
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.txt", zeros)
    with tarfile.open(tmp_path / "x.tar.xz", "w:xz") as tar:
        member = tarfile.TarInfo("a.txt")
        member.size = len(zeros)
        tar.addfile(member, io.BytesIO(zeros))
    for name in ("x.zip", "x.tar.xz"):
        with pytest.raises(InputError, match=r"not read"):
            list(read_source(TextReader(), tmp_path / name))


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar"])
def test_archives_cut_anywhere_are_one_line(tmp_path: Path, name: str) -> None:
    source = write_source(tmp_path / "in", 4)
    whole = tmp_path / name
    if name == "x.zip":
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in source.iterdir():
                packed.write(path, path.name)
    else:
        with tarfile.open(whole, "w:gz" if name.endswith(".gz") else "w") as tar:
            tar.add(source, "in")
    content = whole.read_bytes()
    # A tar ends in much nothing; what counts begins before it.
    end = len(content.rstrip(b"\0")) if name == "x.tar" else len(content) - 1
    for length in range(0, end, 7 if len(content) < 5000 else 256):
        whole.write_bytes(content[:length])
        with pytest.raises(InputError, match=f"{name}: "):
            list(read_source(TextReader(), whole))


def test_a_file_that_changes_its_mind_is_rejected(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr("a.txt", "sit a 3 " * 100)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[60] ^= 0xFF  # its checksum no longer fits
    (tmp_path / "x.zip").write_bytes(content)
    (row,) = read_source(TextReader(), tmp_path / "x.zip")
    assert isinstance(row, Rejected)
    assert "cannot be read" in row.reason


def test_a_file_by_itself_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("sit a 3")
    with opened(tmp_path / "a.txt", tmp_path / "scratch") as files:
        assert [file.name for file in files] == ["a.txt"]
        assert files[0].read() == b"sit a 3"
        with pytest.raises(InputError, match="more than the 3"):
            files[0].read(max_bytes=3)


def test_real_archives(shared: Path, tmp_path: Path) -> None:
    store = import_data(NwUclaReader(), shared / "data" / "nw-ucla.tar.xz", tmp_path / "s", name="nw-ucla", workers=1)
    assert len(store) == 1484
    assert not store.manifest.rejected
