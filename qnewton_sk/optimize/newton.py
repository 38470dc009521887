"""The Newton loop: from epoch to epoch and from step to step, until a run ends.

The loop is independent of nets, solvers and curvatures: any object with `value`, `value_and_grad`, `batch` and
`n_samples` can be minimised, by the stages that are passed in. One Newton step:

    gradient -> blocks of curvature -> prepare -> choose -> solve -> step control -> record
"""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import gen_batches

from qnewton_sk.systems import SolveStatus

from .records import Progress, changed
from .resume import Resume, Watch
from .solve import Stages
from .state import CONVERGED, NO_ENDING, Ending, LoopState, SolveMemory, ending
from .steps import GradientStep, NewtonStep, QuasiNewtonStep, record_of

CLOSING_SHARE = 0.08
"""Products of a closing Newton step per gradient that the run has computed: a large net's first product costs about
two gradients and each further one 1.2, so that the step adds a tenth to the run."""

MIN_CLOSING_PRODUCTS, MAX_CLOSING_SADDLE_STEPS = 3, 2
"""Minimum number of products of such a step, and maximum number of such steps that try to leave a saddle."""

START_EXPONENTS = 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000
"""Powers of two by which the parameters are divided, one after the other, until the start has a finite objective."""


class Newton(BaseEstimator):
    """Settings of the loop; `run` goes through it and keeps nothing.

    Parameters
    ----------
    curvature : Curvature or policy
        ``initial(objective, batches)``, ``next_curvature(state)``, ``after(state, before, value, gradients)`` and
        ``exhausted(state)`` say which kind of step comes next; ``next_curvature`` returns an object with
        ``blocks(objective, theta) -> [Block]``, or None for a first-order step. A `Curvature` always chooses itself.
    scheduler : Scheduler
        ``available_backends()``, ``choose(facts, tol, backends)``, ``solve(system, decision, backends)``, ``tol``.
    step_control : StepControl
        How far to go along a direction.
    prepare : callable
        ``prepare(matrix, rhs, tol, shift, norm_hint=, iterations=, radius=) -> LinearSystem``.
    first_order_steps : int, default=0
        Number of gradient steps before the first Newton step (arXiv:2405.00252, section IV-B).
    first_order_rate : float, default=0.1
        Their step length; under a monotone control, the first length that is tried.
    batch_size : int, default=None
        Samples per step; None takes all.
    max_iter : int, default=200
        Maximum number of epochs. With the full batch, one epoch is one step.
    tol : float, default=1e-4
        The run has converged once no gradient entry exceeds `tol` and the curvature is not known to be indefinite.
    n_iter_no_change : int or float, default=10
        Stop once so many epochs together have lowered the loss by less than `tol` times its value.
    shuffle : bool, default=True
        Draw new batches in each epoch.
    """

    def __init__(
        self,
        curvature,
        scheduler,
        step_control,
        prepare,
        *,
        first_order_steps=0,
        first_order_rate=0.1,
        batch_size=None,
        max_iter=200,
        tol=1e-4,
        n_iter_no_change=10,
        shuffle=True,
    ):
        self.curvature = curvature
        self.scheduler = scheduler
        self.step_control = step_control
        self.prepare = prepare
        self.first_order_steps = first_order_steps
        self.first_order_rate = first_order_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.shuffle = shuffle

    def run(self, objective, theta, random_state, resume=None, *, control=None, first_epoch=1, closes=True):
        """Minimise; yield a `Progress` after every epoch, the last one with its `stop_reason`.

        Parameters
        ----------
        objective : object
            ``value(theta)``, ``value_and_grad(theta)``, ``batch(indices)``, ``n_samples``.
        theta : ndarray of shape (n_params,)
            Where to start; not written to.
        random_state : numpy.random.RandomState
            For the batches.
        resume : Resume, default=None
            `Progress.resume` of an earlier run; the run goes on from there, and `theta` is not used. On the same
            objective it takes the steps that the earlier run would have taken, to the last bit.
        control : ControlState, default=None
            Damping and radius to begin with, such as those of a run with other penalties.
        first_epoch : int, default=1
            Number of the first epoch, if earlier ones count towards `max_iter`.
        closes : bool, default=True
            Whether the last epoch is a Newton step even if the policy would take a first-order step.
        """
        epochs = _Epochs(self, objective, random_state, closes)
        here = epochs.started(theta, control) if resume is None else epochs.resumed(resume)
        for epoch in range(first_epoch, self.max_iter + 1):
            here, records, end = epochs.next(here, is_last=closes and epoch == self.max_iter)
            if end is None and epoch == self.max_iter:
                end = epochs.at_max_iter(here)
            if end is not None and not end.converged:
                end = epochs.verified(here, end)
            yield here.progress(epoch, records, end)
            if end is not None:
                return


@dataclass(frozen=True)
class _Here:
    """Where a run stands between two epochs."""

    state: LoopState
    loss: float
    watch: Watch
    arrival: LoopState
    arrival_watch: Watch = Watch()
    attempts: int = 0

    def progress(self, epoch, records, end):
        """Return the `Progress` that the loop hands out."""
        end = end or NO_ENDING
        resume = Resume(self.arrival, self.attempts, self.arrival_watch, self.state.theta)
        return Progress(
            self.state.theta, self.loss, epoch, records, end.reason, end.converged, end.message, resume
        )


class _Epochs:
    """Takes one run from epoch to epoch; holds its objective and stages, no state."""

    def __init__(self, settings, objective, random_state, closes):
        self.settings, self.objective, self.random_state = settings, objective, random_state
        self.closes = closes
        self.policy, self.control = settings.curvature, settings.step_control
        backends = settings.scheduler.available_backends()
        self.stages = Stages(settings.prepare, settings.scheduler, backends, self.control)
        size = settings.batch_size
        self.in_batches = size is not None and size < objective.n_samples
        # a control that is not monotone would take gradient steps of constant length in an early phase
        self.starts_with_newton = self.in_batches or not self.control.is_monotone

    def started(self, theta, control):
        """Return where a new run stands."""
        control = self.control.initial() if control is None else control
        state = LoopState(theta.copy(), control, rate=self.settings.first_order_rate)
        return _Here(state, math.nan, Watch(), state)

    def resumed(self, resume):
        """Return where an earlier run stood; the steps that were rejected there are taken again."""
        resume = resume.copy()
        before, state = resume.state.point, changed(resume.state, point=None)
        here = _Here(state, math.nan, resume.watch, state, resume.watch)
        if self.in_batches:
            return here
        evaluated = changed(self._evaluated(state), gradients=state.gradients)
        if before is None or before.value != evaluated.point.value:
            return self._on_other_data(resume)
        here = changed(here, state=evaluated, arrival=evaluated)
        for _ in range(resume.attempts):
            here, _, _ = self.next(here, is_last=False)
        return here

    def _on_other_data(self, resume):
        """Where a run stands that continues with other data: damping and radius still hold, what was learnt does not.

        Data that change from call to call are treated as batches, between which quasi-Newton pairs do not carry over.
        """
        state = changed(resume.state.without_point(), theta=resume.last_theta, memory=SolveMemory())
        policy = self.policy.initial(self.objective, self.starts_with_newton or not self.closes)
        state = changed(state, policy=policy, is_closing=False, saddle_steps=0)
        return _Here(state, math.nan, Watch(), state)

    def next(self, here, is_last):
        """Go once through the data; return where the run stands, the records, and the ending or None."""
        before = here.state.point
        if self.in_batches:
            here, records, end = self._batches(here)
        else:
            here, record, end = self._step(here, is_last)
            records = (record,)
        watch = here.watch.after(here.loss, any(r.accepted for r in records), self.settings.tol)
        arrival_watch = here.arrival_watch if here.attempts else watch
        here = changed(here, watch=watch, arrival_watch=arrival_watch)
        if end is None and watch.stale >= self.settings.n_iter_no_change:
            here, end = self._without_improvement(here, before)
        return here, records, end

    def _step(self, here, is_last):
        """One step on all the data.

        A closing step that is taken only because of `max_iter` is no arrival: a run that goes on from here takes a
        first-order step instead.
        """
        state = here.state
        if state.point is None:
            with np.errstate(over="ignore", invalid="ignore"):
                state = self._evaluated(state)
            here = changed(here, arrival=state)
        closes = is_last and self._is_first_order_by_choice(state)
        if closes:
            state = changed(state, policy=self.policy.exhausted(state.policy), is_closing=True)
        after, record, end = self._take(self.objective, state)
        if closes or after.theta is state.theta:
            since = dict(attempts=here.attempts + 1)
        else:
            without_matrices = after if after.blocks is None else changed(after, blocks=None)  # to be pickled
            since = dict(arrival=without_matrices, attempts=0)
        return changed(here, state=after, loss=after.point.value, **since), record, end

    def _batches(self, here):
        """One step on each batch; Ctrl-C keeps the last finished one."""
        n, state = self.objective.n_samples, here.state
        order = np.arange(n)
        if self.settings.shuffle:
            self.random_state.shuffle(order)
        records, losses, end = [], [], None
        try:
            for rows in gen_batches(n, self.settings.batch_size):
                state, record, end = self._take(self.objective.batch(order[rows]), state.without_point())
                records.append(record)
                losses.append((state.point.value, rows.stop - rows.start))
                if end is not None and end.reason not in ("converged", "saddle"):
                    break
                end = None  # the minimum of a batch is not that of all the data
        except KeyboardInterrupt:
            if not losses:
                raise
            end = Ending("interrupted")
        values, sizes = zip(*losses)
        loss = float(np.average(values, weights=sizes))
        return changed(here, state=state, loss=loss, arrival=state.without_point()), tuple(records), end

    def _take(self, objective, state):
        """Take the step that the policy asks for."""
        state = changed(state, step=state.step + 1)
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are handled as such
            state = self._evaluated(state, objective)
            if state.step == 1 and not state.point.is_finite:
                state = self._with_smaller_start(state, objective)
            if not state.point.is_finite:
                end = ending(state, "diverged", SolveStatus.NON_FINITE)
                return state, record_of(state, state, "newton", False, 0.0), end
            return self._next_step(state).take(objective, state)

    def _evaluated(self, state, objective=None):
        objective = self.objective if objective is None else objective
        if state.policy is None:
            state = changed(state, policy=self.policy.initial(objective, self.starts_with_newton))
        return state.evaluated(objective)

    def _with_smaller_start(self, state, objective):
        """Return the state at the first of theta / 2, theta / 4, theta / 16, .. with a finite objective and gradient.

        Inputs of 1e100 or the exponential of a Poisson mean overflow at parameters drawn for inputs of size one.
        """
        for exponent in START_EXPONENTS:
            smaller = self._evaluated(state.scaled_down(exponent), objective)
            if smaller.point.is_finite:
                return smaller
        return state

    def _next_step(self, state):
        settings, curvature = self.settings, self.policy.next_curvature(state.policy)
        is_early = state.step <= settings.first_order_steps
        if is_early or curvature is None:
            if not self.control.is_monotone:
                return GradientStep(settings.first_order_rate)
            may_end = curvature is not None and state.step < settings.first_order_steps
            return QuasiNewtonStep(self.policy, settings.tol, may_end)
        step = NewtonStep(self.stages, curvature, self.policy, settings.tol)
        if not state.is_closing:
            return step
        products = max(MIN_CLOSING_PRODUCTS, int(CLOSING_SHARE * state.gradients))
        return changed(step, max_products=products, max_saddle_steps=MAX_CLOSING_SADDLE_STEPS)

    def _is_first_order_by_choice(self, state):
        """Whether the policy, and not the user, is about to end the run with a first-order step."""
        is_early = state.step < self.settings.first_order_steps
        return not is_early and self.policy.next_curvature(state.policy) is None

    def _without_improvement(self, here, before):
        """Hand over to a closing Newton step if there has been none yet; else the run ends.

        Where the gradient is small, it goes on: the next Newton step finds out whether this is a minimum. It also goes
        on while closing steps halve the gradient.
        """
        state = here.state
        halved = state.is_closing and before and 2 * state.point.max_gradient <= before.max_gradient
        if halved or (not self.in_batches and state.point.has_gradient_below(self.settings.tol)):
            return here, None
        if not self.in_batches and self._is_first_order_by_choice(state):
            state = changed(state, policy=self.policy.exhausted(state.policy), is_closing=True, pairs=None)
            watch = changed(here.watch, stale=self.settings.n_iter_no_change - 1)
            arrived = dict(arrival=changed(state, blocks=None), arrival_watch=watch, attempts=0)
            return changed(here, state=state, watch=watch, **arrived), None
        return here, self._no_improvement(here)

    def _no_improvement(self, here):
        epochs, best = self.settings.n_iter_no_change, here.watch.best
        text = (
            f"step {here.state.step}: {epochs} epochs have lowered the loss by less than `tol` of its value"
        )
        way_out = "Scale the inputs and targets (StandardScaler), lower `tol` or raise `n_iter_no_change`."
        if not self.in_batches and here.loss > best + self.settings.tol * abs(best):
            text = f"step {here.state.step}: the loss is {here.loss:.4g} and has not come back to its best, {best:.4g}"
            way_out = (
                'Lower `learning_rate_init`, raise `regularization`, or take step_control="trust_region".'
            )
        elif self.in_batches:
            way_out = "Raise `batch_size` or `regularization`, or lower `learning_rate_init`."
        return Ending("no_improvement", False, f"{text}{self._gradient_text(here)}. {way_out}")

    def at_max_iter(self, here):
        """Return the ending of a run that has used up its epochs."""
        text = f"step {here.state.step}: the {self.settings.max_iter} epochs of `max_iter` are done"
        return Ending("max_iter", False, f"{text}{self._gradient_text(here)}. Raise `max_iter` or `tol`.")

    def _gradient_text(self, here):
        if self.in_batches:
            return ""
        return f", and the largest gradient entry is {here.state.point.max_gradient:.2g}"

    def verified(self, here, end):
        """Return the ending; a run over batches has converged if the gradient on all the data is small."""
        if not self.in_batches or end.reason not in ("no_improvement", "max_iter"):
            return end
        point = here.state.without_point().evaluated(self.objective).point
        if point.is_finite and point.has_gradient_below(self.settings.tol):
            return CONVERGED
        text = f"The largest gradient entry on all the data is {point.max_gradient:.2g}."
        return changed(end, message=f"{end.message} {text}")
