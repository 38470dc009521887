"""Map of the gate time at which a quantum solve takes as long as a classical one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from qnewton_sk.quantum import QuantumCost
from qnewton_sk.solvers import DirectCost
from qnewton_sk.systems import CostEstimate, SystemFacts

from .displays import resolve_axes

GATE_SECONDS = (1e-18, 1e-12, 1e-9, 1e-6)
"""Gate times whose lines are drawn: attosecond, terahertz and photonic gates (arXiv:2405.00252, section II-E), and the
logical cycle of a fault-tolerant machine."""

COLOUR_FAMILIES = ("Blues", "Oranges", "Greens", "Purples")
"""Colormaps of the views, one family each; a slower gate has a darker shade."""

Cost = Callable[[SystemFacts, float], CostEstimate]


class BreakEvenDisplay:
    """Lines of equal break-even gate time over the number of unknowns and the condition number.

    On a line, a quantum computer with this gate time takes as long as the classical solver. It is faster on the side
    of the line where the break-even gate time is larger.

    Parameters
    ----------
    n : array-like of shape (n_sizes,)
        Numbers of unknowns, increasing.
    kappa : array-like of shape (n_kappas,)
        Condition numbers, increasing.
    break_even_seconds : mapping of str to array-like of shape (n_kappas, n_sizes)
        Break-even gate times in seconds by view, such as "paper" and "end to end"; nan if there is none.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure of the axes.
    contours_ : dict of str to dict of float to matplotlib QuadContourSet
        The lines by view and gate time in seconds; a gate time without a line on the map is left out.
    legend_ : matplotlib Legend
        Legend on the right of the axes. A gate time without a line is marked "(whole map)" if it is below every
        break-even gate time, so that the quantum solver is faster everywhere, and "(nowhere)" otherwise.

    Examples
    --------
    >>> from qnewton_sk import BreakEvenDisplay, SystemFacts
    >>> facts = [
    ...     SystemFacts(n=n, kappa=kappa, row_nonzeros=10)
    ...     for n in (10**3, 10**5, 10**7)
    ...     for kappa in (10.0, 1e3)
    ... ]
    >>> display = BreakEvenDisplay.from_facts(facts)
    >>> sorted(display.break_even_seconds)
    ['end to end', 'paper']
    >>> bool((display.break_even_seconds["end to end"] < display.break_even_seconds["paper"]).all())
    True
    """

    def __init__(self, n: Any, kappa: Any, break_even_seconds: Mapping[str, Any]) -> None:
        self.n = n
        self.kappa = kappa
        self.break_even_seconds = break_even_seconds

    @classmethod
    def from_facts(
        cls,
        facts: Iterable[SystemFacts],
        *,
        tol: float = 1e-2,
        costs: Mapping[str, QuantumCost] | None = None,
        classical_cost: Cost | None = None,
        gate_seconds: Sequence[float] = GATE_SECONDS,
        ax: Any = None,
    ) -> "BreakEvenDisplay":
        """Draw the map of a grid of systems.

        Parameters
        ----------
        facts : iterable of SystemFacts
            One for each pair of a number of unknowns and a condition number, in any order.
        tol : float, default=1e-2
            Relative error of every solution.
        costs : mapping of str to QuantumCost, default=None
            Quantum cost by view; by default those of the presets "paper" and "end_to_end".
        classical_cost : callable, default=None
            ``classical_cost(facts, tol) -> CostEstimate``; by default that of LU.
        gate_seconds : sequence of float, default=(1e-18, 1e-12, 1e-9, 1e-6)
            Gate times in seconds whose lines are drawn.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        BreakEvenDisplay

        Raises
        ------
        ValueError
            If the facts do not form a full grid.
        """
        if costs is None:
            costs = {"paper": QuantumCost(), "end to end": QuantumCost(assumptions="end_to_end")}
        n, kappa, grid = _grid_of(facts)
        classical = classical_cost or DirectCost("lu")
        break_even = {
            view: np.array(
                [[_break_even_seconds(cost, classical, point, tol) for point in row] for row in grid]
            )
            for view, cost in costs.items()
        }
        return cls(n, kappa, break_even).plot(gate_seconds=gate_seconds, ax=ax)

    def plot(self, *, gate_seconds: Sequence[float] = GATE_SECONDS, ax: Any = None) -> "BreakEvenDisplay":
        """Draw one line per view and gate time.

        Parameters
        ----------
        gate_seconds : sequence of float, default=(1e-18, 1e-12, 1e-9, 1e-6)
            Gate times in seconds.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        BreakEvenDisplay

        Raises
        ------
        ValueError
            If a gate time is not positive, or there are more views than colour families.
        """
        gate_seconds = sorted(gate_seconds)
        if not gate_seconds or not 0 < gate_seconds[0] <= gate_seconds[-1] < np.inf:
            raise ValueError(
                f"`gate_seconds` must be positive, finite numbers of seconds; got {gate_seconds}"
            )
        if len(self.break_even_seconds) > len(COLOUR_FAMILIES):
            raise ValueError(f"`break_even_seconds` must hold at most {len(COLOUR_FAMILIES)} views")
        self.ax_, self.figure_ = resolve_axes(ax, figsize=(8, 4.5), layout="constrained")
        self.contours_: dict[str, dict[float, Any]] = {}
        handles = []
        for view, family in zip(self.break_even_seconds, COLOUR_FAMILIES):
            colours = _shades(family, len(gate_seconds))
            self.contours_[view] = self._lines(view, gate_seconds, colours)
            handles += self._legend_handles(view, gate_seconds, colours)
        self.ax_.set(xscale="log", yscale="log", xlabel="unknowns N", ylabel="condition number $\\kappa$")
        self.legend_ = self.ax_.legend(
            handles=handles,
            title="break-even gate time (s)",
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            borderaxespad=0.0,
        )
        return self

    def _lines(self, view: str, gate_seconds: Sequence[float], colours: Sequence[Any]) -> dict[float, Any]:
        logarithms = _logarithms(self.break_even_seconds[view])
        low, high = logarithms.min(), logarithms.max()
        settings = {"linestyles": "solid"}  # matplotlib dashes the lines of negative levels
        return {
            time: self.ax_.contour(
                self.n, self.kappa, logarithms, levels=[np.log10(time)], colors=[colour], **settings
            )
            for time, colour in zip(gate_seconds, colours)
            if low <= np.log10(time) <= high
        }

    def _legend_handles(self, view: str, gate_seconds: Sequence[float], colours: Sequence[Any]) -> list[Any]:
        """Return one handle per gate time; without a line it says whether the quantum solver always or never wins."""
        drawn, highest = self.contours_[view], _logarithms(self.break_even_seconds[view]).max()
        labels = []
        for time in gate_seconds:
            remark = "" if time in drawn else " (whole map)" if highest > np.log10(time) else " (nowhere)"
            labels.append(f"{view}: {time:.0e}{remark}")
        return [self.ax_.plot([], [], color=colour, label=label)[0] for colour, label in zip(colours, labels)]


def _logarithms(break_even_seconds: Any) -> np.ma.MaskedArray:
    """log10 of the break-even gate times, masked where there is none."""
    seconds = np.asarray(break_even_seconds, dtype=float)
    return np.ma.masked_array(np.log10(np.where(seconds > 0, seconds, 1.0)), mask=~(seconds > 0))


def _grid_of(facts: Iterable[SystemFacts]) -> tuple[np.ndarray, np.ndarray, list[list[SystemFacts]]]:
    """Return the numbers of unknowns, the condition numbers, and the facts in rows of equal condition number."""
    points = {(point.n, point.kappa): point for point in facts}
    n = sorted({n for n, _ in points})
    kappa = sorted({kappa for _, kappa in points if kappa is not None})
    full = len(points) == len(n) * len(kappa) and len(n) > 1 and len(kappa) > 1
    if not full or any(k is None for _, k in points):
        raise ValueError(
            "`facts` must hold one SystemFacts for every pair of at least two numbers of unknowns and at least two "
            f"condition numbers; got {len(points)} for {len(n)} x {len(kappa)} pairs"
        )
    return np.array(n, dtype=float), np.array(kappa), [[points[i, k] for i in n] for k in kappa]


def _break_even_seconds(cost: QuantumCost, classical_cost: Cost, facts: SystemFacts, tol: float) -> float:
    if cost.rejection_reason(facts, tol):
        return float("nan")
    return cost.break_even_gate_time(facts, tol, classical_cost(facts, tol).seconds)


def _shades(family: str, count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps[family](share) for share in np.linspace(0.4, 1.0, count)]
