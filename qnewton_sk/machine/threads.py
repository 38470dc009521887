"""Parallel tasks on threads of their own, with BLAS on one thread.

Most operations of a task other than matrix products, such as building factors and writing blocks, run on one thread
in numpy, but release the interpreter. Parallel tasks, each with one BLAS thread, therefore use the cores that a
multi-threaded BLAS would leave idle. The two do not mix: for about 0.1 s after a product on several threads, the
threads of OpenBLAS wait in a busy loop, and everything else loses up to half its speed (measured on two cores).

A fit keeps BLAS on one thread throughout. With more threads BLAS splits its sums in other places: a Cholesky or LU
factorisation of order 800 or more differs in the last bits between one and two threads (OpenBLAS 0.3.31), and the
fitted model would depend on the number of threads.
"""

import threading
from contextlib import contextmanager
from functools import lru_cache, partial
from queue import Empty, SimpleQueue

import numpy as np
from threadpoolctl import ThreadpoolController

MIN_PARALLEL_FLOPS = 2e8
"""Work that takes about 4 ms on one core; below it, the 0.2 ms to start a thread are not worth it."""


class _Blas:
    """The number of BLAS threads, which belongs to the whole process, whichever thread sets it."""

    def __init__(self):
        self.changing, self.working = threading.Lock(), threading.Lock()
        self.inside, self.before, self.limit = 0, 1, None

    @property
    def threads(self):
        return self.before if self.inside else self.current()

    @staticmethod
    def current():
        return max((lib.num_threads for lib in _controller().lib_controllers), default=1)

    @contextmanager
    def one(self):
        with self.changing:
            if not self.inside:
                self.before, self.limit = self.current(), _controller().limit(limits=1)
            self.inside += 1
        try:
            yield
        finally:
            with self.changing:
                self.inside -= 1
                if not self.inside:  # only the last one to leave restores what the first one found
                    self.limit.restore_original_limits()


_blas = _Blas()


@lru_cache(maxsize=1)
def _controller():
    return ThreadpoolController().select(user_api="blas")  # finding the libraries takes milliseconds


def available_threads():
    """Return the number of threads that BLAS may use outside fits; tasks in a fit take no more than these.

    It is set by environment variables, such as OPENBLAS_NUM_THREADS, or by threadpoolctl. It must change nothing but
    the time that a computation takes.

    Examples
    --------
    >>> from threadpoolctl import threadpool_limits
    >>> from qnewton_sk.machine import available_threads
    >>> with threadpool_limits(1):
    ...     available_threads()
    1
    """
    return _blas.threads


def one_blas_thread():
    """Return a context in which BLAS runs on one thread.

    Contexts may be nested, and several threads may be inside at a time. The number of threads that the first one found
    is restored when the last one leaves, by an exception or not.
    """
    return _blas.one()


def threads_for(flops):
    """Return the maximum number of threads that `run_tasks` uses for so many floating-point operations."""
    return available_threads() if flops >= MIN_PARALLEL_FLOPS else 1


def run_tasks(tasks, workers, flops):
    """Call every task, in the order given; each thread takes the next one when it is free.

    Which thread runs a task is left to chance, so a result must not depend on it: a task writes to a place of its own,
    and sums over tasks are taken in the order of the tasks.

    Parameters
    ----------
    tasks : list of callable
        ``task(worker)``, independent of each other.
    workers : sequence
        What the calls on one thread share, such as memory; there is at most one thread per worker.
    flops : float
        Total floating-point operations; below `MIN_PARALLEL_FLOPS` the calling thread runs everything.

    Raises
    ------
    Exception
        The first one that a task raised. Tasks that have not begun are then skipped.
    """
    threads = min(threads_for(flops), len(workers), len(tasks))
    if threads < 2 or not _blas.working.acquire(blocking=False):
        for task in tasks:
            task(workers[0])
        return
    try:
        with one_blas_thread():
            _side_by_side(tasks, workers[:threads])
    finally:
        _blas.working.release()


def _side_by_side(tasks, workers):
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
        _drain(queue)  # after an interrupt there may be tasks left
        for helper in started:
            helper.join()
    if errors:
        raise errors[0]


def _work(queue, errors, floating_point, worker):
    with np.errstate(**floating_point):  # numpy keeps it per thread
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
