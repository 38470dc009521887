"""Calls on delayed objects of dask: one call per object, with results combined in a tree of fixed shape."""

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

FAN_IN = 8
"""Number of results that are combined at a time. With eight, a sum over up to eight parts is taken in the same order
as in one process, and a tree over 4096 workers has four levels."""


def tree(
    function: Callable[..., Any],
    objects: Sequence[Any],
    shared: Any,
    combine: Callable[..., Any],
    first: Any = None,
) -> Any:
    """Return the results ``function(object, shared)`` of all objects, combined by ``combine``.

    Parameters
    ----------
    function : callable
        ``function(object, shared) -> result``.
    objects : sequence of dask.delayed.Delayed, or of tuples of them
        The objects, in order.
    shared : object
        Second argument of every call; it is sent to each worker once.
    combine : callable
        ``combine(results) -> result`` for a list of consecutive results.
    first : object, default=None
        A result that comes before all others; None if there is none.

    Raises
    ------
    RuntimeError
        If the cluster is lost. Exceptions of `function` are passed on.
    """
    import dask

    together = dask.delayed(_together, pure=False)
    objects = [together(list(each)) if isinstance(each, tuple) else each for each in objects]
    name = f"{getattr(function, '__name__', 'work')}-{uuid4().hex}"
    keys = iter(f"{name}-{number}" for number in count())
    layer: dict[Any, Any] = {f"{name}-shared": _Held(shared)}
    results = []
    for each in objects:
        results.append(next(keys))
        layer[results[-1]] = (_call, _Held(function), each.key, f"{name}-shared")
    if first is not None:
        layer[f"{name}-first"] = _Held(first)
    before = [] if first is None else [f"{name}-first"]
    while len(results) + len(before) > 1:
        groups = [results[start : start + FAN_IN] for start in range(0, len(results), FAN_IN)]
        groups[0], before = before + groups[0], []
        results = [next(keys) for _ in groups]
        layer.update({key: (_join, _Held(combine), group) for key, group in zip(results, groups)})
    return computed(_delayed(name, results[0], layer, objects))


@dataclass(frozen=True)
class _Held:
    """A value in a graph, wrapped so that dask takes it for neither a task nor a key."""

    value: Any


def _value(held: Any) -> Any:
    return held.value if isinstance(held, _Held) else held


def _call(function: _Held, each: Any, shared: _Held) -> Any:
    return function.value(each, shared.value)


def _join(combine: _Held, results: list[Any]) -> Any:
    return combine.value([_value(result) for result in results])


def _together(items: Any) -> tuple[Any, ...]:
    return tuple(items)


def _delayed(name: str, key: str, layer: dict[Any, Any], objects: Sequence[Any]) -> Any:
    """Return the delayed result of one layer of tasks on delayed objects.

    The graph is written directly, since building a thousand tasks by calls of `dask.delayed` takes a second.
    """
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    return Delayed(key, HighLevelGraph.from_collections(name, layer, dependencies=objects), layer=name)


def computed(result: Any) -> Any:
    """Return the value of a delayed object.

    Raises
    ------
    RuntimeError
        If workers or the scheduler are lost for good.
    """
    import dask

    try:
        return dask.compute(result, optimize_graph=False)[0]
    except Exception as error:
        if _is_of_the_cluster(error):
            text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            raise RuntimeError(
                f"The cluster could not finish a sum over the data ({text}). Fit again on a new client; with "
                "`checkpoint` set, the fit goes on from its last epoch. Data that only a lost worker held cannot be "
                "computed again: build the dask array from files, not from scattered arrays"
            ) from error
        raise


def _is_of_the_cluster(error: BaseException) -> bool:
    """Return whether an error comes from the cluster rather than the work, judged by its class."""
    return type(error).__module__.startswith("distributed") or isinstance(
        error, (CancelledError, ConnectionError, TimeoutError)
    )


def cluster_memory_bytes() -> float | None:
    """Return the memory limit of all workers of the cluster in use, None if there is no cluster."""
    from dask.base import get_scheduler

    client = getattr(get_scheduler(), "__self__", None)
    if client is None or not hasattr(client, "scheduler_info"):
        return None
    try:
        information = client.scheduler_info(n_workers=-1)
    except TypeError:  # releases before 2025, which always list all workers
        information = client.scheduler_info()
    workers = information["workers"].values()
    return float(sum(worker["memory_limit"] or 0 for worker in workers)) or float("inf")
