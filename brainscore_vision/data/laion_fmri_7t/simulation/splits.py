"""Train and test splits with the release's names and file format, made from the simulated images' features."""

import json
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans
from sklearn.model_selection import KFold

from ..ids import ood_type
from .rng import generator

_TEST_SHARE = 0.2
_FOLDS = 5
_SHUFFLE_SEED = 42  # as in the release
_FEWEST_PER_CLUSTER = 4
_PROPOSALS = 4000


def make_splits(pool: str, stimulus_ids: np.ndarray, features: np.ndarray, seed: int) -> dict[str, dict]:
    """All twelve splits of a pool.

    Parameters
    ----------
    pool : str
        "shared" or a subject.
    stimulus_ids : numpy.ndarray
        (n_stimuli,) str, sorted; out-of-distribution ones are in the test set of `ood` and nowhere else.
    features : numpy.ndarray
        (n_stimuli, n_features) float32, standardised.
    seed : int

    Returns
    -------
    dict
        Name -> content of the release's JSON file: `name`, `pool`, `splitter`, `params`, `n_train`, `n_test` and
        `variants`, a list with one entry of `variant_id`, `train_ids`, `test_ids`, both sorted.
    """
    kinds = [ood_type(stimulus_id) for stimulus_id in stimulus_ids]
    ood = np.array([kind is not None for kind in kinds])
    inside, features = stimulus_ids[~ood], _principal_components(features[~ood])
    label = f"{pool}, simulated ({len(inside)} images)"

    def split(name: str, splitter: str, params: dict, test: np.ndarray) -> dict:
        return _split(name, label, splitter, params, inside[~test], inside[test])

    splits = [
        split("tau", "min_nn_stochastic", *_typical(features, generator(seed, "tau", pool))),
        _split("ood", label, "ood_holdout", {"ood_types": sorted({*kinds} - {None})}, inside, stimulus_ids[ood]),
    ]
    clusters = _clusters(features, seed)
    for fold in range(_FOLDS):
        params = {"method": "kmeans_k5_holdout", "held_out_cluster": fold}
        splits.append(split(f"cluster_k5_{fold}", "kmeans", params, clusters == fold))
    folds = KFold(_FOLDS, shuffle=True, random_state=_SHUFFLE_SEED).split(inside)
    for fold, (_, rows) in enumerate(folds):
        params = {"method": "shuffled_kfold", "n_splits": _FOLDS, "fold": fold, "random_state": _SHUFFLE_SEED}
        splits.append(split(f"random_{fold}", "kfold", params, np.isin(np.arange(len(inside)), rows)))
    return {content["name"]: content for content in splits}


def write_splits(folder: Path, splits: dict[str, dict]) -> None:
    """Write one JSON file per split."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in splits.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def _split(name: str, pool: str, splitter: str, params: dict, train: np.ndarray, test: np.ndarray) -> dict:
    return {
        "name": name,
        "pool": pool,
        "splitter": splitter,
        "params": params,
        "n_train": len(train),
        "n_test": len(test),
        "variants": [{"variant_id": 0, "train_ids": sorted(train.tolist()), "test_ids": sorted(test.tolist())}],
    }


def _principal_components(features: np.ndarray, count: int = 24) -> np.ndarray:
    """The stimuli's first principal components, (n_stimuli, at most `count`) float64, with their own variances."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    vectors = vectors[:, np.argsort(values)[::-1][: min(count, len(features) - 1)]]
    # the sign of an eigenvector is arbitrary: fix it
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    return centred @ vectors


def _typical(features: np.ndarray, rng: np.random.Generator) -> tuple[dict, np.ndarray]:
    """A fifth of the stimuli that stands for the whole without near-duplicates of training images.

    The quarter of the stimuli that lie closest to another one stays in the training set. Of the rest, the choice is
    improved by random swaps until its means and second moments match the pool's.

    Returns
    -------
    params : dict
    test : numpy.ndarray
        (n_stimuli,) bool
    """
    n = len(features)
    nearest = _nearest_distance(features)
    threshold = float(np.quantile(nearest, 0.25))
    eligible = rng.permutation(np.flatnonzero(nearest >= threshold))
    n_test = round(_TEST_SHARE * n)
    moments = np.concatenate([features, features**2], axis=1)
    moments = (moments - moments.mean(0)) / np.maximum(moments.std(0), 1e-9)
    chosen, rest = eligible[:n_test].copy(), eligible[n_test:].copy()
    total = moments[chosen].sum(0)
    error = total @ total
    swaps = rng.integers([len(chosen), len(rest)], size=(_PROPOSALS, 2))
    for out, into in swaps:
        proposed = total + moments[rest[into]] - moments[chosen[out]]
        if proposed @ proposed < error:
            total, error = proposed, proposed @ proposed
            chosen[out], rest[into] = rest[into], chosen[out]
    test = np.zeros(n, bool)
    test[chosen] = True
    params = {
        "method": "min_nn_filter + stochastic_moment_swap",
        "tau": threshold,
        "mean_squared_moment_difference": float(error / n_test**2 / moments.shape[1]),
    }
    return params, test


def _nearest_distance(features: np.ndarray, block: int = 1024) -> np.ndarray:
    """Distance of each stimulus to its nearest neighbour, (n_stimuli,)."""
    power = (features**2).sum(1)
    nearest = np.empty(len(features))
    for start in range(0, len(features), block):
        rows = slice(start, min(start + block, len(features)))
        squared = power[rows, None] + power - 2 * features[rows] @ features.T
        squared[np.arange(rows.stop - start), np.arange(start, rows.stop)] = np.inf
        nearest[rows] = np.sqrt(np.maximum(squared.min(1), 0))
    return nearest


def _clusters(features: np.ndarray, seed: int) -> np.ndarray:
    """Cluster (0..4) of each stimulus by k-means, the largest first; none has fewer than four stimuli."""
    attempts = [
        KMeans(_FOLDS, n_init=1, random_state=attempt).fit(features)
        for attempt in generator(seed, "clusters").integers(2**31, size=12)
    ]
    best = max(attempts, key=lambda fit: np.bincount(fit.labels_, minlength=_FOLDS).min())
    labels = best.labels_.copy()
    distances = best.transform(features)
    while (sizes := np.bincount(labels, minlength=_FOLDS)).min() < _FEWEST_PER_CLUSTER:
        # few stimuli: the nearest one of the largest cluster moves over
        movable = np.flatnonzero(labels == sizes.argmax())
        labels[movable[distances[movable, sizes.argmin()].argmin()]] = sizes.argmin()
    rank = np.argsort(np.argsort(-np.bincount(labels, minlength=_FOLDS), kind="stable"))
    return rank[labels]
