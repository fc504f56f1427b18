"""Processes that read beside this one."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait


@contextmanager
def reading_processes(count: int) -> Iterator[ProcessPoolExecutor | None]:
    """A pool of ``count`` processes that have been started and end with this one, however it ends; None for none.

    On Linux they are forked, which is at once; elsewhere, and where this process runs other threads (which may hold
    locks that a copy would wait for), each is a fresh interpreter, which takes as long as to read hundreds of clips.
    """
    if count < 1:
        yield None
        return
    forks = sys.platform == "linux" and threading.active_count() == 1
    context = get_context("fork" if forks else "spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_end_with_parent)
    try:
        pool.submit(int)  # starts them now, before the caller starts threads
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
