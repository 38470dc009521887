"""Parallel tasks on threads of their own, with BLAS on one thread.

Most operations of a task other than matrix products, such as building factors and writing blocks, run on one thread
in numpy, but release the interpreter. Parallel tasks, each with one BLAS thread, therefore use the cores that a
multi-threaded BLAS would leave idle. The two do not mix: for about 0.1 s after a product on several threads, the
threads of OpenBLAS wait in a busy loop, and everything else loses up to half its speed (measured on two cores).
"""

import threading
from functools import partial
from queue import Empty, SimpleQueue

import numpy as np

from .blas import available_threads, one_blas_thread

MIN_PARALLEL_FLOPS = 2e8
"""Operations that take about 4 ms on one core; for less, the 0.2 ms to start a thread are not worthwhile."""


_working = threading.Lock()
"""Held while tasks run in parallel; a fit in another thread that finds it taken runs its tasks one by one."""


def threads_for(flops):
    """Return the maximum number of threads that `run_tasks` uses for so many floating-point operations."""
    return available_threads() if flops >= MIN_PARALLEL_FLOPS else 1


def run_tasks(tasks, workers, flops):
    """Call every task, in the order given; each thread takes the next one when it is free.

    Which thread runs a task varies from run to run, so no result may depend on it: every task writes to its
    own memory, and sums over tasks are taken in the order of the tasks.

    Parameters
    ----------
    tasks : list of callable
        ``task(worker)``, independent of each other.
    workers : sequence
        Objects that the calls on one thread share, such as memory; there is at most one thread per worker.
    flops : float
        Total floating-point operations; below `MIN_PARALLEL_FLOPS` the calling thread runs everything.

    Raises
    ------
    Exception
        The first exception that a task raised. Tasks that have not begun by then are skipped.
    """
    threads = min(threads_for(flops), len(workers), len(tasks))
    if threads < 2 or not _working.acquire(blocking=False):
        for task in tasks:
            task(workers[0])
        return
    try:
        with one_blas_thread():
            _run_in_parallel(tasks, workers[:threads])
    finally:
        _working.release()


def _run_in_parallel(tasks, workers):
    queue, errors = SimpleQueue(), []
    for task in tasks:
        queue.put(task)
    work = partial(_work, queue, errors, np.geterr())
    helpers = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in workers[1:]]
    started = []
    try:
        for helper in helpers:
            helper.start()
            started.append(helper)
        work(workers[0])
    finally:
        _drain(queue)  # an interrupt may leave tasks in the queue
        for helper in started:
            helper.join()
    if errors:
        raise errors[0]


def _work(queue, errors, floating_point, worker):
    # numpy's error handling, and in some builds of BLAS also the number of threads, is set per thread
    with np.errstate(**floating_point), one_blas_thread():
        while True:
            try:
                queue.get_nowait()(worker)
            except Empty:
                return
            except Exception as error:  # noqa: BLE001, it is raised again in the calling thread
                errors.append(error)
                _drain(queue)


def _drain(queue):
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
