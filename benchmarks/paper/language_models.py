"""Language models by first-order steps and by Newton's GD with layer-wise Fisher: Figure 2 and Table IV of the paper.

    python benchmarks/paper/language_models.py --model mistral          # about half an hour on one thread
    python benchmarks/paper/language_models.py --model bert --quick     # under three minutes

Five rules start from the same initial weights and see the same batches: plain gradient steps (sgd), Newton's GD as
the paper
writes it (newton), in the layout of its published code (newton_transposed), the gradient over eps max|F| per layer
without any inverse (scaled), and Adam. The rates are chosen first, on a separate seed. Sequences are shorter than
the paper's 512 tokens, and 15 % of the positions of each carry a loss, for both models.

Runs are resumable: their state is saved in --checkpoints, and the same command continues from there. WikiText comes
from the folder that QNEWTON_WIKITEXT names; with --quick and without it, tokens are drawn from a random chain.

Files: language_MODEL_curves.csv (a row per step), language_MODEL_fisher.csv (a row per parameter array and step),
language_MODEL_rates.csv (the choice of the rates), language_MODEL_times.csv (modelled times, Table IV).
"""

import argparse
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np
from bert import Bert
from fisher import Fisher
from language_costs import steps_to_losses, table_iv
from mistral import Mistral
from optimisers import RULES
from results import FOLDER, print_table, write
from threadpoolctl import threadpool_limits
from training import Data, Run, Schedule, Training
from wikitext import PIECES, embeddings, token_sequences

MODELS = {"bert": Bert, "mistral": partial(Mistral, frozen=("embeddings",))}
"""Mistral's output table is trained by gradient steps, although the paper freezes it: the table that replaces
Mistral-7B's cannot express the frequencies of words (the best constant hidden state has a loss of 10.05 nats, the
frequencies have 6.98)."""

RATES = {
    "sgd": [{"rate": rate} for rate in (0.3, 1.0, 3.0)],
    "newton": [{"block_rate": rate, "eps": 10.0} for rate in (3e-3, 1e-2, 3e-2)],
    "adam": [{"rate": rate} for rate in (1e-3, 3e-3, 1e-2)],
}
"""The settings that are tried; eps is the middle of the range 1e-3 to 1e4 of the published sweeps, on a logarithmic
scale, and a power of ten above it. The first-order part of Newton's GD uses the best rate of sgd."""

SWEEP_SEED = 1000
VALIDATION_SEQUENCES = 256


def text_data(model, positions):
    """Return WikiText as `Data`."""
    extra = model.name == "mistral"  # the target of the last position
    parts = {part: token_sequences(model.name, part, positions + extra) for part in ("train", "validation")}
    rng = np.random.default_rng(0)
    held = parts["validation"]
    held = held[rng.choice(len(held), min(VALIDATION_SEQUENCES, len(held)), replace=False)]
    pieces = PIECES[model.name]
    label = f"WikiText-103 (0.53 % of its training set); {pieces.substitution}, by PCA, rows of norm 1"
    return Data(parts["train"], held, embeddings(model.name, model.hidden), pieces.mask_token, label)


def chain_data(model, positions, n=512, seed=0):
    """Return sequences of a random chain over the vocabulary as `Data`: each token has two likely followers."""
    rng = np.random.default_rng(seed)
    followers = rng.integers(model.vocabulary, size=(model.vocabulary, 2))
    tokens = rng.integers(model.vocabulary, size=(2 * n, positions + (model.name == "mistral")))
    for t in range(1, tokens.shape[1]):
        known = followers[tokens[:, t - 1], rng.integers(2, size=len(tokens))]
        tokens[:, t] = np.where(rng.random(len(tokens)) < 0.9, known, tokens[:, t])
    return Data(
        tokens[:n], tokens[n : n + 128], None, model.vocabulary - 1, "a random chain of tokens, no text"
    )


def choose_rates(model, data, schedule, folder):
    """Return ({rule: settings}, rows): the settings with the lowest mean loss over the last fifth of a short run."""
    chosen, rows = {}, []
    for rule, candidates in RATES.items():
        losses = []
        for settings in candidates:
            settings = {**chosen.get("sgd", {}), **settings}
            run = Run(rule, tuple(settings.items()), SWEEP_SEED)
            losses.append(final_loss(finished(model, data, schedule, run, folder).curve))
            rows.append({"rule": rule, **settings, "steps": schedule.steps, "loss": losses[-1]})
        chosen[rule] = {**chosen.get("sgd", {}), **candidates[int(np.nanargmin(losses))]}
    chosen |= dict.fromkeys(("newton_transposed", "scaled"), chosen["newton"])
    return chosen, rows


def final_loss(curve):
    """Return the mean loss over the last fifth of a curve."""
    return float(np.mean([row["train_loss"] for row in curve[-max(1, len(curve) // 5) :]]))


def finished(model, data, schedule, run, folder):
    """Run to the end, from the checkpoint if there is one, and print a line."""
    start = time.perf_counter()
    checkpoint = Path(folder) / f"{model.name}-T{data.train.shape[1]}-S{schedule.steps}-{run.name}.joblib"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    with np.errstate(all="ignore"):  # a rate that is too large is a result
        training = Training(model, data, schedule, run).advance(checkpoint)
    print(
        f"{run.name}: loss {final_loss(training.curve):.3f}, {time.perf_counter() - start:.0f} s", flush=True
    )
    return training


def step_seconds(model, data, schedule, settings, repeats=7):
    """Return ({"gradient", "newton"}: median seconds of a step, {parameter: seconds of one Fisher solve})."""
    training = Training(model, data, schedule, Run("newton", tuple(settings.items()), 0))
    times, solves = {"gradient": [], "newton": []}, {}
    for repeat in range(repeats):
        batch, start = training.batch(repeat), time.perf_counter()
        training.gradients(batch, per_sequence=False)
        middle = time.perf_counter()
        _, gradient, samples = training.gradients(batch)
        RULES["newton"](gradient, samples, {}, settings)
        times["gradient"].append(middle - start)
        times["newton"].append(time.perf_counter() - middle)
    for path in samples:
        start = time.perf_counter()
        Fisher(samples[path], settings["eps"]).solve(gradient[path].ravel())
        solves[".".join(map(str, path))] = time.perf_counter() - start
    return {name: statistics.median(taken) for name, taken in times.items()}, solves


def study(model, data, schedule, sweep, seeds, folders):
    """Run everything for one model and write the tables; return the rows of Table IV."""
    results, checkpoints = folders
    about = {"model": model.name, "data": data.label, "precision": schedule.dtype}
    about |= {
        "sequences": f"{schedule.batch} per batch, {data.train.shape[1]} tokens, {len(data.train)} in all"
    }
    chosen, rows = choose_rates(model, data, sweep, checkpoints)
    write(results / f"language_{model.name}_rates.csv", rows, about)
    seconds, solves = step_seconds(model, data, schedule, chosen["newton"])
    curves, figures = [], []
    for seed in range(seeds):
        for rule in RULES:
            run = Run(rule, tuple(chosen[rule].items()), seed)
            training = finished(model, data, schedule, run, checkpoints)
            labels = {"rule": rule, "seed": seed}
            curves += [{**labels, **row} for row in training.curve]
            figures += [{**labels, **row} for row in training.figures]
        table = table_iv(curves, figures, seconds, solves)
        for name, rows in {"curves": curves, "fisher": figures, "times": table}.items():
            write(results / f"language_{model.name}_{name}.csv", rows, about | {"seeds": seed + 1})
    title = "Steps to equal training loss (running mean of ten steps; median of the seeds)"
    print_table(title, steps_to_losses(curves))
    print_table("Modelled time to the common loss (Table IV)", table)
    return table


def main(argv=None):
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--model", choices=sorted(MODELS), required=True)
    parser.add_argument("--steps", type=int, default=200, help="steps of every run (default 200)")
    parser.add_argument(
        "--sweep-steps", type=int, default=60, help="steps of the runs that choose rates (60)"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--positions", type=int, default=16, help="tokens per sequence (default 16)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument(
        "--quick", action="store_true", help="short runs of one seed, 32 sequences of 16 tokens"
    )
    parser.add_argument(
        "--tiny", action="store_true", help="a model of a few thousand parameters on a random chain"
    )
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    options = parser.parse_args(argv)
    threadpool_limits(1)
    if options.quick:
        options.steps, options.sweep_steps, options.seeds = 24, 6, 1
        options.positions, options.batch = 16, 32
        options.results, options.checkpoints = options.results / "quick", options.checkpoints / "quick"
    model = MODELS[options.model]()
    if options.tiny:
        model = MODELS[options.model](vocabulary=50, hidden=16, layers=1, intermediate=32)
        data = chain_data(model, options.positions)
    else:
        data = text_data(model, options.positions)
    print(f"{model.name}: {data.label}")
    schedule = Schedule(options.steps, options.batch)
    sweep = Schedule(options.sweep_steps, options.batch, validate_every=10**9, figures_every=10**9)
    return study(model, data, schedule, sweep, options.seeds, (options.results, options.checkpoints))


if __name__ == "__main__":
    main()
