"""Mistral (Jiang et al. 2023, arXiv:2310.06825) with its next-token objective, in autograd.numpy."""

from dataclasses import dataclass

import autograd.numpy as anp
import numpy as np
from bert import INITIAL_STD, random_places
from transformer import (
    at_places,
    attention,
    causal_mask,
    cross_entropy,
    heads_of,
    mean,
    merged,
    rms_norm,
    rotary,
    rotary_angles,
    rows_of,
    silu,
)

from qnewton_sk.nets import linear_layer


@dataclass(frozen=True)
class Mistral:
    """Sizes of the model; the defaults are those of the paper's Mistral 64 x 4.

    Input and output embeddings are separate tables; those named in `frozen` are not trained. Sequences are shorter
    than the sliding window of 4096, which is therefore left out.
    """

    vocabulary: int = 32_000
    hidden: int = 64
    layers: int = 4
    heads: int = 4
    key_value_heads: int = 1
    intermediate: int = 256

    frozen: tuple = ("embeddings", "output")

    name = "mistral"

    def initial(self, rng, embeddings=None, dtype=float):
        """Return parameters: normal weights; `embeddings` of shape (vocabulary, hidden) for both tables if given."""
        shape = (self.vocabulary, self.hidden)
        tables = [self._normal(rng, *shape) if embeddings is None else embeddings for _ in range(2)]
        layers = [self._initial_layer(rng, dtype) for _ in range(self.layers)]
        return {
            "embeddings": np.asarray(tables[0], dtype),
            "layers": layers,
            "norm": np.ones(self.hidden, dtype),
            "output": np.asarray(tables[1], dtype),
        }

    def _initial_layer(self, rng, dtype):
        h, wide = self.hidden, self.intermediate
        narrow = h * self.key_value_heads // self.heads
        shapes = {"query": (h, h), "key": (h, narrow), "value": (h, narrow), "output": (h, h)}
        shapes |= {"gate": (h, wide), "up": (h, wide), "down": (wide, h)}
        weights = {name: self._normal(rng, *shape).astype(dtype) for name, shape in shapes.items()}
        return weights | {"attention_norm": np.ones(h, dtype), "norm": np.ones(h, dtype)}

    @staticmethod
    def _normal(rng, *shape):
        return INITIAL_STD * rng.standard_normal(shape)

    def hidden_states(self, params, tokens):
        """Return the normalised output of the last layer, shape (sequences, positions, hidden)."""
        x = rows_of(params["embeddings"], tokens)
        angles = rotary_angles(tokens.shape[1], self.hidden // self.heads)
        angles = [part.astype(x.dtype) for part in angles]
        mask = causal_mask(tokens.shape[1], x.dtype)
        for layer in params["layers"]:
            x = x + self._attend(layer, rms_norm(x, layer["attention_norm"]), angles, mask)
            x = x + self._feed_forward(layer, rms_norm(x, layer["norm"]))
        return rms_norm(x, params["norm"])

    def _attend(self, layer, x, angles, mask):
        q = rotary(heads_of(linear_layer(x, layer["query"]), self.heads), *angles)
        k = rotary(heads_of(linear_layer(x, layer["key"]), self.key_value_heads), *angles)
        v = heads_of(linear_layer(x, layer["value"]), self.key_value_heads)
        if 1 < self.key_value_heads < self.heads:
            k, v = (anp.repeat(part, self.heads // self.key_value_heads, axis=1) for part in (k, v))
        return linear_layer(merged(attention(q, k, v, mask)), layer["output"])

    @staticmethod
    def _feed_forward(layer, x):
        """SwiGLU (Shazeer 2020, arXiv:2002.05202)."""
        return linear_layer(
            silu(linear_layer(x, layer["gate"])) * linear_layer(x, layer["up"]), layer["down"]
        )

    def _predictors(self, params, tokens, places):
        return anp.reshape(at_places(self.hidden_states(params, tokens), places), (-1, self.hidden))

    def logits(self, params, tokens, places):
        """Return scores of the vocabulary for what follows `places` (sequences, k): (sequences * k, vocabulary)."""
        return anp.dot(self._predictors(params, tokens, places), params["output"].T)

    def losses(self, params, tokens, places, targets):
        """Return the mean cross-entropy (nats) over the k `places` of each sequence, shape (sequences,)."""
        x = self._predictors(params, tokens, places)
        losses = cross_entropy(x, params["output"], None, np.ravel(targets))
        return mean(anp.reshape(losses, targets.shape))

    def batch(self, rng, sequences, mask_token=None, share=0.15):
        """Return (tokens, places, targets): a `share` of the positions, drawn at random, predict the next token.

        `sequences` has one position more than the input of the model. With `share` 1 all positions predict.
        """
        tokens = sequences[:, :-1]
        places = random_places(rng, tokens.shape, max(1, round(share * tokens.shape[1])))
        return tokens, places, sequences[np.arange(len(tokens))[:, None], places + 1]
