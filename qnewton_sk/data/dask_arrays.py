"""Dask arrays as a user passes them: recognise, refuse or check them, and cut them into blocks of rows."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

from sklearn.exceptions import DataConversionWarning


def is_dask(data: Any) -> bool:
    """Return whether `data` is a dask collection, without importing dask.

    Examples
    --------
    >>> from qnewton_sk.data.dask_arrays import is_dask
    >>> is_dask([[1.0, 2.0]])
    False
    """
    return type(data).__module__.split(".")[0] in ("dask", "dask_expr") and hasattr(data, "__dask_graph__")


def refuse_dask(name: str, data: Any, way_out: str) -> None:
    """Refuse a dask collection for an argument that must be in memory.

    Parameters
    ----------
    name : str
        Argument that the message names.
    data : object
        What the user passed.
    way_out : str
        What to do instead, the end of the message.

    Raises
    ------
    ValueError
        If `data` is a dask collection.
    """
    if is_dask(data):
        raise ValueError(f"`{name}` must be in memory; got {_described(data)}. {way_out}")


def check_settings(settings: Mapping[str, Any], *, splits: bool) -> None:
    """Refuse settings that need the samples themselves if X is a dask array.

    Parameters
    ----------
    settings : mapping of str to object
        Settings of the estimator by name.
    splits : bool
        Whether the samples are to be split for early stopping.

    Raises
    ------
    ValueError
        The message names the setting, the reason and what to do instead.
    """
    reasons = {
        "batch_size": (
            isinstance(settings["batch_size"], str),
            'be "auto" if X is a dask array, since mini-batches would draw rows from all chunks',
            "Call partial_fit on one block after the other instead",
        ),
        "alpha": (
            not str(settings["alpha"]).startswith("evidence"),
            'be a number or "auto" if X is a dask array, since the search for the evidence needs the targets in memory',
            "Find alpha on a part of the data that fits there",
        ),
        "early_stopping": (
            not splits,
            "be False if X is a dask array and there is no validation set, since the split would move rows",
            "Pass X_val and y_val that fit into memory",
        ),
    }
    for name, (holds, expected, way_out) in reasons.items():
        if not holds:
            raise ValueError(f"`{name}` must {expected}; got {settings[name]!r}. {way_out}")


def checked_array(name: str, data: Any, axes: tuple[int, ...]) -> Any:
    """Return a dask array after checking its number of axes, with all columns in one chunk.

    Raises
    ------
    ValueError
        If it is another collection, has another number of axes or an unknown number of columns.
    """
    import dask.array as da

    if not isinstance(data, da.Array):
        raise ValueError(
            f"`{name}` must be a dask array; got {_described(data)}. Pass {name}.to_dask_array(lengths=True) of a "
            "data frame, or dask.array.from_delayed of delayed blocks"
        )
    if data.ndim not in axes:
        expected = " or ".join(f"{n}" for n in axes)
        raise ValueError(
            f"`{name}` must have {expected} {'axis' if axes == (1,) else 'axes'}; got shape {data.shape}. Reshape it"
        )
    if data.ndim == 2 and math.isnan(data.shape[1]):
        raise ValueError(
            f"`{name}` must have a known number of columns; got shape {data.shape}. Call "
            f"{name}.compute_chunk_sizes() first"
        )
    return data.rechunk({1: -1}) if data.ndim == 2 and len(data.chunks[1]) > 1 else data


def as_column(y: Any) -> Any:
    """Return targets of a single column as an array of one axis, with the warning that scikit-learn gives."""
    if y.ndim == 2 and y.shape[1] == 1:
        text = "A column-vector y was passed when a 1d array was expected. Pass y[:, 0]."
        warnings.warn(text, DataConversionWarning, stacklevel=2)
        return y[:, 0]
    return y


def aligned(name: str, data: Any, X: Any) -> Any:
    """Return `data` as a dask array in the same chunks of rows as the dask array X.

    An array in memory is cut into chunks. Chunks of unknown sizes are accepted if X has as many; their lengths are
    compared later, on the workers.

    Raises
    ------
    ValueError
        If the chunks cannot be aligned.
    """
    rows = X.chunks[0]
    if not is_dask(data):
        import dask.array as da

        if any(math.isnan(n) for n in rows):
            raise ValueError(
                f"`{name}` must be a dask array in the same chunks as X if those of X have unknown sizes; got "
                f"{type(data).__name__}. Call X.compute_chunk_sizes() first"
            )
        data = da.from_array(data, chunks=-1)
    if data.chunks[0] == rows or _may_match(data.chunks[0], rows):
        return data
    if any(math.isnan(n) for n in (*data.chunks[0], *rows)):
        raise ValueError(
            f"`{name}` must have as many chunks as X if sizes are unknown; got {len(data.chunks[0])} and {len(rows)}. "
            "Call compute_chunk_sizes() on both"
        )
    if sum(data.chunks[0]) != sum(rows):
        raise ValueError(
            f"`{name}` must have one row per row of X; got {sum(data.chunks[0])} and {sum(rows)} rows"
        )
    return data.rechunk({0: rows})


def _may_match(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Return whether two lists of partly unknown chunk sizes may be equal."""
    unknown = any(math.isnan(n) for n in (*a, *b))
    return unknown and len(a) == len(b) and all(n == m or math.isnan(n + m) for n, m in zip(a, b))


def row_blocks(array: Any) -> list[Any]:
    """Return the blocks of rows of an array as delayed objects."""
    return list(array.to_delayed().ravel())


def _described(data: Any) -> str:
    kind = type(data)
    return f"{kind.__module__.split('.')[0]} {kind.__name__}"
