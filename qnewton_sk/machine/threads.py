"""Who uses the cores: tasks of ours on threads of their own, or BLAS.

Most of what a task does besides products (building factors, writing blocks) numpy does on one thread, but
without holding the interpreter: side by side, with one BLAS thread each, tasks use the cores that BLAS would use
alone. The two do not mix: for some 0.1 s after a product on several threads, OpenBLAS lets them spin, and
whatever else runs then loses up to half its speed (measured on two cores). So a fit keeps BLAS on one thread and
gives it the others for large factorisations only.
"""

import threading
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from queue import Empty, SimpleQueue

import numpy as np
from threadpoolctl import ThreadpoolController

LEAST_FLOPS = 2e8
"""Work below which threads are not worth their start: some 4 ms on one core, 0.2 ms to start a thread."""

LEAST_BLAS_FLOPS = 5e9
"""Factorisation from which on BLAS on all threads saves more (0.05 s on two cores) than the spinning costs."""


class _Blas:
    """The number of threads that BLAS may use. It belongs to the process, whoever asks in whichever thread."""

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
                if not self.inside:  # the last one out, so that nobody restores the limit of another
                    self.limit.restore_original_limits()

    @contextmanager
    def all(self):
        with self.changing, _controller().limit(limits=self.before):
            yield


_blas = _Blas()


@lru_cache(maxsize=1)
def _controller():
    return ThreadpoolController().select(user_api="blas")  # finding the libraries takes milliseconds


def available_threads():
    """Return how many threads BLAS was given, by environment variables or threadpoolctl: we take no more.

    Examples
    --------
    >>> from threadpoolctl import threadpool_limits
    >>> from qnewton_sk.machine.threads import available_threads, one_blas_thread
    >>> with threadpool_limits(1):
    ...     available_threads()
    1
    """
    return _blas.threads


def one_blas_thread():
    """Return a context in which BLAS runs on one thread; contexts may be nested, and entered by several threads."""
    return _blas.one()


def all_blas_threads(flops):
    """Return a context in which BLAS has its threads back, if a factorisation of `flops` operations needs them.

    Only one thread that has entered `one_blas_thread` gets them: where several fit at a time, all cores are busy.
    """
    return (
        _blas.all() if _blas.inside == 1 and _blas.before > 1 and flops >= LEAST_BLAS_FLOPS else nullcontext()
    )


def threads_for(flops):
    """Return how many threads `run_tasks` takes at most for so many floating-point operations."""
    return available_threads() if flops >= LEAST_FLOPS else 1


def run_tasks(tasks, workers, flops):
    """Call every task, in the order given; each worker takes the next one when it is free.

    Parameters
    ----------
    tasks : list of callable
        ``task(worker)``, independent of each other.
    workers : sequence
        What the calls of one thread share, such as memory; no more threads than these are used.
    flops : float
        Floating-point operations in all; under `LEAST_FLOPS` this thread does everything.

    Raises
    ------
    Exception
        The first one that a task raised; tasks not yet begun are then left out.
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
        _drain(queue)  # of what is left after an interrupt
        for helper in started:
            helper.join()
    if errors:
        raise errors[0]


def _work(queue, errors, floating_point, worker):
    with np.errstate(**floating_point):  # it belongs to a thread
        while True:
            try:
                queue.get_nowait()(worker)
            except Empty:
                return
            except Exception as error:  # noqa: BLE001, it is raised again in the caller's thread
                errors.append(error)
                _drain(queue)


def _drain(queue):
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
