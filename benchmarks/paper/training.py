"""One resumable training run of a language model by one rule: a curve of losses, and facts about Fisher matrices."""

import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
from autograd import value_and_grad
from fisher import Fisher
from optimisers import NEEDS_SAMPLES, RULES, warm_up
from transformer import mean

from qnewton_sk.nets import parameter_leaves, sample_gradients


@dataclass(frozen=True)
class Data:
    """Token sequences of shape (n, positions) for training and for validation, and embeddings or None."""

    train: np.ndarray
    validation: np.ndarray
    embeddings: np.ndarray | None = None
    mask_token: int | None = None
    label: str = ""


@dataclass(frozen=True)
class Schedule:
    """Length of a run and intervals of its measurements, in steps."""

    steps: int = 120
    batch: int = 128
    validate_every: int = 20
    figures_every: int = 40
    save_every: int = 20
    dtype: str = "float32"


@dataclass(frozen=True)
class Run:
    """One run: a rule of `optimisers.RULES`, its settings as pairs, and a seed."""

    rule: str
    settings: tuple
    seed: int

    @property
    def name(self):
        """A name of the run that can serve as a file name."""
        return "-".join([self.rule, *(f"{key}{value:g}" for key, value in self.settings), f"seed{self.seed}"])


class Training:
    """The state of a run: parameters, the rule's state, rows of the tables.

    Batches depend only on the seed and the step, so that all rules of one seed see the same batches, and an interrupted
    run gives the same result to the last bit.
    """

    def __init__(self, model, data, schedule, run):
        self.model, self.data, self.schedule, self.run = model, data, schedule, run
        self.params = model.initial(np.random.default_rng(run.seed), data.embeddings, schedule.dtype)
        self.state, self.curve, self.figures = {"step": 0}, [], []

    def advance(self, checkpoint=None, stop_at=None):
        """Continue from the file `checkpoint`, if it exists, to the last step or to `stop_at`, and update the file."""
        if checkpoint is not None and Path(checkpoint).exists():
            self.params, self.state, self.curve, self.figures = joblib.load(checkpoint)
        last = self.schedule.steps if stop_at is None else stop_at
        while self.state["step"] < last and not self.diverged:
            self._step()
            if checkpoint is not None and (
                self.state["step"] % self.schedule.save_every == 0
                or self.state["step"] == last
                or self.diverged
            ):
                self._save(checkpoint)
        return self

    @property
    def diverged(self):
        """Return whether the last loss is not finite; the run then ends."""
        return bool(self.curve) and not math.isfinite(self.curve[-1]["train_loss"])

    def _save(self, checkpoint):
        part = f"{checkpoint}.part"
        joblib.dump((self.params, self.state, self.curve, self.figures), part)
        os.replace(part, checkpoint)

    def _step(self):
        step, schedule = self.state["step"], self.schedule
        settings = {key: value * (warm_up(step) if "rate" in key else 1) for key, value in self.run.settings}
        start = time.perf_counter()
        loss, gradient, samples = self.gradients(self.batch(step), self.run.rule in NEEDS_SAMPLES)
        finite = math.isfinite(loss)
        steps = RULES[self.run.rule](gradient, samples, self.state, settings) if finite else {}
        seconds = time.perf_counter() - start
        if step % schedule.figures_every == 0 and samples and finite:
            self._note_figures(samples, settings["eps"])
        row = {"step": step, "train_loss": loss, "seconds": seconds}
        if step % schedule.validate_every == 0 or step == schedule.steps - 1:
            row["validation_loss"] = self.validation_loss()
        self.curve.append(row)
        self._apply(steps)
        self.state["step"] = step + 1

    def batch(self, step):
        """Return the batch of a step."""
        rng = np.random.default_rng([self.run.seed, step])
        chosen = rng.choice(len(self.data.train), self.schedule.batch, replace=False)
        return self.model.batch(rng, self.data.train[chosen], self.data.mask_token)

    def gradients(self, batch, per_sequence=True):
        """Return (mean loss, gradient by path, gradients per sequence or {}) for all trained parameters."""
        fixed = {key: self.params[key] for key in self.model.frozen}
        trained = {key: value for key, value in self.params.items() if key not in fixed}

        def losses(params, *data):
            return self.model.losses({**params, **fixed}, *data)

        if per_sequence:
            values, gradient, samples = sample_gradients(losses, trained, *batch)
            return float(values.mean()), dict(parameter_leaves(gradient)), samples
        value, gradient = value_and_grad(lambda params: mean(losses(params, *batch), axis=0))(trained)
        return float(value), dict(parameter_leaves(gradient)), {}

    def _apply(self, steps):
        for path, array in parameter_leaves(self.params):
            if path in steps:
                array += steps[path]

    def _note_figures(self, samples, eps):
        rng = np.random.default_rng(0)
        for path in samples:
            figures = Fisher(samples[path], eps).figures(rng)
            name = ".".join(map(str, path))
            self.figures.append({"step": self.state["step"], "parameter": name, **vars(figures)})

    def validation_loss(self):
        """Return the loss on the validation sequences, with the same places at every step, in nats per token."""
        rng, size = np.random.default_rng(0), self.schedule.batch
        sequences = self.data.validation
        parts = [sequences[start : start + size] for start in range(0, len(sequences), size)]
        batches = [self.model.batch(rng, part, self.data.mask_token) for part in parts]
        losses = [self.model.losses(self.params, *batch) for batch in batches]
        return float(np.concatenate(losses).mean())
