"""The Laplace posterior in the space of samples: determinant and effective parameters, without a large matrix."""

import numpy as np
from scipy import linalg

from .precision import cholesky_with_jitter


class SampleSpace:
    """A = G^T G + diag(prior) with fewer rows in G than parameters, by Gram matrices of G's layers.

    The rows of G are, within each layer, outer products of the layer's inputs a and of derivatives d. So the Gram
    matrix of a layer is the elementwise product of those of a and d, which takes n^2 (h_in + h_out) operations in
    place of n^2 h_in h_out (Jacot et al. 2018, "Neural tangent kernel", arXiv:1806.07572; Novak et al. 2022,
    "Fast finite width neural tangent kernel", arXiv:2206.08720). With F the parameters without a prior, P the others
    and C = I + G_P diag(prior_P)^-1 G_P^T, det A = det(prior_P) det(C) det(G_F^T C^-1 G_F) (Golub and Van Loan,
    4th ed., sections 2.1.4 and 3.2.6).

    Parameters
    ----------
    layers : list of LayerRows
        Inputs and derivatives of each layer.
    scale : float
        Factor on G^T G.
    prior : list of ndarray of shape (h_{l-1} + 1,)
        Precision of the prior of the weights of each input of a layer, intercepts last; 0.0 is a flat prior.

    Raises
    ------
    scipy.linalg.LinAlgError
        If G is not finite, or parameters without a prior are not determined.
    """

    def __init__(self, layers, scale, prior):
        self._layers, self._scale, self._prior = layers, scale, prior
        C = self._gram()
        self._capacitance, _ = cholesky_with_jitter(C, np.ones(len(C)))
        self._half = linalg.solve_triangular(self._capacitance, self._free_columns(), lower=True)
        schur = self._half.T @ self._half
        self._schur, _ = cholesky_with_jitter(schur, np.zeros(len(schur)))

    def _gram(self):
        """Return C - I; its elements are ordered by output and sample."""
        R, n = self._layers[0].derivatives.shape[1:]
        C, term, outer = np.zeros((R, n, R, n)), np.empty((R, n, R, n)), np.empty((n, n))
        for layer, prior in zip(self._layers, self._prior):
            variance = np.divide(self._scale, prior, out=np.zeros_like(prior), where=prior > 0)
            scaled = np.sqrt(variance)[:, None] * layer.inputs
            np.matmul(scaled.T, scaled, out=outer)
            C += np.multiply(layer.gram.reshape(C.shape), outer[:, None], out=term)
        return C.reshape(R * n, R * n)

    def _free_columns(self):
        """Return the columns of G of the parameters without a prior, shape (R n, number of them)."""
        columns = [np.empty((0, self._capacitance.shape[0]))]
        for layer, prior in zip(self._layers, self._prior):
            for row in layer.inputs[prior == 0]:
                columns.append((layer.derivatives * row).reshape(len(layer.derivatives), -1))
        return np.sqrt(self._scale) * np.concatenate(columns).T

    @property
    def log_determinant(self):
        """log det A."""
        widths = (len(layer.derivatives) for layer in self._layers)
        of_prior = sum(h * np.log(p[p > 0]).sum() for h, p in zip(widths, self._prior))
        halves = (np.log(factor.diagonal()).sum() for factor in (self._capacitance, self._schur))
        return float(of_prior + 2.0 * sum(halves))

    def effective(self):
        """Return the effective number of parameters for each input of each layer; 0.0 for those without a prior.

        It is tr(M G_j G_j^T) / prior_j, with M the inverse of C, projected on what the parameters without a prior
        leave, and G_j the columns of the weights of input j.
        """
        inverse, _ = linalg.lapack.dpotri(self._capacitance, lower=1)  # its upper triangle is zero
        inverse = inverse.T  # rows in memory are rows, as those of the Gram matrices are
        whitened = linalg.solve_triangular(self._schur, self._half.T, lower=True)
        seen = linalg.solve_triangular(self._capacitance, whitened.T, lower=True, trans="T")
        work = np.empty_like(inverse)
        return [
            np.divide(self._traces(layer, inverse, seen, work), prior, where=prior > 0, out=0 * prior)
            for layer, prior in zip(self._layers, self._prior)
        ]

    def _traces(self, layer, inverse, seen, work):
        """Return tr(M G_j G_j^T) for the inputs j of a layer; one triangle of the inverse of C is given."""
        inputs, (R, n) = layer.inputs, layer.derivatives.shape[1:]
        products = np.multiply(layer.gram, inverse, out=work)
        doubled = products.diagonal().reshape(R, n).sum(axis=0)
        # over pairs of outputs; reductions over axes of length one are slow
        triangle = products if R == 1 else products.reshape(R, n, R, n).sum(axis=0).sum(axis=1)
        whole = 2.0 * np.einsum("jn,jn->j", inputs @ triangle, inputs) - inputs**2 @ doubled
        if not seen.shape[1]:
            return self._scale * whole
        projected = np.einsum("hkn,knf->nhf", layer.derivatives, seen.reshape(R, n, -1)).reshape(n, -1)
        return self._scale * (whole - ((inputs @ projected) ** 2).sum(axis=1))
