"""Drives the loop from epoch to epoch: keeps the curves, watches the validation score, knows when to stop."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What a run left.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        The parameters to keep: those of the best validation score under early stopping, else the last.
    losses : list of float
        The objective after each epoch.
    steps : list of StepRecord
        All steps.
    validation_losses, validation_scores : list of float
        One an epoch where there is a validation set, else empty.
    stop_reason : str
        Why it ended.
    converged : bool
        Whether the loop says that it has arrived.
    message : str
        What a user should be warned of; empty where all is well.
    """

    theta: np.ndarray
    losses: list
    steps: list
    validation_losses: list
    validation_scores: list
    stop_reason: str
    converged: bool
    message: str


@dataclass(frozen=True)
class Stopping:
    """When the validation score stops a run: no rise by `tol` over `best` in more than `patience` epochs."""

    patience: int
    tol: float
    best: float = -np.inf
    waited: int = 0

    def after(self, score):
        """Return the state after an epoch with this validation score."""
        waited = 0 if score >= self.best + self.tol else self.waited + 1
        best = score if score > self.best else self.best
        return Stopping(self.patience, self.tol, best, waited)

    @property
    def exhausted(self):
        """Whether the patience is at an end."""
        return self.waited > self.patience


def drive(epochs, theta, *, evaluate=None, stopping=None, begin_epoch=None, one_pass=False):
    """Run an iterator of Progress to its end, or until the validation score, a callback or Ctrl-C ends it.

    Parameters
    ----------
    epochs : iterator of Progress
        The loop.
    theta : ndarray of shape (n_params,)
        Where it starts; kept if it is interrupted before its first epoch is done.
    evaluate : callable, default=None
        ``evaluate(theta) -> (validation loss, validation score)``.
    stopping : Stopping, default=None
        When the validation score ends the run; the parameters of the best score are then kept.
    begin_epoch : callable, default=None
        ``begin_epoch() -> end_epoch`` with ``end_epoch(progress) -> bool``; True ends the run.

    one_pass : bool, default=False
        End with the first epoch that changes the parameters.

    Returns
    -------
    Outcome
    """
    curves = losses, steps, validation_losses, validation_scores = [], [], [], []
    kept, last, reason = theta, None, None
    try:
        while True:
            end_epoch = begin_epoch() if begin_epoch else None
            last = next(epochs)
            if evaluate is not None:
                validation_loss, score = evaluate(last.theta)
                validation_losses.append(validation_loss)
                validation_scores.append(score)
            if stopping is None or score > stopping.best:
                kept = last.theta
            stopping = stopping and stopping.after(score)
            losses.append(last.loss)
            steps.extend(last.steps)
            wishes = {
                "callback": end_epoch and end_epoch(last),
                "early_stopping": stopping and stopping.exhausted,
                "one_pass": one_pass and any(step.accepted for step in last.steps),
            }
            reason = last.stop_reason or next((wish for wish, granted in wishes.items() if granted), None)
            if reason:
                break
    except KeyboardInterrupt:
        reason = "interrupted"
    ended_by_loop = last is not None and reason == last.stop_reason  # only then has the loop more to say
    converged, message = (last.converged, last.message) if ended_by_loop else (False, "")
    return Outcome(kept, *curves, reason, converged, message)


def extend(history, more):
    """Return two histories one after the other, steps numbered through."""
    joined = {name: np.concatenate([history[name], more[name]]) for name in more}
    return joined | {"step": np.arange(1, len(joined["step"]) + 1)}
