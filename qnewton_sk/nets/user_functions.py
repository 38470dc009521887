"""Calls of functions that a user has passed: a fault in one is reported under the name of its parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class UserFunction:
    """The parameter that holds a user's function, and the name of that function, for error messages.

    Parameters
    ----------
    parameter : str
        The parameter of the estimator, such as "loss".
    name : str
        The name of the function.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.nets.user_functions import UserFunction
    >>> UserFunction("activation", "sqrt").call(np.sqrt, np.array([1.0, 4.0]), shape=(3,), what="a value")
    Traceback (most recent call last):
        ...
    ValueError: `activation` must have a value of shape (3,); got shape (2,) from sqrt
    """

    parameter: str
    name: str

    @classmethod
    def of(cls, parameter: str, function: Callable[..., Any]) -> "UserFunction":
        """Return the record for a callable, which need not have a name."""
        return cls(parameter, getattr(function, "__name__", type(function).__name__))

    def call(
        self,
        function: Callable[..., Any],
        *arguments: Array,
        shape: tuple[int, ...],
        what: str,
        where: Callable[[], Any] | None = None,
    ) -> Array:
        """Return ``function(*arguments)``.

        A NaN is a fault unless an argument is not finite, or a number overflowed on the way: then it stands for a
        step that was too long, and the step control takes the step back.

        Parameters
        ----------
        function : callable
            The user's function, or a derivative of it.
        *arguments : ndarray
            What it is called with.
        shape : tuple of int
            The shape that the result must have.
        what : str
            What the result is, such as "a gradient".
        where : callable, default=None
            It returns a mask that broadcasts to `shape`; a NaN elsewhere is no fault.

        Returns
        -------
        ndarray of shape `shape`

        Raises
        ------
        ValueError
            If the function raises an exception, returns another shape, or returns NaN without cause.
        """
        overflows: list[str] = []
        state: Any = dict(over="call", divide="ignore", invalid="ignore", under="ignore")
        try:
            with np.errstate(call=lambda kind, _: overflows.append(kind), **state):
                result = np.asarray(function(*arguments))
        except Exception as error:
            raise ValueError(
                f"`{self.parameter}` must have {what}; {self.name} raised {type(error).__name__}: {error}"
            ) from error
        if result.shape != shape:
            raise ValueError(
                f"`{self.parameter}` must have {what} of shape {shape}; got shape {result.shape} from {self.name}"
            )
        if not overflows and self._is_at_fault(np.isnan(result), arguments, where):
            raise ValueError(
                f"`{self.parameter}` must have {what} for all finite arguments; got NaN from {self.name}. "
                "Let it return numpy.inf where it is not defined"
            )
        return result

    @staticmethod
    def _is_at_fault(nan: Array, arguments: tuple[Array, ...], where: Callable[[], Any] | None) -> bool:
        if not nan.any() or not all(np.isfinite(a).all() for a in arguments):
            return False
        return where is None or bool((nan & where()).any())
