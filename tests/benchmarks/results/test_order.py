"""Reports: the one order of models, and means that gaps do not distort."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

from brainscore_vision.benchmarks.laion_fmri_7t.results.order import adjusted_means


def table(n_models, n_columns, n_gaps=0, noise=0.02, seed=0):
    """(values, truth): an additive table with noise, without some cells."""
    rng = np.random.default_rng(seed)
    models, columns = rng.normal(0.4, 0.1, n_models), rng.normal(0, 0.3, n_columns)
    values = {
        (f"m{i:02d}", j): models[i] + columns[j] + noise * rng.normal()
        for i in range(n_models)
        for j in range(n_columns)
    }
    for place in sorted(rng.choice(len(values), n_gaps, replace=False), reverse=True):
        del values[list(values)[place]]
    return values, {f"m{i:02d}": models[i] + columns.mean() for i in range(n_models)}


def test_without_gaps_they_are_plain_means():
    values, _ = table(7, 4)
    (means,) = adjusted_means(values)
    plain = {m: np.mean([values[m, j] for j in range(4)]) for m, _ in values}
    assert means == pytest.approx(plain)
    assert list(means) == sorted(plain, key=lambda model: -plain[model])


@pytest.mark.parametrize("seed", range(3))
def test_with_gaps_they_are_means_of_what_least_squares_fills_in(seed):
    values, _ = table(9, 5, n_gaps=18, seed=seed)
    (means,) = adjusted_means(values)
    encode = OneHotEncoder(categories=[sorted({m for m, _ in values}), list(range(5))], sparse_output=False)
    cells = np.array(list(values), dtype=object)
    fitted = LinearRegression(fit_intercept=False).fit(encode.fit_transform(cells), list(values.values()))
    for model, mean in means.items():
        row = np.array([(model, j) for j in range(5)], dtype=object)
        assert mean == pytest.approx(fitted.predict(encode.transform(row)).mean(), abs=1e-9)


def test_gaps_do_not_change_the_order_of_an_additive_table():
    values, truth = table(12, 6, n_gaps=25, noise=0)
    (means,) = adjusted_means(values)
    assert means == pytest.approx({model: truth[model] for model in means}, abs=1e-9)


def test_models_that_share_nothing_are_not_compared():
    values = {("a", 1): 0.9, ("b", 2): 0.1, ("c", 2): 0.2, ("d", 3): 0.35, ("c", 3): 0.4}
    together, alone = adjusted_means(values)
    assert list(together) == ["c", "d", "b"]
    assert alone == {"a": 0.9}
    assert adjusted_means({}) == []


def test_ties_are_in_the_order_of_names():
    """Equal values whose sums differ in the last digit, added in another order."""
    values = {(m, j): v for m, row in {"b": (0.1, 0.2, 0.3), "a": (0.3, 0.2, 0.1)}.items() for j, v in enumerate(row)}
    assert list(adjusted_means(values)[0]) == ["a", "b"]
