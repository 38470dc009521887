"""Threads: every task is done once, errors come out, and the number of BLAS threads is what it was."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

from qnewton_sk import Backend, QNewtonRegressor, Scheduler
from qnewton_sk.machine import available_threads, blas, one_blas_thread, run_tasks
from qnewton_sk.solvers import LU, DirectCost


@pytest.fixture
def two_threads():
    with threadpool_limits(2, "blas"):
        yield


def blas_now():
    return max(
        library.num_threads for library in ThreadpoolController().select(user_api="blas").lib_controllers
    )


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("flops", [0.0, 1e12])
def test_every_task_is_done_once(two_threads, count, flops):
    done = []
    run_tasks([lambda worker, i=i: done.append(i) for i in range(count)], ["a", "b"], flops)
    assert sorted(done) == list(range(count))


def test_two_tasks_run_side_by_side_with_one_blas_thread_each(two_threads):
    meeting, seen = threading.Barrier(2, timeout=10), []

    def task(worker):
        meeting.wait()
        seen.append((worker, blas_now(), available_threads()))

    run_tasks([task, task], ["a", "b"], 1e12)
    assert sorted(seen) == [("a", 1, 2), ("b", 1, 2)]
    assert blas_now() == 2


def test_small_tasks_and_tasks_with_one_blas_thread_run_in_the_calling_thread(two_threads):
    seen = set()

    def task(worker):
        seen.add((threading.get_ident(), worker))

    run_tasks([task] * 5, ["a", "b"], 1.0)
    with threadpool_limits(1, "blas"):
        run_tasks([task] * 5, ["a", "b"], 1e12)
    assert seen == {(threading.get_ident(), "a")}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_exception_is_raised_again_and_skips_the_remaining_tasks(two_threads, error):
    begun = []

    def task(worker):
        begun.append(worker)
        time.sleep(0.01)
        raise error

    with pytest.raises(error):
        run_tasks([task] * 50, ["a"], 1e12)
    with pytest.raises(MemoryError):
        run_tasks([raising_memory_error] * 50, ["a", "b"], 1e12)
    assert len(begun) == 1
    assert blas_now() == 2


def raising_memory_error(worker):
    raise MemoryError


def test_the_callers_floating_point_errors_hold_in_every_thread(two_threads):
    meeting = threading.Barrier(2, timeout=10)

    def task(worker):
        meeting.wait()
        return np.exp(np.array([1e4]))

    with np.errstate(over="ignore"):
        run_tasks([task, task], ["a", "b"], 1e12)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        run_tasks([task, task], ["a", "b"], 1e12)


def test_contexts_nest_and_the_last_to_close_restores_the_threads(two_threads):
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert (blas_now(), available_threads()) == (1, 2)
    first.__exit__(None, None, None)  # not the order of a nest: two threads that fit at a time
    assert (blas_now(), available_threads()) == (1, 2)
    second.__exit__(None, None, None)
    assert (blas_now(), available_threads()) == (2, 2)


def test_an_exception_inside_one_context_does_not_affect_another(two_threads):
    inside, failed = threading.Event(), threading.Event()
    seen = []

    def stays():
        with one_blas_thread():
            inside.set()
            failed.wait(10)
            seen.append(blas_now())

    def fails():
        inside.wait(10)
        try:
            with one_blas_thread():
                seen.append(blas_now())
                raise RuntimeError
        except RuntimeError:
            failed.set()

    run_in_threads(stays, fails)
    assert seen == [1, 1]
    assert blas_now() == available_threads() == 2


def test_a_task_that_raises_in_one_thread_does_not_affect_tasks_of_another(two_threads):
    working, failed = threading.Event(), threading.Event()
    seen, errors = [], []

    def long_task(worker):
        working.set()
        failed.wait(10)
        seen.append(blas_now())

    def fails():
        working.wait(10)
        try:
            run_tasks([raising_memory_error] * 2, ["a", "b"], 1e12)
        except MemoryError as error:
            errors.append(error)
        failed.set()

    run_in_threads(lambda: run_tasks([long_task] * 3, ["a", "b"], 1e12), fails)
    assert seen == [1, 1, 1] and len(errors) == 1
    assert blas_now() == 2
    run_tasks([lambda worker: seen.append(worker)] * 2, ["a", "b"], 1e12)  # the pool is free again
    assert len(seen) == 5


class Stop(Exception):
    pass


class Watching(DirectCost):
    """A cost that notes the number of BLAS threads at every step, waits for the other fit, and may raise."""

    def __init__(self, kernel="lu", rates=None, meeting=None, seen=None, steps_before_error=None):
        super().__init__(kernel, rates)
        self.meeting = meeting
        self.seen = seen
        self.steps_before_error = steps_before_error

    def __call__(self, facts, tol):
        self.seen.append(blas_now())
        if len(self.seen) == 1 and self.meeting is not None:
            self.meeting.wait(20)  # both fits are under way
        if len(self.seen) == self.steps_before_error:
            raise Stop
        return super().__call__(facts, tol)


def watched_fit(seen, meeting=None, steps_before_error=None):
    cost = Watching("lu", None, meeting, seen, steps_before_error)
    net = QNewtonRegressor(
        (8,),
        curvature="gauss_newton",
        scheduler=Scheduler([Backend("lu", LU(), cost)]),
        max_iter=12,
        random_state=0,
    )
    X = np.random.default_rng(0).standard_normal((300, 5))
    return net.fit(X, np.sin(X[:, 0]) + X[:, 1])


# by a mark, since a context that ignores warnings in one thread ends that of the other
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_two_fits_at_once_do_not_disturb_each_others_blas_threads(two_threads):
    alone = watched_fit([])
    meeting, seen, failed_seen, fitted = threading.Barrier(2), [], [], []

    def fails():
        with pytest.raises(Stop):
            watched_fit(failed_seen, meeting, steps_before_error=3)

    run_in_threads(lambda: fitted.append(watched_fit(seen, meeting)), fails)
    assert set(seen) == set(failed_seen) == {1} and len(failed_seen) == 3
    assert blas_now() == available_threads() == 2
    assert [W.tobytes() for W in fitted[0].coefs_] == [W.tobytes() for W in alone.coefs_]


def test_the_last_context_to_close_restores_the_threads_in_whichever_thread_it_is(two_threads):
    opened, closed = threading.Event(), threading.Event()

    def opens_first():
        with one_blas_thread():
            opened.wait(10)
        closed.set()

    def closes_last():
        with one_blas_thread():
            opened.set()
            closed.wait(10)
            assert blas_now() == 1

    run_in_threads(opens_first, closes_last)
    assert blas_now() == 2
    with threadpool_limits(1, "blas"):
        assert blas_now() == 1  # the caller's own limits work as before
    assert blas_now() == 2


class PerThreadLibrary:
    """A BLAS whose number of threads belongs to the calling thread, as with OpenMP."""

    threading_layer = "openmp"

    def __init__(self, default):
        self.default, self.local = default, threading.local()

    @property
    def num_threads(self):
        return getattr(self.local, "number", self.default)

    def set_num_threads(self, number):
        self.local.number = number


@pytest.fixture
def per_thread_library(monkeypatch):
    library = PerThreadLibrary(2)
    monkeypatch.setattr(blas, "_libraries", lambda: ([], [library]))
    limit = blas._Limit([])
    monkeypatch.setattr(blas, "_process_limit", lambda: limit)
    monkeypatch.setattr(blas, "_own", threading.local())
    return library


def test_a_library_with_limits_per_thread_is_limited_in_every_thread(per_thread_library):
    meeting, seen = threading.Barrier(2, timeout=10), []

    def task(worker):
        meeting.wait()
        seen.append((worker, per_thread_library.num_threads, available_threads()))

    run_tasks([task, task], ["a", "b"], 1e12)
    assert sorted(seen) == [("a", 1, 2), ("b", 1, 2)]
    assert per_thread_library.num_threads == available_threads() == 2

    def fits():
        with one_blas_thread():
            meeting.wait()
            seen.append(per_thread_library.num_threads)
        assert per_thread_library.num_threads == 2

    run_in_threads(fits, fits)
    assert seen[2:] == [1, 1]


def run_in_threads(*functions):
    """Call the functions at the same time; an exception in any of them fails the test."""
    with ThreadPoolExecutor(len(functions)) as pool:
        for future in [pool.submit(function) for function in functions]:
            future.result(timeout=60)
