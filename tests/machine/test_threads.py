"""Threads: every task is done once, errors come out, and the number of BLAS threads is what it was."""

import threading
import time

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from qnewton_sk.machine import threads
from qnewton_sk.machine.threads import all_blas_threads, available_threads, one_blas_thread, run_tasks


@pytest.fixture
def two_threads():
    with threadpool_limits(2, "blas"):
        yield


def blas_now():
    return threads._blas.current()


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


def test_little_work_and_one_blas_thread_stay_in_this_thread(two_threads):
    seen = set()

    def task(worker):
        seen.add((threading.get_ident(), worker))

    run_tasks([task] * 5, ["a", "b"], 1.0)
    with threadpool_limits(1, "blas"):
        run_tasks([task] * 5, ["a", "b"], 1e12)
    assert seen == {(threading.get_ident(), "a")}


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_an_error_comes_out_and_ends_the_rest(two_threads, error):
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


def test_contexts_nest_and_the_last_one_out_restores(two_threads):
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert (blas_now(), available_threads()) == (1, 2)
    first.__exit__(None, None, None)  # not the order of a nest: two threads that fit at a time
    assert (blas_now(), available_threads()) == (1, 2)
    second.__exit__(None, None, None)
    assert (blas_now(), available_threads()) == (2, 2)


def test_large_factorisations_get_the_threads_back(two_threads):
    with one_blas_thread():
        with all_blas_threads(1e12):
            assert blas_now() == 2
        with all_blas_threads(1.0):
            assert blas_now() == 1
        with one_blas_thread(), all_blas_threads(1e12):
            assert blas_now() == 1  # somebody else is at work
        assert blas_now() == 1
    with all_blas_threads(1e12):
        assert blas_now() == 2
