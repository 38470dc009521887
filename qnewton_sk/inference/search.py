"""One start of the search for the evidence: Newton steps and updates of penalties and noise by turns."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError

from qnewton_sk.optimize import ControlState

from .groups import Groups
from .laplace import Local, Penalties, laplace
from .scales import MIN_NOISE, RANGE

HELD_UPDATES = 5
"""Updates of each start before the noise level is touched: a noise that falls before the penalties have found their
places lets the net overfit."""

NOISE_RATE = 0.2
"""Share of an update of the noise that is taken, in logarithms; as `HELD_UPDATES`, it keeps the noise behind."""

MAX_NOISE_CHANGE, MAX_ALPHA_CHANGE = 1.5, 10.0
"""Maximum factors by which an update changes the noise variance and the penalties."""

CLOSE = 0.2
"""Change of the logarithm of the noise variance from which on updates are taken by half, since they converge."""

MIN_FREEDOM = 0.1
"""Share of the observations that are counted as residual degrees of freedom at least. Where nearly all are used up by
parameters, their number is too uncertain for a difference."""

SETTLED = 0.02
"""Change of the logarithms of penalties and noise below which they count as settled."""

NEGLIGIBLE = 0.1
"""Change of the log evidence that counts as none: a factor of 1.1 in the probability of the data."""

REFINED, MAX_REFINEMENTS = 0.01, 30
"""Rise of the log evidence below which the updates at the best point end, and their maximum number; each takes one
factorisation and no pass over the data."""

MEMORY = 3
"""Earlier points from which an update at the best point is extrapolated."""

PATIENCE, MAX_FALL = 3, 20.0
"""A start ends if the log evidence has not risen for so many updates, or has fallen this far below its best: the net
has then begun to overfit. On the data that the search was tuned on, a patience of 8 takes a quarter more updates for
the same scores."""

RELAXATION = 1.5
"""Factor on the change of the penalties' logarithms where there is no noise level that has to stay behind them: the
fixed-point iteration converges slowly, and mostly from one side. On the fourteen classifications of
`benchmarks/evidence.py posterior`, a fit takes a fifth less time for the same scores; with a factor of 2, the log
loss rises by 0.006, and extrapolation from earlier updates gains nothing. On regressions it gains nothing either."""

DETERMINED = 0.1
"""Effective parameters from which on a group's penalty has to settle; below, it may run off to its bound."""


@dataclass(frozen=True)
class Evidence:
    """What the evidence has found.

    Parameters
    ----------
    theta : ndarray of shape (n_params,)
        Parameters of the net.
    groups : Groups
        Which parameters share a penalty.
    penalties : Penalties
        In units of the log likelihood.
    log_evidence : float
        The Laplace approximation there.
    effective : ndarray of shape (n_groups,)
        Effective number of parameters of each group.
    flat : int
        Parameters without a prior, which all count as effective.
    """

    theta: np.ndarray
    groups: Groups
    penalties: Penalties
    log_evidence: float
    effective: np.ndarray
    flat: int


def objective_alpha(objective, groups, penalties):
    """Return the penalty of each parameter, shape (n_params,), in units of the objective: alpha_g / lambda.

    lambda is what makes a negative log likelihood of the sum of the losses, ``beta * loss.likelihood_scale(K)``.
    """
    scale = objective.network.loss.likelihood_scale(objective.network.widths[-1])
    return groups.spread(penalties.alpha) / (penalties.beta * scale)


def updated(objective, groups, penalties, found):
    """Return the `Penalties` of the fixed-point update, and how far their logarithms and that of beta change.

    alpha_g <- gamma_g / ||theta_g||^2 and 1 / beta <- residual squares / (n K - gamma), with gamma the effective number
    of parameters, those without a prior included (MacKay 1992, equations 4.6 and 4.8; Foresee and Hagan 1997).

    Parameters
    ----------
    objective : Objective
        Data and net.
    groups : Groups
        Which parameters share a penalty.
    penalties : Penalties
        As they are.
    found : Laplace
        The approximation with them.
    """
    with np.errstate(over="ignore"):  # weights of almost zero; the change is limited
        alpha = found.effective / np.maximum(found.squares, np.finfo(float).tiny)
    alpha = np.clip(alpha, penalties.alpha / MAX_ALPHA_CHANGE, penalties.alpha * MAX_ALPHA_CHANGE)
    change = np.abs(np.log(alpha / penalties.alpha))[found.effective > DETERMINED].max(initial=0.0)
    beta = penalties.beta
    if objective.network.loss.is_sum_of_squares:
        observations = objective.total_weight * objective.network.widths[-1]
        freedom = max(observations - found.effective.sum() - found.flat, MIN_FREEDOM * observations)
        smallest = 4 * freedom * np.finfo(float).tiny  # where residuals vanish, beta stays finite
        beta = freedom / max(found.deviance, smallest)
    return Penalties(alpha, beta), float(change), math.log(beta / penalties.beta)


def _logarithms(penalties):
    return np.log(np.append(penalties.alpha, penalties.beta))


class FixedPoint:
    """Points of a fixed-point iteration and their images; Anderson's acceleration goes on from them.

    The next point is the combination of the last images for which the residuals, image less point, would be smallest
    if they were linear (Anderson 1965; Walker and Ni 2011, "Anderson acceleration for fixed-point iterations").
    """

    def __init__(self):
        self._points, self._images = [], []

    @property
    def image(self):
        """The last image, where the iteration itself would go on."""
        return self._images[-1]

    def add(self, point, image):
        """Add a point and its image; only the last ones are kept."""
        self._points, self._images = [*self._points[-MEMORY:], point], [*self._images[-MEMORY:], image]

    def extrapolated(self):
        """Return where to go on."""
        images = np.array(self._images)
        residuals = images - np.array(self._points)
        weights, *_ = np.linalg.lstsq(np.diff(residuals, axis=0).T, residuals[-1], rcond=1e-6)
        change = images[-1] - weights @ np.diff(images, axis=0) - self._points[-1]
        limit = np.log(MAX_ALPHA_CHANGE)
        return self._points[-1] + np.clip(change, -limit, limit)


CHANGING = "theta", "penalties", "best", "ended", "updates", "epochs", "waited", "peak", "control"
"""Fields of a `Search` that change along the way; a checkpoint holds them."""


@dataclass
class Search:
    """One start: parameters and penalties on their way; the only place where they change."""

    newton: object
    objective: object
    groups: Groups
    natural: Penalties
    theta: np.ndarray
    penalties: Penalties
    best: Evidence | None = None
    ended: bool = False
    updates: int = 0
    epochs: int = 0
    waited: int = 0
    peak: float = -math.inf  # the highest evidence, which small falls that are accepted do not lower
    # damping and radius at the end of the last run, where the next one begins
    control: ControlState | None = None

    def __post_init__(self):
        has_noise = self.objective.network.loss.is_sum_of_squares
        self.held = HELD_UPDATES if has_noise else 0
        self.relaxation = 1.0 if has_noise else RELAXATION

    def state(self):
        """Return what changes along the way, by name; the values themselves never do."""
        return {name: getattr(self, name) for name in CHANGING}

    @property
    def log_evidence(self):
        """The highest so far."""
        return -math.inf if self.best is None else self.best.log_evidence

    def steps(self, random_state, accepted, max_iter):
        """Yield the progress of Newton steps until so many have been accepted or the run ends."""
        run = self.newton.run(
            self.penalised(),
            self.theta,
            random_state,
            control=self.control,
            first_epoch=self.newton.max_iter + 1 - max_iter,
        )
        for progress in run:
            self.theta, self.control = progress.theta, progress.resume.state.control
            self.epochs += 1
            yield progress
            accepted -= sum(step.accepted for step in progress.steps)
            if accepted <= 0:
                return

    def _keep(self, found):
        numbers = found.log_evidence, found.effective, found.flat
        self.best = Evidence(self.theta, self.groups, self.penalties, *numbers)
        self.peak = max(self.peak, found.log_evidence)

    def penalised(self):
        """Return the objective with the present penalties."""
        return self.objective.with_alpha(objective_alpha(self.objective, self.groups, self.penalties))

    def update(self):
        """Evaluate the evidence at theta, keep what is best, and change the penalties unless they have settled."""
        try:
            found = laplace(self.objective, self.theta, self.groups, self.penalties)
        except LinAlgError:
            self.ended = True
            return
        self.updates += 1
        self.waited += 1
        if found.log_evidence > self.log_evidence + NEGLIGIBLE:
            self.waited = 0
        if found.log_evidence > self.log_evidence:
            self._keep(found)
        wanted, change, noise_change = updated(self.objective, self.groups, self.penalties, found)
        held = self.updates <= self.held
        settled = not held and max(change, abs(noise_change)) < SETTLED
        fallen = self.log_evidence - found.log_evidence > MAX_FALL
        self.ended = settled or self.waited > PATIENCE or (fallen and not held)
        beta = self.penalties.beta if held else self._next_beta(noise_change)
        self.penalties = self._bounded(Penalties(self._next_alpha(wanted.alpha), beta))

    def _next_alpha(self, wanted):
        alpha = self.penalties.alpha
        changed = alpha * (wanted / alpha) ** self.relaxation
        return np.clip(changed, alpha / MAX_ALPHA_CHANGE, alpha * MAX_ALPHA_CHANGE)

    def _next_beta(self, noise_change):
        rate = NOISE_RATE if abs(noise_change) > CLOSE else 0.5
        limit = math.log(MAX_NOISE_CHANGE)
        return self.penalties.beta * math.exp(min(max(rate * noise_change, -limit), limit))

    def _bounded(self, penalties):
        alpha = np.clip(penalties.alpha, self.natural.alpha / RANGE, self.natural.alpha * RANGE)
        return Penalties(alpha, min(penalties.beta, self.natural.beta / MIN_NOISE))

    def refine(self):
        """Go back to the best point, and update penalties and noise alone as long as the evidence rises."""
        self.rewind()
        local, path = Local(self.objective, self.theta), FixedPoint()
        found = local.laplace(self.groups, self.penalties)
        for _ in range(MAX_REFINEMENTS):
            wanted, *_ = updated(self.objective, self.groups, self.penalties, found)
            path.add(_logarithms(self.penalties), _logarithms(self._bounded(wanted)))
            refined = self._risen(local, path.extrapolated(), found) or self._risen(local, path.image, found)
            if refined is None:
                return
            rise, found = refined.log_evidence - found.log_evidence, refined
            self._keep(found)
            if rise < REFINED:
                return

    def _risen(self, local, logarithms, found):
        """Take penalties if the evidence is higher with them; return what it is, or None."""
        penalties = self._bounded(Penalties(np.exp(logarithms[:-1]), float(np.exp(logarithms[-1]))))
        try:
            refined = local.laplace(self.groups, penalties)
        except LinAlgError:
            return None
        if refined.log_evidence <= found.log_evidence:
            return None
        self.penalties = penalties
        return refined

    def rewind(self):
        """Go back to the best point, with the step control as at the start."""
        self.theta, self.penalties, self.control = self.best.theta, self.best.penalties, None

    def accept(self):
        """Whether the evidence at theta, with the penalties of the best, has not fallen; it is then the best."""
        try:
            found = laplace(self.objective, self.theta, self.groups, self.penalties)
        except LinAlgError:
            return False
        if found.log_evidence < self.peak - NEGLIGIBLE:
            return False
        self._keep(found)
        return True
