"""Ridge from a kernel against scikit-learn and against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

from brainscore_vision.benchmark_helpers.stimulus_kernels import DEFAULT_ALPHAS, build_kernel, kernel_from_features
from brainscore_vision.benchmark_helpers.stimulus_kernels.errors import ModelOutputError, StimulusKernelError
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.compute import Compute
from brainscore_vision.benchmark_helpers.stimulus_kernels.kernels.kernel import ArrayFeatures
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import band
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import decomposition as decompositions
from brainscore_vision.benchmark_helpers.stimulus_kernels.ridge import fit as ridge

TORCH = Compute(device="cpu:0")
"""The GPU's code path where there is no GPU: what torch calls the first CPU."""

SHAPES = {"wide": (40, 12, 300), "long": (60, 15, 20), "square": (30, 8, 30)}
OFFSETS = {"centred": (0.0, 1e-8), "mean a thousand times the spread": (1e3, 1e-6)}


WAYS = ("eigenvectors", "band", "low rank")


@pytest.fixture(params=WAYS, autouse=True)
def way(request, monkeypatch):
    """Every test here runs on all ways to decompose; bands of a few diagonals, so that small matrices have several blocks."""
    if request.param != "eigenvectors":
        monkeypatch.setattr(decompositions, "MANY", 0)
        monkeypatch.setattr(decompositions, "way_to_decompose", lambda *_: request.param)
        monkeypatch.setattr(decompositions, "BAND_WIDTH", 4)
        monkeypatch.setattr(decompositions, "ROW_BLOCK", 16)
        monkeypatch.setattr(band, "CHUNK", 10)
        monkeypatch.setattr(decompositions, "BASIS_ROWS", 16)
    return request.param


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return SHAPES[request.param]


@pytest.fixture(params=OFFSETS, ids=str)
def data(request, shape):
    """Features, responses, training rows, query rows and the tolerance that the offset allows."""
    rng = np.random.default_rng(1)
    offset, tolerance = OFFSETS[request.param]
    n_train, n_query, p = shape
    n = n_train + n_query
    features = rng.standard_normal((n, p)) + offset
    weights = rng.standard_normal((p, 5)) / np.sqrt(p)
    responses = (features - offset) @ weights + rng.standard_normal((n, 5)) * 2 + 3
    # rows of a kernel are not sorted by their role
    order = rng.permutation(n)
    return features, responses, order[:n_train], order[n_train:], tolerance


def fit(features, responses, train, alphas):
    kernel = kernel_from_features(features, list(map(str, range(len(features)))))
    training = ridge.TrainingResponses(ridge.decompose(kernel.gram, train), responses[train])
    return kernel, training, ridge.select_alpha(training, alphas)


@pytest.fixture(params=[False, True], ids=["of responses", "of query stimuli"])
def side(request, monkeypatch):
    """What the inverse is multiplied by."""
    monkeypatch.setattr(ridge, "weighs_queries", lambda *_: request.param)


def test_fixed_alpha_equals_scikit_learn(data, side):
    features, responses, train, query, tolerance = data
    kernel, training, selection = fit(features, responses, train, [1.0])
    assert selection.alpha == 1.0
    predicted = training.predict(kernel.gram[np.ix_(query, train)], 1.0) + training.mean
    expected = Ridge(alpha=1.0, solver="svd").fit(features[train], responses[train]).predict(features[query])
    np.testing.assert_allclose(predicted, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_cross_validated_alpha_equals_scikit_learn(data, side):
    features, responses, train, query, tolerance = data
    kernel, training, selection = fit(features, responses, train, DEFAULT_ALPHAS)
    # scikit-learn itself loses digits when features are far from their mean, so it gets the centred ones
    centre = features[train].mean(axis=0)
    reference = RidgeCV(alphas=DEFAULT_ALPHAS).fit(features[train] - centre, responses[train])
    assert selection.alpha == reference.alpha_
    predicted = training.predict(kernel.gram[np.ix_(query, train)], selection.alpha) + training.mean
    expected = reference.predict(features[query] - centre)
    np.testing.assert_allclose(predicted, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


def test_leave_one_out_errors_equal_brute_force(data):
    features, responses, train, _, tolerance = data
    alphas = [1e-3, 1.0, 1e4]
    centred = features - features[train].mean(axis=0)
    expected = np.empty((len(alphas), len(train), responses.shape[1]))
    for k, alpha in enumerate(alphas):
        for i, row in enumerate(train):
            others = np.delete(train, i)
            model = Ridge(alpha=alpha, solver="svd").fit(centred[others], responses[others])
            expected[k, i] = responses[row] - model.predict(centred[[row]])[0]
    _, training, selection = fit(features, responses, train, alphas)
    np.testing.assert_allclose(selection.errors, (expected**2).mean(axis=(1, 2)), rtol=tolerance)
    assert selection.alpha == alphas[np.argmin(selection.errors)]
    for j in range(responses.shape[1]):
        one = ridge.select_alpha(replace(training, values=responses[train][:, [j]]), alphas)
        np.testing.assert_allclose(one.errors, (expected[:, :, j] ** 2).mean(axis=1), rtol=tolerance)


def test_the_order_of_responses_in_memory_changes_nothing():
    rng = np.random.default_rng(2)
    features, responses = rng.standard_normal((30, 50)), rng.standard_normal((30, 4))
    expected = fit(features, responses, np.arange(30), DEFAULT_ALPHAS)[-1].errors
    found = fit(features, np.asfortranarray(responses), np.arange(30), DEFAULT_ALPHAS)[-1].errors
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e2, 1e5])
def test_an_alpha_below_the_rounding_of_few_features_is_least_squares(scale, side):
    rng = np.random.default_rng(3)
    features, responses = scale * rng.standard_normal((40, 3)), rng.standard_normal((40, 4))
    train, query = np.arange(30), np.arange(30, 40)
    kernel, training, _ = fit(features, responses, train, [1e-10])
    predicted = training.predict(kernel.gram[np.ix_(query, train)], 1e-10) + training.mean
    expected = Ridge(alpha=1e-10, solver="svd").fit(features[train], responses[train]).predict(features[query])
    np.testing.assert_allclose(predicted, expected, atol=1e-9)


def test_tiny_alpha_keeps_its_digits():
    """The constant vector's eigenvalue is exactly zero: handled carelessly, 1/alpha swamps the diagonal."""
    rng = np.random.default_rng(3)
    features, responses = rng.standard_normal((25, 400)), rng.standard_normal((25, 3))
    tiny, zero = fit(features, responses, np.arange(25), [1e-10, 1e-30])[-1].errors
    np.testing.assert_allclose(tiny, zero, rtol=1e-9)


@pytest.mark.parametrize("stimuli", [None, 20], ids=["mixtures of neuroids", "and a sample of stimuli"])
def test_sampled_search_chooses_what_the_full_search_chooses(way, stimuli, monkeypatch):
    """Over many data sets, dropping penalties by samples never changes the choice, and does save work."""
    rng = np.random.default_rng(4)
    if stimuli is not None:
        monkeypatch.setattr(ridge, "STIMULI", stimuli)
        monkeypatch.setattr(ridge, "LARGEST", 10)
    evaluated = []
    for noise in (0.1, 1.0, 5.0, 50.0):
        for n, p, neuroids in ((50, 80, 400), (80, 30, 300)):
            for _ in range(4 if way == "eigenvectors" else 1):
                latent = rng.standard_normal((n, 10))
                features = latent @ rng.standard_normal((10, p)) + rng.standard_normal((n, p))
                common_noise = rng.standard_normal((n, 5)) @ rng.standard_normal((5, neuroids)) / 2
                responses = latent @ rng.standard_normal((10, neuroids)) / 3
                responses += noise * (common_noise + rng.standard_normal((n, neuroids)))
                _, training, selection = fit(features, responses, np.arange(n), DEFAULT_ALPHAS)
                exact = replace(training, decomposition=replace(training.decomposition, exact=True))
                full = ridge.select_alpha(exact, DEFAULT_ALPHAS)
                assert full.evaluated == DEFAULT_ALPHAS
                assert selection.alpha == full.alpha == DEFAULT_ALPHAS[int(np.argmin(full.errors))]
                evaluated.append(len(selection.evaluated))
    assert np.mean(evaluated) < len(DEFAULT_ALPHAS) / 2


def test_what_a_way_leaves_behind(way):
    """A band only where no eigenvalue would be set to zero; only the vectors that features reach, if they are few."""
    rng = np.random.default_rng(5)
    features, ids, train = rng.standard_normal((40, 300)), list(map(str, range(40))), np.arange(40)

    def made(features):
        found = ridge.decompose(kernel_from_features(features, ids).gram, train)
        return type(found.middle), found.basis.shape[1]

    assert made(features) == (band.BandMatrix if way == "band" else decompositions.Spectrum, 39)
    twice = features[[*range(20), *range(20)]]
    assert made(twice) == (decompositions.Spectrum, 19 if way == "low rank" else 39)
    assert made(features[:, :12]) == (decompositions.Spectrum, 12 if way == "low rank" else 39)


def test_stimuli_that_features_reach_wholly_keep_their_weight(monkeypatch):
    """A feature that one stimulus alone has: 1 minus its share is rounding, which a small penalty would blow up."""
    rng = np.random.default_rng(6)
    features = rng.standard_normal((40, 12))
    features[:, 0] = 0.0
    features[5, 0] = 1000.0
    gram, alphas = kernel_from_features(features, list(map(str, range(40)))).gram, np.array([1e-10, 1e-6, 1.0])
    found = ridge.decompose(gram, np.arange(40)).weights(alphas)
    monkeypatch.setattr(decompositions, "way_to_decompose", lambda *_: "eigenvectors")
    expected = ridge.decompose(gram, np.arange(40)).weights(alphas)
    assert expected[5].max() < 2e-6 < expected[:5, :2].min()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_first_alpha_wins_a_tie():
    rng = np.random.default_rng(7)
    features, responses = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    assert fit(features, responses, np.arange(12), [2.0, 2.0, 2.0])[-1].alpha == 2.0
    assert fit(features, responses, np.arange(12), [2.0, 2.0])[-1].evaluated == (2.0, 2.0)


@pytest.mark.parametrize("compute", [Compute("cpu", 2 * 59**2 * 8), TORCH], ids=["little memory", "torch"])
def test_other_ways_to_compute_change_nothing(compute):
    rng = np.random.default_rng(8)
    features, responses = rng.standard_normal((60, 2000)), rng.standard_normal((60, 6))
    ids, train = list(map(str, range(60))), np.arange(60)
    expected_kernel = kernel_from_features(features, ids)
    kernel = build_kernel([ArrayFeatures(features)], ids, compute)
    np.testing.assert_allclose(kernel.gram, expected_kernel.gram, rtol=1e-12, atol=1e-10)
    expected, decomposition = ridge.decompose(expected_kernel.gram, train), ridge.decompose(kernel.gram, train, compute)
    np.testing.assert_allclose(decomposition.mean_eigenvalue, expected.mean_eigenvalue, rtol=1e-11)
    choices = [
        ridge.select_alpha(ridge.TrainingResponses(d, responses), DEFAULT_ALPHAS) for d in (expected, decomposition)
    ]
    assert choices[0].alpha == choices[1].alpha
    np.testing.assert_allclose(choices[0].errors, choices[1].errors, rtol=1e-9)


def test_a_budget_that_is_too_small_is_named():
    rng = np.random.default_rng(9)
    kernel = kernel_from_features(rng.standard_normal((20, 30)), list(map(str, range(20))))
    with pytest.raises(
        StimulusKernelError, match=r"20 training stimuli needs at least 5,776 bytes; max_memory allows 100"
    ):
        ridge.decompose(kernel.gram, np.arange(20), Compute(max_memory=100))


def test_predictions_far_below_the_mean_keep_their_digits(side):
    rng = np.random.default_rng(10)
    features, responses = rng.standard_normal((30, 8)), rng.standard_normal((30, 4))
    kernels = [kernel_from_features(features * scale, list(map(str, range(30)))) for scale in (1.0, 1e-12)]
    predictions = []
    for kernel, alpha in zip(kernels, (1e14, 1e-10), strict=True):  # alpha scales with the square of the features
        training = ridge.TrainingResponses(ridge.decompose(kernel.gram, np.arange(20)), responses[:20])
        predictions.append(training.predict(kernel.gram[20:, :20], alpha))
    np.testing.assert_allclose(*predictions, rtol=1e-9)
    assert np.abs(predictions[0]).max() < 1e-10


@pytest.mark.parametrize(
    ("n", "n_features", "device", "expected"),
    [
        (1499, None, "cpu", "eigenvectors"),
        (1500, None, "cpu", "band"),
        (1500, 1500, "cpu", "band"),
        (1500, 1499, "cpu", "eigenvectors"),
        (1500, 501, "cpu", "eigenvectors"),
        (1500, 500, "cpu", "low rank"),
        (1499, 10, "cpu", "eigenvectors"),
        (5000, None, "cuda", "eigenvectors"),
        (5000, 10, "cuda", "eigenvectors"),
    ],
)
def test_the_way_follows_from_the_sizes(n, n_features, device, expected, monkeypatch):
    monkeypatch.undo()
    assert decompositions.way_to_decompose(n, Compute(device), n_features) == expected
    assert decompositions.way_to_decompose(n, Compute(device, exact=True), n_features) == "eigenvectors"


@pytest.mark.parametrize(("n", "p"), [(40, 300), (60, 20), (60, 61), (80, 12)], ids=str)
@pytest.mark.parametrize("noise", [0.1, 10.0])
def test_the_fast_ways_equal_the_exact_one(n, p, noise, monkeypatch):
    """All that `exact` turns off at once, with more neuroids and stimuli than are sampled."""
    monkeypatch.setattr(ridge, "STIMULI", n // 4)
    monkeypatch.setattr(ridge, "LARGEST", n // 8)
    rng = np.random.default_rng(12)
    features = rng.standard_normal((n, p))
    responses = features @ rng.standard_normal((p, 400)) / np.sqrt(p) + noise * rng.standard_normal((n, 400))
    gram, train = kernel_from_features(features, list(map(str, range(n)))).gram, np.arange(n)
    fast = ridge.decompose(gram, train)
    monkeypatch.undo()
    exact = ridge.decompose(gram, train, Compute(exact=True), p)
    assert isinstance(exact.middle, decompositions.Spectrum)
    assert exact.is_complete
    both = [ridge.TrainingResponses(d, responses) for d in (fast, exact)]
    selections = [ridge.select_alpha(training, DEFAULT_ALPHAS) for training in both]
    assert selections[0].alpha == selections[1].alpha
    assert len(selections[0].evaluated) < len(selections[1].evaluated) == len(selections[1].errors) == 21
    assert ridge.weighs_queries(n, 400, has_coordinates=True)
    found, expected = both[0].predict(gram, selections[0].alpha), gram @ both[1].dual_coefficients(selections[0].alpha)
    np.testing.assert_allclose(found, expected - expected.mean(axis=0), atol=1e-9 * np.abs(expected).max())
    found, expected = (training.dual_coefficients(s.alpha) for training, s in zip(both, selections, strict=True))
    np.testing.assert_allclose(gram @ found, gram @ expected, atol=1e-9 * np.abs(gram @ expected).max())


@pytest.mark.parametrize(
    ("alpha", "grid", "edge"),
    [
        (1.0, (0.1, 1.0, 10.0), None),
        (0.1, (10.0, 0.1, 1.0), "smallest"),
        (10.0, (10.0, 0.1, 1.0), "largest"),
        (1.0, (1.0,), None),
        (2.0, (2.0, 2.0), None),
    ],
)
def test_the_edge_of_a_grid(alpha, grid, edge):
    assert ridge.edge_of_grid(alpha, grid) == edge


def test_degenerate_input_is_named():
    rng = np.random.default_rng(11)
    constant = kernel_from_features(np.ones((6, 10)) * 3, list("abcdef"))
    with pytest.raises(ModelOutputError, match="do not vary"):
        ridge.decompose(constant.gram, np.arange(5))
    kernel = kernel_from_features(rng.standard_normal((6, 10)), list("abcdef"))
    with pytest.raises(StimulusKernelError, match="at least 3 training stimuli, received 2"):
        ridge.decompose(kernel.gram, np.arange(2))
