"""Parameter counts of the three nets of the paper: Table I.

    python benchmarks/paper/model_sizes.py

Parameters are counted on the arrays of the models that are trained in this folder, not by a formula. --quick does
the same: it takes a second.
"""

import argparse
from pathlib import Path

import numpy as np
from bert import Bert
from mistral import Mistral
from results import FOLDER, print_table, write

from qnewton_sk.nets import Network, SoftmaxCrossEntropy, parameter_leaves, resolve_activation

PAPER = {"DNN": "13K", "BERT": "2.2M", "Mistral": "4.3M"}
"""The numbers of Table I."""


def counts():
    """Return a row per model: hidden width, layers, parameters, those trained, and the paper's figure."""
    dnn = Network([784, 16, 16, 10], [resolve_activation("tanh")] * 2, SoftmaxCrossEntropy())
    sizes = {"DNN": (16, 2, dnn.n_params, dnn.n_params)}
    for label, model in {"BERT": Bert(), "Mistral": Mistral()}.items():
        leaves = list(parameter_leaves(model.initial(np.random.default_rng(0))))
        total = sum(array.size for _, array in leaves)
        trained = sum(array.size for path, array in leaves if path[0] not in model.frozen)
        sizes[label] = (model.hidden, model.layers, total, trained)
    fields = ("hidden", "layers", "parameters", "trained")
    return [
        {"model": label, **dict(zip(fields, size)), "paper": PAPER[label]} for label, size in sizes.items()
    ]


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="no difference")
    parser.add_argument("--results", type=Path, default=FOLDER)
    options = parser.parse_args(argv)
    rows = counts()
    write(options.results / "table1_model_sizes.csv", rows)
    print_table("Table I: sizes of the models", rows)
    return rows


if __name__ == "__main__":
    main()
