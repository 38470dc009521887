"""The position of each array of nested parameters in one vector, and the arrays that share a linear system."""

from collections.abc import Callable, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.nets import parameter_leaves

Array = NDArray[Any]


class Leaf(NamedTuple):
    """One array of the parameters: its path, its shape, and its place in the vector."""

    path: tuple[Any, ...]
    shape: tuple[int, ...]
    part: slice


class Layout:
    """Nested dicts, lists, tuples and arrays as one vector, in which the arrays of a group are adjacent.

    A list or tuple that holds only numbers is an array.

    Parameters
    ----------
    x0 : nested dicts, lists, tuples, arrays and numbers
        The parameters; their arrays are copied.
    partition : {"full", "layer"} or mapping, default="full"
        One linear system for all arrays, one per array, or one per entry of a mapping from a name to the selection
        of its arrays. A selection is a str, a tuple or a list of these: a str selects all arrays that have this key
        in their path, a tuple all arrays whose path begins with it.
    first_order : str, tuple or list of these, default=()
        Arrays without a linear system, selected in the same way.

    Attributes
    ----------
    leaves : tuple of Leaf
        The arrays in the order of the user's nesting.
    parts : tuple of slice
        The entries of each linear system.
    first_order : slice
        The entries without a linear system, which come last.
    n_params : int
        Number of entries.
    dtype : dtype
        float32 if all arrays are of that type, else float64.

    Raises
    ------
    ValueError
        If `x0` holds anything but finite real numbers, or a selection does not match it.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.autodiff import Layout
    >>> layout = Layout({"w": np.ones((2, 2)), "b": [0.0, 3.0]}, partition="layer")
    >>> layout.start
    array([1., 1., 1., 1., 0., 3.])
    >>> layout.unpack(np.arange(6.0))["b"], layout.parts
    (array([4., 5.]), (slice(0, 4, None), slice(4, 6, None)))
    """

    def __init__(self, x0: Any, partition: Any = "full", first_order: Any = ()):
        self._tree = _with_arrays(x0)
        arrays = dict(parameter_leaves(self._tree))
        for path, array in arrays.items():
            _check_array(array, path)
        single = all(np.asarray(array).dtype == np.float32 for array in arrays.values())
        self.dtype = np.dtype(np.float32 if single else np.float64)
        left_out = _selected("first_order", first_order, arrays) if _is_some(first_order) else ()
        groups = [*_groups(partition, arrays, left_out), tuple(left_out)]
        places, parts = _places(groups, arrays)
        self.parts, self.first_order = tuple(parts[:-1]), parts[-1]
        self.leaves = tuple(Leaf(path, array.shape, places[path]) for path, array in arrays.items())
        self.n_params = parts[-1].stop
        if self.n_params == 0:
            raise ValueError("`x0` must hold at least one number; got none")
        if self.first_order.start == 0:
            raise ValueError(
                "`first_order` must leave parameters that take Newton steps; got all of them. For first-order steps "
                "only, scipy.optimize.minimize(method='L-BFGS-B') is the better choice"
            )
        self.start = self.pack(self._tree)

    def pack(self, params: Any) -> Array:
        """Return the vector, of shape (n_params,), of parameters nested like `x0`."""
        theta = np.empty(self.n_params, self.dtype)
        for leaf, (_, array) in zip(self.leaves, parameter_leaves(params)):
            theta[leaf.part] = np.ravel(array)
        return theta

    def unpack(self, theta: Any) -> Any:
        """Return the parameters nested like `x0`: views of a vector, through which autograd can differentiate."""
        return self.nest([theta[leaf.part].reshape(leaf.shape) for leaf in self.leaves])

    def nest(self, arrays: Any) -> Any:
        """Return arrays, one per leaf and in the order of `leaves`, nested like `x0`."""
        return _mapped(self._tree, iter([arrays[k] for k in range(len(self.leaves))]).__next__)

    def result(self, theta: Array) -> Any:
        """Return copies of the parameters nested like `x0`; a number in `x0` gives a number."""
        return self.nest([np.array(theta[leaf.part].reshape(leaf.shape))[()] for leaf in self.leaves])

    def spread(self, name: str, numbers: Any) -> Array:
        """Return the vector of a number that is given for all arrays, or of numbers nested like `x0`, one per array.

        Raises
        ------
        ValueError
            If the numbers are not finite and >= 0, or are nested differently; the message contains `name`.
        """
        given = dict(parameter_leaves(numbers)) if isinstance(numbers, Mapping | list | tuple) else None
        if given is None:
            given = {leaf.path: numbers for leaf in self.leaves}
        expected = f"`{name}` must be a number >= 0, or numbers nested like `x0`"
        if list(given) != [leaf.path for leaf in self.leaves]:
            raise ValueError(f"{expected}; got {numbers!r}")
        theta = np.empty(self.n_params, self.dtype)
        for leaf in self.leaves:
            try:
                theta[leaf.part] = np.broadcast_to(np.asarray(given[leaf.path], float), leaf.shape).ravel()
            except (TypeError, ValueError):
                raise ValueError(f"{expected}; got {given[leaf.path]!r} for {_name(leaf.path)}") from None
        if not (np.isfinite(theta).all() and (theta >= 0).all()):
            raise ValueError(f"{expected}; got {numbers!r}")
        return theta

    def leaves_in(self, part: slice) -> list[int]:
        """Return the indices of the leaves whose entries lie in `part`."""
        return [
            k
            for k, leaf in enumerate(self.leaves)
            if part.start <= leaf.part.start < leaf.part.stop <= part.stop
        ]


def _with_arrays(tree: Any) -> Any:
    """Return a copy of the containers in which numbers and lists of numbers are arrays."""
    if isinstance(tree, Mapping):
        return {key: _with_arrays(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        if len(tree) and all(isinstance(value, Real) for value in tree):
            return np.array(tree)
        return _like(tree, [_with_arrays(value) for value in tree])
    return np.array(tree)


def _mapped(tree: Any, next_leaf: Callable[[], Any]) -> Any:
    """Return the containers of `tree` with other leaves, taken in order."""
    if isinstance(tree, dict):
        return {key: _mapped(value, next_leaf) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return _like(tree, [_mapped(value, next_leaf) for value in tree])
    return next_leaf()


def _like(container: Any, values: list[Any]) -> Any:
    """Return a list, tuple or named tuple of the same kind as `container`."""
    if isinstance(container, list):
        return values
    return type(container)(*values) if hasattr(container, "_fields") else tuple(values)


def _check_array(array: Array, path: tuple[Any, ...]) -> None:
    real = array.dtype.kind in "fiu"
    if not real or not np.isfinite(array).all():
        got = f"dtype {array.dtype}" if not real else "NaN or infinity"
        raise ValueError(f"`x0` must hold arrays of finite real numbers; got {got} in {_name(path)}")


def _name(path: tuple[Any, ...]) -> str:
    """Return the array's name as a user would write it, such as x0['layers'][0]."""
    return "x0" + "".join(f"[{key!r}]" for key in path)


def _is_some(selection: Any) -> bool:
    return not (isinstance(selection, list | tuple) and len(selection) == 0)


def _selected(name: str, selection: Any, arrays: Mapping[Any, Array]) -> list[Any]:
    """Return the paths that match a selection; each of its items must match at least one."""
    if not isinstance(selection, list):
        selection = [selection]
    found: list[Any] = []
    for item in selection:
        if isinstance(item, str):
            paths = [path for path in arrays if item in path]
        elif isinstance(item, tuple):
            paths = [path for path in arrays if path[: len(item)] == item]
        else:
            paths = []
        if not paths:
            known = ", ".join(repr(path) for path in list(arrays)[:10])
            raise ValueError(
                f"`{name}` must consist of keys (str) and paths (tuples) of arrays in `x0`; got {item!r}. The paths "
                f"are {known}{', ...' if len(arrays) > 10 else ''}"
            )
        found += [path for path in paths if path not in found]
    return found


def _groups(partition: Any, arrays: Mapping[Any, Array], left_out: Any) -> list[tuple[Any, ...]]:
    """Return the paths of each linear system."""
    left = [path for path in arrays if path not in left_out]
    if isinstance(partition, Mapping) and partition:
        groups = [tuple(_selected("partition", selection, arrays)) for selection in partition.values()]
        named = [path for group in groups for path in group]
        for path in left:
            if named.count(path) != 1:
                raise ValueError(
                    f"`partition` must name every array once that is not in `first_order`; got {_name(path)} "
                    f"{named.count(path)} times"
                )
        if len(named) != len(left):
            both = next(path for path in named if path in left_out)
            raise ValueError(f"`partition` must not name what is in `first_order`; got {_name(both)} in both")
        return groups
    if isinstance(partition, str) and partition in ("full", "layer"):
        return [tuple(left)] if partition == "full" else [(path,) for path in left if arrays[path].size]
    raise ValueError(
        '`partition` must be "full" (one system for all parameters), "layer" (one per array of `x0`) or a dict from '
        f"the name of each group to its keys and paths; got {partition!r}"
    )


def _places(
    groups: list[tuple[Any, ...]], arrays: Mapping[Any, Array]
) -> tuple[dict[Any, slice], list[slice]]:
    places, parts, start = {}, [], 0
    for group in groups:
        begin = start
        for path in group:
            places[path] = slice(start, start + arrays[path].size)
            start += arrays[path].size
        parts.append(slice(begin, start))
    return places, parts
