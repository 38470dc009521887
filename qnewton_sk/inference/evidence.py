"""A fit whose penalties and noise level are found by the evidence."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from sklearn.base import BaseEstimator

from .laplace import Penalties
from .scales import TargetUnits, natural_penalties
from .search import Evidence, Search

STARTS = 3.0, 0.1
"""Penalties of the starts relative to their natural scale, the strong one first. Strong ones may collapse to a linear
net or a constant, weak ones may overfit; each finds some optima that the other misses. More starts between and beyond
them raised no mean score on 25 regressions and 14 classifications, none of which is in the benchmark's tables of
scores. No start can be given up early, since a net that is about to collapse may have the highest evidence after a few
updates. The constants of `qnewton_sk.inference.search` were chosen on such data, too."""

FIRST_STEPS = 10
"""Steps of each start before its first update; the first steps say little about where the fit goes."""

FINISHING_SHARE = 8
"""After the search, the steps towards the minimum get one in so many of the epochs of a start."""

FAILURES = "diverged", "solver_failed"
"""Endings of Newton steps that a user has to know of."""

MAX_STEPS = 20
"""Steps tried per update until one is accepted."""


@dataclass(frozen=True)
class EvidenceResume:
    """What another run of the search needs in order to go on.

    Parameters
    ----------
    state : mapping of str to object
        Where the search stood before its last update.
    epochs : int
        Epochs since then, which are taken again.
    found : Evidence or None
        The best evidence reported so far.
    """

    state: Mapping[str, Any]
    epochs: int
    found: Evidence | None


class EvidenceLoop(BaseEstimator):
    """Settings of a fit whose penalties are found by the evidence; `run` goes through it as `Newton.run` does.

    Each of the starts, strong penalties first, takes Newton steps and updates of the penalties by turns. The
    point of the highest evidence is kept. From there, Newton steps go on towards the minimum of the objective as long
    as the evidence does not fall.

    Parameters
    ----------
    newton : Newton
        The loop that takes the steps. Its `max_iter` is the maximum number of epochs of each start.
    starts : tuple of float, default=STARTS
        Penalties to start from, relative to the natural scale of the data.
    """

    def __init__(self, newton, *, starts=STARTS):
        self.newton = newton
        self.starts = starts

    @property
    def max_epochs(self):
        """Maximum number of epochs in all."""
        return len(self.starts) * self.newton.max_iter + _finishing_epochs(self.newton.max_iter)

    def run(self, objective, theta, groups, random_state, report, penalties=None, resume=None):
        """Search; yield a `Progress` after every epoch, the last one with its `stop_reason`.

        It is "converged" if the minimum is reached with the penalties found, and "evidence" if the evidence is highest
        before; that ends a fit as early stopping does.

        Parameters
        ----------
        objective : Objective
            Data and net; its penalty plays no part.
        theta : ndarray of shape (n_params,)
            Where every start begins; not written to.
        groups : Groups
            Which parameters share a penalty.
        random_state : numpy.random.RandomState
            As of `Newton.run`.
        report : callable
            ``report(evidence)`` gets each `Evidence` that is better than those before, and the one that is kept.
        penalties : Penalties, default=None
            Those of an earlier fit to go on from, in place of the starts.
        resume : EvidenceResume, default=None
            `Progress.resume` of an earlier run on the same objective with the same arguments; the run goes on from
            there, to the last bit.
        """
        network, units = objective.network, TargetUnits.of(objective)
        found = None if resume is None else resume.found

        def to_user(evidence):
            nonlocal found
            found = units.evidence_to_user(objective, evidence)
            report(found)

        start = units.theta_from_user(network, theta) if penalties else theta
        inside = penalties and units.penalties_from_user(groups, penalties)
        run = _Run(self, units.objective(objective), start, groups, random_state, to_user)
        for progress in run.epochs(inside, resume):
            ending = EvidenceResume(run.before, run.epoch - run.before["epoch"], found)
            yield replace(units.progress_to_user(network, progress), resume=ending)


def _finishing_epochs(max_iter):
    return max(max_iter // FINISHING_SHARE, 1)


class _Run:
    """One pass through the loop: counts epochs and steps, and keeps the best start."""

    def __init__(self, settings, objective, theta, groups, random_state, report):
        self.settings, self.objective, self.theta, self.groups = settings, objective, theta, groups
        self.random_state, self.report = random_state, report
        self.natural = natural_penalties(objective, groups)
        self.max_iter = settings.newton.max_iter
        self.log_evidence = -math.inf
        self.epoch = self.n_steps = 0
        self.searches, self.before = [], None

    def epochs(self, penalties, resume):
        """Yield a `Progress` after every epoch, without those that an earlier run has yielded."""
        strengths = self.settings.starts
        starts = [Penalties(c * self.natural.alpha, self.natural.beta) for c in strengths]
        self.searches = [self._search(start) for start in ([penalties] if penalties else starts)]
        if resume is not None:
            self._restore(resume.state)
        return islice(self._all_epochs(), 0 if resume is None else resume.epochs, None)

    def _all_epochs(self):
        for search in self.searches:
            yield from self._follow(search)
        yield from self._finish(max(self.searches, key=lambda search: search.log_evidence))

    def _note(self):
        """Note where the search stands, so that another run can go on from here."""
        self.before = {
            "searches": [search.state() for search in self.searches],
            "log_evidence": self.log_evidence,
            "epoch": self.epoch,
            "n_steps": self.n_steps,
        }

    def _restore(self, state):
        """Go back to where a search stood."""
        for search, values in zip(self.searches, state["searches"]):
            vars(search).update(values)
        self.log_evidence, self.epoch, self.n_steps = (
            state[name] for name in ("log_evidence", "epoch", "n_steps")
        )

    def _search(self, penalties):
        newton = self.settings.newton
        return Search(newton, self.objective, self.groups, self.natural, self.theta, penalties)

    def _follow(self, search):
        """Let a start go on until it ends or has had its epochs; report it if it is the best."""
        while not search.ended and search.epochs < self.max_iter:
            self._note()
            wanted = 1 if search.updates else FIRST_STEPS
            budget = min(self.max_iter - search.epochs, MAX_STEPS)
            for progress in search.steps(self.random_state, wanted, budget):
                yield self._counted(progress)
            search.update()
            if search.log_evidence > self.log_evidence:
                self.log_evidence = search.log_evidence
                self.report(search.best)

    def _counted(self, progress, **ending):
        """Return the progress with epochs and steps numbered through; it ends nothing without `ending`."""
        self.epoch += 1
        first = self.n_steps + 1
        steps = tuple(replace(step, step=first + index) for index, step in enumerate(progress.steps))
        self.n_steps += len(steps)
        ending = ending or {"stop_reason": None, "converged": False, "message": ""}
        return replace(progress, epoch=self.epoch, steps=steps, resume=None, **ending)

    def _finish(self, search):
        """Newton steps towards the minimum with the best penalties, as long as the evidence does not fall."""
        found = search.best is not None
        if found:
            search.refine()
        for progress in search.steps(self.random_state, math.inf, _finishing_epochs(self.max_iter)):
            if not found:
                yield self._counted(progress, **self._failure())
                return
            kept = search.accept()
            if kept and progress.stop_reason is None:
                yield self._counted(progress)
                continue
            self.report(search.best)
            yield self._ended(search, progress, kept)
            return

    def _ended(self, search, progress, kept):
        """Return the last progress. Steps after the search may end anywhere: the evidence says what is best."""
        if kept and (progress.converged or progress.stop_reason in FAILURES):
            names = "stop_reason", "converged", "message"
            return self._counted(progress, **{name: getattr(progress, name) for name in names})
        if not kept:
            search.rewind()
            loss = search.penalised().value(search.theta)
            progress = replace(progress, theta=search.theta, loss=loss)
        if search.ended:
            return self._counted(progress, stop_reason="evidence", converged=False, message="")
        message = (
            f"step {self.n_steps + 1}: the start of the highest evidence, {search.log_evidence:.5g}, has had the "
            f"{self.max_iter} epochs of `max_iter`, and may still rise. Raise `max_iter`."
        )
        return self._counted(progress, stop_reason="max_iter", converged=False, message=message)

    def _failure(self):
        message = (
            f"step {self.n_steps + 1}: the evidence could not be computed, since the curvature is not finite or not "
            "positive. Scale X and y, or set `alpha` to a number."
        )
        return {"stop_reason": "solver_failed", "converged": False, "message": message}
