"""The view in notebooks: parameters with descriptions and links, and what a fit has left."""

import re

import pytest
import sklearn
from sklearn.datasets import load_iris
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from qnewton_sk import QNewtonClassifier, QNewtonRegressor

VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])
X, Y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def published(monkeypatch):
    """Pages at an address; the attribute is scikit-learn's documented hook."""
    for kind in (QNewtonClassifier, QNewtonRegressor):
        monkeypatch.setattr(
            kind, "_doc_link_template", "https://docs.example/{estimator_name}.html", raising=False
        )


@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
def test_the_view_links_to_the_page_of_the_estimator(kind):
    page = estimator_html_repr(kind())
    assert f'href="https://docs.example/{kind.__name__}.html"' in page
    inside = estimator_html_repr(make_pipeline(StandardScaler(), kind()))
    assert f'href="https://docs.example/{kind.__name__}.html"' in inside


@pytest.mark.skipif(VERSION < (1, 8), reason="scikit-learn describes parameters from 1.8 on")
@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
def test_every_parameter_has_a_description_and_a_link(kind):
    page = estimator_html_repr(kind())
    described = re.findall(r"param-doc-description\"[^>]*>\s*(\w+): [^<]*<br><br>\w", page)
    assert set(described) == set(kind().get_params())


@pytest.mark.skipif(VERSION < (1, 9), reason="scikit-learn shows fitted attributes from 1.9 on")
@pytest.mark.filterwarnings("ignore:QNewton\\w+ has not converged")
@pytest.mark.parametrize("kind", [QNewtonClassifier, QNewtonRegressor])
def test_what_a_fit_has_left_is_described(kind):
    model = kind((2,), max_iter=2, random_state=0).fit(X, Y)
    page = estimator_html_repr(model)
    for name in ("converged_", "stop_reason_", "history_", "hessian_summary_", "schedule_"):
        assert re.search(rf"param-doc-description\"[^>]*>\s*{name}: [^<]*<br><br>\w", page), name


def test_without_pages_there_are_no_links(monkeypatch):
    monkeypatch.setattr(QNewtonClassifier, "_doc_link_template", "")
    page = estimator_html_repr(QNewtonClassifier())
    assert "QNewtonClassifier" in page and "Documentation for" not in page


def test_a_subclass_of_a_user_has_no_page():
    class Own(QNewtonClassifier):
        pass

    assert "docs.example" not in estimator_html_repr(Own())
