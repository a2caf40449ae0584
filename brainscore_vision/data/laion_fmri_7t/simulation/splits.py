"""Train and test splits with the release's names and file format, made from the simulated images' features."""

import json
from pathlib import Path

import numpy as np

from ..constants import N_FOLDS
from ..ids import ood_type, parse
from .rng import generator

_TEST_SHARE = 0.2
_SHUFFLE_SEED = 42  # as in the release
_FEWEST_PER_CLUSTER = 4
_DRAWS = 400


def write_splits(folder: Path, pool: str, stimulus_ids: np.ndarray, features: np.ndarray, seed: int) -> None:
    """Write all twelve splits of a pool ("shared" or a subject), each as a JSON file of the release's form.

    `stimulus_ids` are those of the pool, sorted; `features` is (n_stimuli, n_features) float32, standardised.
    Out-of-distribution stimuli are in the test set of `ood` and nowhere else.
    """
    from sklearn.model_selection import KFold  # a second, which data that are there already need not cost

    kinds = [ood_type(stimulus_id) for stimulus_id in stimulus_ids]
    ood = np.array([kind is not None for kind in kinds])
    inside, components = stimulus_ids[~ood], _principal_components(features[~ood])
    threshold, typical = _typical(components, generator(seed, "tau", pool))
    method = {"method": "min_nn_filter + moment_matching", "tau": threshold}
    splits = [("tau", "min_nn_stochastic", method, inside[typical])]
    splits.append(("ood", "ood_holdout", {"ood_types": sorted({*kinds} - {None})}, stimulus_ids[ood]))
    clusters = _clusters(components, seed)
    folds = KFold(N_FOLDS, shuffle=True, random_state=_SHUFFLE_SEED).split(inside)
    for fold, (_, rows) in enumerate(folds):
        held_out = {"method": "kmeans_k5_holdout", "held_out_cluster": fold}
        splits.append((f"cluster_k5_{fold}", "kmeans", held_out, inside[clusters == fold]))
        shuffled = {"method": "shuffled_kfold", "n_splits": N_FOLDS, "fold": fold, "random_state": _SHUFFLE_SEED}
        splits.append((f"random_{fold}", "kfold", shuffled, inside[rows]))
    folder.mkdir(parents=True, exist_ok=True)
    for name, splitter, params, test in splits:
        train_ids, test_ids = sorted({*inside.tolist()} - {*test.tolist()}), sorted(test.tolist())
        content = {
            "name": name,
            "pool": f"{pool}, simulated ({len(inside)} images)",
            "splitter": splitter,
            "params": params,
            "n_train": len(train_ids),
            "n_test": len(test_ids),
            "variants": [{"variant_id": 0, "train_ids": train_ids, "test_ids": test_ids}],
        }
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")


def stimulus_groups(stimulus_ids: np.ndarray, features: np.ndarray, seed: int) -> np.ndarray:
    """Groups whose signals differ in variance, (n_stimuli,) str: ``ood_<type>``, the shared ``cluster_k5_<k>``, or ``unique``.

    Takes the stimuli of the whole dataset, sorted, and their standardised features.
    """
    parsed = [parse(stimulus_id) for stimulus_id in stimulus_ids]
    groups = np.array([f"ood_{p.ood_type}" if p.ood_type else "unique" for p in parsed], dtype="U32")
    inside = np.array([p.shared and p.ood_type is None for p in parsed])
    groups[inside] = [f"cluster_k5_{k}" for k in _clusters(_principal_components(features[inside]), seed)]
    return groups


def _principal_components(features: np.ndarray, count: int = 24) -> np.ndarray:
    """The stimuli's first principal components, (n_stimuli, at most `count`) float64, with their own variances."""
    centred = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    return centred @ vectors[:, np.argsort(values)[::-1][: min(count, len(features) - 1)]]


def _typical(components: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """A fifth of the stimuli that stands for the whole without near-duplicates of training stimuli.

    The quarter of the stimuli that lie closest to another one stays in the training set. Of random draws from the
    rest, the one is taken whose means and second moments are most like the pool's. Gives the least distance to a
    nearest neighbour, and the chosen rows.
    """
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(components).kneighbors(components)
    nearest = distances[:, 1]
    threshold = float(np.quantile(nearest, 0.25))
    eligible = np.flatnonzero(nearest >= threshold)
    moments = np.concatenate([components, components**2], axis=1)
    moments = (moments - moments.mean(0)) / np.maximum(moments.std(0), 1e-9)
    draws = [rng.permutation(eligible)[: round(_TEST_SHARE * len(components))] for _ in range(_DRAWS)]
    return threshold, min(draws, key=lambda rows: np.square(moments[rows].mean(0)).sum())


def _clusters(components: np.ndarray, seed: int) -> np.ndarray:
    """Cluster (0..4) of each stimulus by k-means, the largest first; none has fewer than four stimuli."""
    from sklearn.cluster import KMeans

    attempts = [
        KMeans(N_FOLDS, n_init=1, random_state=attempt).fit(components)
        for attempt in generator(seed, "clusters").integers(2**31, size=12)
    ]
    best = max(attempts, key=lambda fit: np.bincount(fit.labels_, minlength=N_FOLDS).min())
    labels, distances = best.labels_.copy(), best.transform(components)
    while (sizes := np.bincount(labels, minlength=N_FOLDS)).min() < _FEWEST_PER_CLUSTER:
        # few stimuli: the nearest one of the largest cluster moves over
        movable = np.flatnonzero(labels == sizes.argmax())
        labels[movable[distances[movable, sizes.argmin()].argmin()]] = sizes.argmin()
    return np.argsort(np.argsort(-sizes, kind="stable"))[labels]
