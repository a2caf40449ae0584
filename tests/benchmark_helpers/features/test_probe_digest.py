"""The digest of a fingerprint: the same for the same network elsewhere, another for another network."""

import numpy as np
import pytest

from brainscore_vision.benchmark_helpers.stimulus_kernels.features.probe import N_STIMULI, Probe


def features(rng, n_features=5000, rectified=True):
    values = rng.normal(size=(N_STIMULI, n_features))
    return np.maximum(values, 0) if rectified else values


def differing_bits(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


def test_known_digests():
    """Digests are kept in results files: they stay what they are."""
    rows = np.arange(N_STIMULI * 20, dtype=float).reshape(N_STIMULI, 20) ** 2 % 97
    assert Probe.of(rows).digest == "42147c41447c31dd"
    assert Probe.of(np.zeros((N_STIMULI, 3))).digest == "0" * 16


@pytest.mark.parametrize(("noise", "most_changed"), [(1e-6, 0), (1e-4, 6)])
def test_rounding_leaves_nearly_every_digest(noise, most_changed):
    rng = np.random.default_rng(11)
    changed = 0
    for _ in range(100):
        one = features(rng)
        other = one * (1 + noise * rng.uniform(-1, 1, size=one.shape))
        assert Probe.of(one).agrees(Probe.of(other))
        changed += Probe.of(one).digest != Probe.of(other).digest
    assert changed <= most_changed


@pytest.mark.parametrize("rectified", [True, False])
def test_other_features_change_half_of_the_signs(rectified):
    rng = np.random.default_rng(12)
    digests = [Probe.of(features(rng, rectified=rectified)).digest for _ in range(60)]
    assert len(set(digests)) == 60
    distances = [differing_bits(a[2:], b[2:]) for i, a in enumerate(digests) for b in digests[:i]]
    assert 24 < np.mean(distances) < 32
    assert min(distances) > 8


def test_size_counts():
    one = features(np.random.default_rng(13))
    digests = [Probe.of(scale * one).digest for scale in (0.25, 1, 1.2, 4)]
    assert len(set(digests)) == 4
    assert len({digest[2:] for digest in digests}) == 1


def test_a_single_feature_and_many():
    rng = np.random.default_rng(14)
    assert len(Probe.of(features(rng, 1, rectified=False)).digest) == 16
    wide = features(rng, 100_000)
    assert Probe.of(wide.astype(np.float32)).digest == Probe.of(wide).digest
