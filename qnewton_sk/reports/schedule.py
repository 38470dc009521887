"""Display of the costs that the scheduler compared, and of its choices."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from qnewton_sk.scheduling import resolve_scheduler

from .displays import note_instead, resolve_axes, set_title, whole_numbers
from .tables import check_columns, history_of

SCHEDULE_COLUMNS = "step", "backend", "classical_cost", "quantum_cost", "modelled_seconds"
"""Columns of the history that are drawn."""

FAMILIES = {"classical": "Blues", "quantum": "Oranges"}
"""Colormap of each kind of backend: the cost is a line in a light shade, the backends are marks in darker shades."""

MARKERS = "oXsD^vP*<>"
"""Shapes of the marks, one per backend, so that backends can be told apart without colours."""


class ScheduleDisplay:
    """Modelled cost of the classical and the quantum solve at every Newton step, and which one was chosen.

    Everything classical is blue and everything quantum is orange; each backend has its own shade and mark.

    Parameters
    ----------
    history : mapping of str to array-like of shape (n_steps,)
        `history_` of a fitted estimator.
    quantum_backends : collection of str, default=("qlsa",)
        Names of the quantum backends. A step counts as quantum if one of them solved any of its blocks.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the schedule.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : list of matplotlib Line2D
        Cost of the cheapest classical and of the cheapest quantum solve; a kind that was never available has no line.
    chosen_ : list of matplotlib PathCollection
        Marks at the modelled cost of the chosen backend, one collection per backend.
    legend_ : matplotlib Legend or None
        Legend on the right of the axes; None if no system was solved.

    Notes
    -----
    The display follows figure 1 (right) of arXiv:2405.00252. A line includes the assembly of the matrix if that was
    needed; a mark does not, so that marks may lie below the lines.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import QNewtonRegressor, ScheduleDisplay
    >>> X = np.linspace(-1, 1, 30)[:, None]
    >>> model = QNewtonRegressor((3,), scheduler="paper", random_state=0).fit(X, X[:, 0] ** 2)
    >>> display = ScheduleDisplay.from_estimator(model)
    >>> [line.get_label() for line in display.lines_]
    ['classical cost', 'quantum cost']
    """

    def __init__(self, history: Mapping[str, Any], quantum_backends: Collection[str] = ("qlsa",)) -> None:
        self.history = history
        self.quantum_backends = quantum_backends

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Any = None) -> "ScheduleDisplay":
        """Draw the schedule of a fitted estimator.

        Parameters
        ----------
        estimator : QNewtonClassifier or QNewtonRegressor
            Fitted. Its scheduler defines which backends are quantum.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        ScheduleDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        history = history_of(estimator)
        backends = resolve_scheduler(estimator.scheduler).available_backends()
        quantum = [backend.name for backend in backends if backend.kind == "quantum"]
        return cls.from_history(history, quantum_backends=quantum, ax=ax)

    @classmethod
    def from_history(
        cls, history: Mapping[str, Any], *, quantum_backends: Collection[str] = ("qlsa",), ax: Any = None
    ) -> "ScheduleDisplay":
        """Draw the schedule of one history; the parameters are those of the class and of `plot`."""
        return cls(history, quantum_backends).plot(ax=ax)

    def plot(self, *, ax: Any = None) -> "ScheduleDisplay":
        """Draw the two costs and the choices.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        ScheduleDisplay
        """
        check_columns(self.history, SCHEDULE_COLUMNS)
        self.ax_, self.figure_ = resolve_axes(ax, figsize=(8, 4), layout="constrained")
        solved = np.asarray(self.history["backend"], dtype=str) != ""
        history = {name: np.asarray(column)[solved] for name, column in self.history.items()}
        self.lines_ = [line for kind in FAMILIES for line in self._line(history, kind)]
        self.chosen_ = self._marks(history)
        self.legend_ = None
        set_title(self.ax_, "Modelled cost of every solve, and the backend that was chosen")
        self.ax_.set(xlabel="step", ylabel="modelled cost of the solve (s)")
        if not solved.any():
            note_instead(self.ax_, "No linear system was solved:\nthe fit took only first-order steps.")
            return self
        self.ax_.set_yscale("log")
        whole_numbers(self.ax_)
        self.legend_ = self.ax_.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
        return self

    def _line(self, history: Mapping[str, Any], kind: str) -> list[Any]:
        seconds = history[f"{kind}_cost"]
        if not np.isfinite(seconds.astype(float)).any():
            return []
        colour = _shade(FAMILIES[kind], 0.55)
        return self.ax_.plot(
            history["step"],
            seconds,
            color=colour,
            linewidth=1.5,
            marker=".",
            markersize=3,
            label=f"{kind} cost",
        )

    def _marks(self, history: Mapping[str, Any]) -> list[Any]:
        names = np.unique(history["backend"])
        quantum = [any(part in self.quantum_backends for part in name.split("+")) for name in names]
        marks = []
        for number, (name, is_quantum) in enumerate(zip(names, quantum)):
            same = [other for other, kind in zip(names, quantum) if kind == is_quantum]
            share = 0.7 if len(same) == 1 else 0.65 + 0.35 * same.index(name) / (len(same) - 1)
            chosen = history["backend"] == name
            marks.append(
                self.ax_.scatter(
                    history["step"][chosen],
                    history["modelled_seconds"][chosen].astype(float),
                    color=_shade(FAMILIES["quantum" if is_quantum else "classical"], share),
                    marker=MARKERS[number % len(MARKERS)],
                    s=30,
                    zorder=3,
                    label=f"chosen: {name}",
                )
            )
        return marks


def _shade(family: str, share: float) -> Any:
    from matplotlib import colormaps

    return colormaps[family](share)
