"""Predicted cost of one solve, and the base class of the models that predict it."""

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from sklearn.base import BaseEstimator

from qnewton_sk.machine import Rates

from .checks import must
from .linear_system import SystemFacts


@dataclass(frozen=True)
class CostEstimate:
    """Predicted cost of one solve.

    Parameters
    ----------
    seconds : float
        Predicted time in seconds, `assembly_seconds` included.
    terms : mapping of str to float
        The factors of the formula, each under a name that carries its unit; for people to read.
    source : str
        Where the formula comes from.
    assembly_seconds : float, default=0.0
        Part of `seconds` that goes into entries or a factor that do not exist yet.
    seconds_per_product : float, default=None
        Predicted time of one product of matrix and vector, for iterative solvers; None for direct ones.
    """

    seconds: float
    terms: Mapping[str, float] = field(default_factory=dict)
    source: str = ""
    assembly_seconds: float = 0.0
    seconds_per_product: float | None = None


class CostModel(BaseEstimator):
    """A model of what a solve costs; subclass it to add your own.

    A subclass defines ``__call__(facts, tol)`` and may define the other methods. It must be a pure function
    of its settings, the facts and the tolerance. A cost that is never rejected can be a plain function instead.

    Examples
    --------
    >>> from qnewton_sk import CostEstimate, CostModel, SystemFacts
    >>> class Cubic(CostModel):
    ...     def __call__(self, facts, tol):
    ...         return CostEstimate(1e-9 * facts.n**3, source="a guess")
    >>> f"{Cubic()(SystemFacts(n=100), 1e-6).seconds:.0e}"
    '1e-03'
    """

    @abstractmethod
    def __call__(self, facts: SystemFacts, tol: float) -> CostEstimate:
        """Return the `CostEstimate` of one solve to the relative error `tol`."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(facts, tol)")

    def rejection_reason(self, facts: SystemFacts, tol: float) -> str | None:
        """Return why a solve cannot be priced, or None if it can."""
        return None

    def check(self) -> None:
        """Raise ValueError if a setting is out of range; called once before a fit begins.

        The base class checks a setting `rates`, if there is one.
        """
        rates = getattr(self, "rates", None)
        if not (rates is None or isinstance(rates, Rates)):
            raise must(
                f"rates of a {type(self).__name__}",
                "be None or a Rates object, as calibrate() returns",
                rates,
            )

    def break_even_gate_time(self, facts: SystemFacts, tol: float, classical_seconds: float) -> float | None:
        """Return the gate time in seconds at which a solve costs `classical_seconds`, or None if there is none."""
        return None


class FunctionCost(CostModel):
    """The cost model of a plain function.

    Parameters
    ----------
    function : callable
        ``function(facts, tol) -> CostEstimate``.
    """

    def __init__(self, function: Callable[[SystemFacts, float], CostEstimate]):
        self.function = function

    def __call__(self, facts, tol):
        """Return the `CostEstimate` of one solve to the relative error `tol`."""
        return self.function(facts, tol)


def as_cost_model(cost):
    """Return a `CostModel` as it is, and a plain function ``cost(facts, tol)`` as a `FunctionCost`.

    Raises
    ------
    ValueError
        If `cost` is neither.
    """
    if isinstance(cost, CostModel):
        return cost
    if inspect.isroutine(cost) or isinstance(cost, partial):
        return FunctionCost(cost)
    raise ValueError(
        "`cost` must be a function cost(facts, tol) -> CostEstimate or an instance of a subclass of "
        f"qnewton_sk.CostModel; got {cost!r}"
    )
