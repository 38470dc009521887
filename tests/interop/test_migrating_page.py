"""The code on the page about moving from MLPClassifier runs as it stands."""

import re
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"
X, Y = load_iris(return_X_y=True)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
NEEDED = {
    "joblib": [],
    "skops": ["skops"],
    "skl2onnx": ["skl2onnx"],
    "sklearn.callback": ["sklearn.callback", "rich"],
}


def test_the_page_shows_every_way_of_saving():
    assert {name for name in NEEDED if any(name in block for block in BLOCKS)} == set(NEEDED)


@pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")
@pytest.mark.parametrize("library", NEEDED)
def test_the_code_runs(library, tmp_path, monkeypatch):
    for name in NEEDED[library]:
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    first, (shown,) = BLOCKS[0], [block for block in BLOCKS if library in block]
    names = {"X": X, "y": Y, "np": np}
    exec(first, names)
    names["model"].set_params(max_iter=5).fit(X, Y)
    expected = names["model"].predict(X)
    exec(shown, names)
    np.testing.assert_array_equal(names["model"].predict(X), expected)


@pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")
def test_a_model_with_a_progress_bar_can_be_saved(tmp_path):
    callback = pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")
    pytest.importorskip("rich", reason="scikit-learn's progress bar needs rich")
    names = {}
    exec(BLOCKS[0], names)
    model = names["model"].set_callbacks(callback.ProgressBar()).fit(X, Y)
    joblib.dump(model, tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(X), model.predict(X))
