"""Drives the loop from epoch to epoch: keeps the curves, watches the validation score, and decides when to stop."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Stopping:
    """When the validation score stops a run: no rise by `tol` over `best` in more than `patience` epochs."""

    patience: float
    tol: float
    best: float = -np.inf
    waited: int = 0

    def after(self, score):
        """Return the state after an epoch with this validation score."""
        waited = 0 if score >= self.best + self.tol else self.waited + 1
        best = score if score > self.best else self.best
        return Stopping(self.patience, self.tol, best, waited)

    @property
    def is_exhausted(self):
        """Whether the patience is at an end."""
        return self.waited > self.patience


@dataclass
class Journal:
    """What a run has left so far; `drive` writes to it, so that nothing is lost if the run is cut short.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        The parameters to keep: those of the best validation score under early stopping, otherwise the last.
    stopping : Stopping, default=None
        When the validation score ends the run.
    losses : list of float
        The objective after each epoch.
    steps : list of StepRecord
        All steps.
    validation_losses, validation_scores : list of float
        One per epoch if there is a validation set, otherwise empty.
    stop_reason : str or None
        Why the run has ended; None while it goes on.
    converged : bool
        Whether the loop found a minimum.
    message : str
        What a user should be warned of; empty if there is nothing.
    resume : object
        What `Newton.run` takes to go on.
    """

    theta: np.ndarray
    stopping: Stopping | None = None
    losses: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    validation_losses: list = field(default_factory=list)
    validation_scores: list = field(default_factory=list)
    stop_reason: str | None = None
    converged: bool = False
    message: str = ""
    resume: Any = None

    def add(self, progress, evaluate=None):
        """Add an epoch; `evaluate(theta)` returns loss and score on the validation set."""
        score = None
        if evaluate is not None:
            loss, score = evaluate(progress.theta)
            self.validation_losses.append(loss)
            self.validation_scores.append(score)
        if self.stopping is None or score > self.stopping.best:
            self.theta = progress.theta
        if self.stopping is not None:
            self.stopping = self.stopping.after(score)
        self.losses.append(progress.loss)
        self.steps.extend(progress.steps)
        self.resume = progress.resume

    def end(self, reason, converged=False, message=""):
        """Note why the run ends."""
        self.stop_reason, self.converged, self.message = reason, converged, message


def drive(epochs, journal, *, evaluate=None, begin_epoch=None, one_pass=False, save=None):
    """Run an iterator of Progress to its end, or until the validation score, a callback or Ctrl-C ends it.

    Parameters
    ----------
    epochs : iterator of Progress
        The loop.
    journal : Journal
        Receives every epoch and the ending.
    evaluate : callable, default=None
        ``evaluate(theta) -> (validation loss, validation score)``.
    begin_epoch : callable, default=None
        ``begin_epoch() -> end_epoch`` with ``end_epoch(progress) -> bool``; True or StopIteration ends the run.
    one_pass : bool, default=False
        End with the first epoch that changes the parameters.
    save : callable, default=None
        ``save(journal)``, called after every epoch.
    """
    try:
        while journal.stop_reason is None:
            end_epoch = begin_epoch() if begin_epoch else None
            progress = next(epochs)
            journal.add(progress, evaluate)
            asked_to_stop = end_epoch is not None and _stops(end_epoch, progress)
            if progress.converged and journal.theta is not progress.theta:
                journal.end("early_stopping")  # what is kept is the best score's model, and no minimum
            elif progress.stop_reason is not None:
                journal.end(progress.stop_reason, progress.converged, progress.message)
            elif asked_to_stop:
                journal.end("callback")
            elif journal.stopping is not None and journal.stopping.is_exhausted:
                journal.end("early_stopping")
            elif one_pass and any(step.accepted for step in progress.steps):
                journal.end("one_pass")
            if save is not None:
                save(journal)
    except KeyboardInterrupt:
        journal.end("interrupted")


def _stops(end_epoch, progress):
    """Whether a callback ends the run; it may raise StopIteration, as those of scipy's optimisers."""
    try:
        return bool(end_epoch(progress))
    except StopIteration:
        return True


def extend(history, more):
    """Return two histories one after the other, steps numbered through."""
    parts = [part for part in (history, more) if len(part["step"])]  # columns of no rows have no type either
    if not parts:
        return more
    joined = {name: np.concatenate([part[name] for part in parts]) for name in more}
    return joined | {"step": np.arange(1, len(joined["step"]) + 1)}
