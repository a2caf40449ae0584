"""What rounding takes from a kernel, against 50 digits: the exact choice of a penalty, or a doubt that is said."""

import functools

import mpmath
import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels import DEFAULT_ALPHAS, kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import decomposition
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge


def exact_choice(features, responses):
    """The penalty in 50 digits."""
    n = len(features)
    with mpmath.workdps(50):
        centring = mpmath.eye(n) - mpmath.ones(n) / n
        x, y = (centring * mpmath.matrix(v.tolist()) for v in (features, responses))
        k = x * x.T
        errors = []
        for alpha in DEFAULT_ALPHAS:
            # the inverse of K̃ + α, and without its part along the constant vector
            inverse = mpmath.inverse(k + mpmath.mpf(alpha) * mpmath.eye(n)) - mpmath.ones(n) / (n * mpmath.mpf(alpha))
            fitted = inverse * y
            errors.append(sum((fitted[i, j] / inverse[i, i]) ** 2 for i in range(n) for j in range(y.cols)))
        return DEFAULT_ALPHAS[errors.index(min(errors))]


def of_one_spread(x):
    return x


def one_far_larger(x):
    return x * np.r_[1e8, np.ones(x.shape[1] - 1)]


def three_far_larger(x):
    return x * np.r_[1e9, 1e8, 1e7, np.ones(x.shape[1] - 3)]


def a_large_part_in_common(x):
    return x + 1e8 * np.outer(x[:, 0], np.arange(1.0, x.shape[1] + 1))


def far_from_their_mean(x):
    return x + 1e6 * np.arange(x.shape[1])


def half_of_them_dead(x):
    return np.where(np.arange(x.shape[1]) % 2, x, 0)


def each_twice(x):
    return np.hstack([x, 0.7 * x + 0.1])


def images_shown_twice(x):
    return 0.7 * x[np.arange(len(x)) // 2]


def in_single_precision(x):
    return np.hstack([x, 0.7 * x]).astype(np.float32)


def labels_in_other_units(x):
    return 0.7 * np.eye(5)[np.argmax(x[:, :5], axis=1)] + 0.1


ALL_SEEN = [
    of_one_spread,
    far_from_their_mean,
    half_of_them_dead,
    each_twice,
    images_shown_twice,
    in_single_precision,
    labels_in_other_units,
]


def made(make, p):
    """Features, what varies 1e8 times less than the rest where anything does, and responses."""
    rng = np.random.default_rng(13)
    x = rng.standard_normal((14, p))
    responses = x @ rng.standard_normal((p, 2)) / np.sqrt(p) + rng.standard_normal((14, 2))
    return make(x), x[:, 1:] - x[:, 1:].mean(axis=0), responses


@functools.cache
def exact_choice_of(make, p):
    features, _, responses = made(make, p)
    return exact_choice(features.astype(float), responses)


@pytest.mark.parametrize("way", ["eigenvectors", "band", "low rank"])
@pytest.mark.parametrize("p", [5, 24], ids=["few features", "many features"])
@pytest.mark.parametrize("make", [*ALL_SEEN, one_far_larger, three_far_larger, a_large_part_in_common])
def test_the_exact_choice_or_a_warning(make, p, way, monkeypatch):
    """Features that vary 1e8 times less than others are lost in K: that is said, and nothing is said where nothing is lost."""
    monkeypatch.setattr(decomposition, "way_to_decompose", lambda *_: way)
    monkeypatch.setattr(decomposition, "BAND_WIDTH", 4)
    features, small, responses = made(make, p)
    kernel = kernel_from_features(features, list(map(str, range(14))))
    decomposed = ridge.decompose(kernel.gram, np.arange(14))
    selection = ridge.select_alpha(ridge.TrainingResponses(decomposed, responses), DEFAULT_ALPHAS)
    lost = decomposed.lost_spread(kernel.sketch, kernel.mean_norm)
    if make in ALL_SEEN:
        assert selection.alpha == exact_choice_of(make, p)
        assert lost < 1e-11
    else:
        assert 0.1 < lost / np.sum(small**2) < 10
    if (make, p) == (one_far_larger, 5):
        assert selection.alpha != exact_choice_of(make, p)  # there is reason to warn


SPECTRA = {
    "even steps": lambda decades, p: np.logspace(0, -decades, p),
    "a power of the frequency": lambda decades, p: np.arange(1.0, p + 1) ** (-decades / np.log10(p)),
    "a cliff": lambda decades, p: np.r_[np.logspace(0, -0.5, p // 2), np.full(p - p // 2, 10.0**-decades)],
}


@pytest.mark.parametrize("way", ["eigenvectors", "low rank"])
@pytest.mark.parametrize("unit", [2.0**-10, 2.0**30])
@pytest.mark.parametrize("decades", [5, 9, 13])
@pytest.mark.parametrize(("n", "p"), [(40, 20), (40, 60), (300, 50)])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_what_graded_features_lose_is_known(spectrum, n, p, decades, unit, way, monkeypatch):
    """Against the singular values of the features, which are not squared."""
    monkeypatch.setattr(decomposition, "way_to_decompose", lambda *_: way)
    features = unit * np.random.default_rng(5).standard_normal((n, p)) * SPECTRA[spectrum](decades, p)
    eigenvalues = np.linalg.svd(features - features.mean(axis=0), compute_uv=False)[: n - 1] ** 2
    below = eigenvalues[eigenvalues < n * np.finfo(float).eps * eigenvalues[0]].sum()
    kernel = kernel_from_features(features, list(map(str, range(n))))
    lost = ridge.decompose(kernel.gram, np.arange(n)).lost_spread(kernel.sketch, kernel.mean_norm)
    assert lost == 0 if below == 0 else 0.2 < lost / below < 5


@pytest.mark.parametrize("way", ["eigenvectors", "low rank"])
@pytest.mark.parametrize("n", [40, 300])
@pytest.mark.parametrize("decades", [0, 4, 6])
@pytest.mark.parametrize(
    "make",
    [
        lambda x: x,
        lambda x: np.hstack([x, 2 * x, x / 2]),
        lambda x: np.hstack([x] * 100),
        lambda x: np.repeat(x[: len(x) // 2], 2, axis=0),
        lambda x: x * np.r_[2.0**3, np.ones(len(x) - 1)][:, None],
    ],
    ids=["few", "multiples", "many", "images shown twice", "one image apart"],
)
def test_graded_features_of_which_none_is_lost_lose_nothing(make, decades, n, way, monkeypatch):
    """Exact in binary, so that what depends on others does so exactly; and so large that 1e-10 would be seen."""
    monkeypatch.setattr(decomposition, "way_to_decompose", lambda *_: way)
    grades = 2.0 ** np.round(30 - np.linspace(0, decades * np.log2(10), 12))
    features = make(np.random.default_rng(6).standard_normal((n, 12)).astype(np.float32).astype(float) * grades)
    kernel = kernel_from_features(features, list(map(str, range(len(features)))))
    decomposed = ridge.decompose(kernel.gram, np.arange(n))
    assert decomposed.lost_spread(kernel.sketch, kernel.mean_norm) == 0


N_TRAIN, N_TEST = 60, 20


def of_labels(mixed):
    """Labels one-hot, as they are or turned in space: no test image has a label that a training image has."""
    labels = np.r_[np.arange(N_TRAIN) % 13, 13 + np.arange(N_TEST)]
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((33, 33)))[0]
    return (turned if mixed else np.eye(33))[labels]


def fit_of(features, alpha):
    """Responses to training stimuli, the kernel of test and training stimuli, and predictions of the former by the latter."""
    gram = kernel_from_features(features, list(map(str, range(len(features))))).gram
    responses = np.random.default_rng(4).standard_normal((N_TRAIN, 5))
    training, cross = (
        ridge.TrainingResponses(ridge.decompose(gram, np.arange(N_TRAIN)), responses),
        gram[N_TRAIN:, :N_TRAIN],
    )
    return training, cross, training.predict(cross, alpha)


@pytest.fixture(params=[False, True], ids=["of responses", "of test stimuli"])
def side(request, monkeypatch):
    """What the inverse is multiplied by."""
    monkeypatch.setattr(ridge, "weighs_queries", lambda *_: request.param)


@pytest.mark.parametrize("alpha", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e6])
@pytest.mark.parametrize("mixed", [False, True], ids=["as they are", "turned"])
def test_what_training_stimuli_say_nothing_of_is_one_prediction(alpha, unit, mixed, side):
    _, _, predicted = fit_of(unit * of_labels(mixed), alpha)
    assert (np.ptp(predicted, axis=0) == 0).all()


@pytest.mark.parametrize("alpha", [1e-10, 1.0, 1e10])
@pytest.mark.parametrize("turned", [False, True], ids=["as they are", "turned"])
def test_stimuli_that_say_nothing_of_each_other_are_one_prediction_when_left_out(alpha, turned):
    features = np.eye(N_TRAIN + N_TEST)
    if turned:
        features = np.linalg.qr(np.random.default_rng(3).standard_normal(features.shape))[0]
    training, _, _ = fit_of(features, alpha)
    deviations = training.values - training.mean
    left_out = ridge.left_out_deviations(training.decomposition, training.coordinates, deviations, alpha)
    assert (np.ptp(left_out, axis=0) == 0).all()


@pytest.mark.parametrize("alpha", [1e-10, 1.0, 1e10, 1e40])
@pytest.mark.parametrize("make", [lambda x: x, lambda x: 1e-8 * x, lambda x: x * np.logspace(0, -6, 90)], ids="abc")
def test_small_predictions_are_as_they_are(make, alpha, side):
    features = make(np.random.default_rng(5).standard_normal((N_TRAIN + N_TEST, 90)))
    training, cross, predicted = fit_of(features, alpha)
    centred = cross - training.decomposition.column_mean
    centred -= centred.mean(axis=1, keepdims=True)
    expected = centred @ training.dual_coefficients(alpha)
    # the smallest alpha is near the rounding of these kernels: both sides are off by 1e-7 of exact ones
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
