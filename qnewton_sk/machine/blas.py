"""The number of threads that BLAS uses: one during a fit, and outside it whatever was set before.

BLAS splits its sums differently on more threads: a Cholesky or LU factorisation of order 800 or more differs in the
last bits between one and two threads (OpenBLAS 0.3.31), and so would the fitted model.
"""

import threading
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


class _Limit:
    """Restricts libraries to one thread while any context is open, and restores what the first one found.

    Parameters
    ----------
    libraries : list of LibController
        Libraries whose limit is shared by all threads that open contexts here.
    """

    def __init__(self, libraries):
        self.libraries, self.changing = libraries, threading.Lock()
        self.open, self.before = 0, []

    def threads(self):
        """Return the number of threads that the libraries may use when no context is open."""
        return max(self.before if self.open else self.current(), default=1)

    def current(self):
        """Return the current number of threads of each library."""
        return [library.num_threads for library in self.libraries]

    def enter(self):
        with self.changing:
            if not self.open:
                self.before = self.current()
                self._set([1] * len(self.libraries))
            self.open += 1

    def leave(self):
        with self.changing:
            self.open -= 1
            if not self.open:  # only the last context to close restores the numbers found by the first
                self._set(self.before)

    def _set(self, numbers):
        for library, number in zip(self.libraries, numbers):
            if library.num_threads != number:
                _set_threads(library, number)


def _set_threads(library, number):
    """Set the number of threads of a library from any thread.

    Since threadpoolctl 3.8 only the first thread that sets a limit of OpenBLAS has any effect until it gives
    up control, but the context that closes last may belong to another thread.
    """
    release = getattr(library, "clear_controlling_thread", None)
    if release is not None:
        release(force=True)
    library.set_num_threads(number)
    if release is not None:
        release()


@lru_cache(maxsize=1)
def _libraries():
    """Return the BLAS libraries whose limit applies to the whole process, and those with one limit per thread."""
    found = ThreadpoolController().select(user_api="blas").lib_controllers  # the search takes milliseconds
    per_thread = [library for library in found if getattr(library, "threading_layer", "") == "openmp"]
    return [library for library in found if library not in per_thread], per_thread


@lru_cache(maxsize=1)
def _process_limit():
    return _Limit(_libraries()[0])


_own = threading.local()


def _limits():
    """Return the limit of the process and that of the calling thread."""
    if not hasattr(_own, "limit"):
        _own.limit = _Limit(_libraries()[1])
    return _process_limit(), _own.limit


def available_threads():
    """Return the number of threads that BLAS may use outside fits, which also limits the tasks of a fit.

    It is set by environment variables, such as OPENBLAS_NUM_THREADS, or by threadpoolctl. Code that reads it
    must give the same results for any number.

    Examples
    --------
    >>> from threadpoolctl import threadpool_limits
    >>> from qnewton_sk.machine import available_threads
    >>> with threadpool_limits(1):
    ...     available_threads()
    1
    """
    return max(limit.threads() for limit in _limits())


@contextmanager
def one_blas_thread():
    """Return a context in which BLAS runs on one thread.

    Contexts may be nested, and several threads may be inside at the same time. The number of threads that the
    first context found is restored when the last one closes, even if an exception closes it.
    """
    process, own = _limits()
    process.enter()
    try:
        own.enter()
        try:
            yield
        finally:
            own.leave()
    finally:
        process.leave()
