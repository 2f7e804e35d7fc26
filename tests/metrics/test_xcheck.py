"""Our metrics are those of torch-fidelity on the same features."""

import numpy as np
import pytest

from tf_metagan.metrics import frechet, inception_score, kid, neighbours

_REASON = (
    "compares with torch-fidelity, which is not installed; "
    "pip install tf-metagan[xcheck] brings it"
)
torch = pytest.importorskip("torch", reason=_REASON)
pytest.importorskip("torch_fidelity", reason=_REASON)
metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
metric_isc = pytest.importorskip("torch_fidelity.metric_isc")
metric_kid = pytest.importorskip("torch_fidelity.metric_kid")
metric_prc = pytest.importorskip("torch_fidelity.metric_prc")


@pytest.fixture(scope="module", params=[8, 64])
def pair(request):
    """Correlated features of unequal numbers, float64 as both compute in."""
    width = request.param
    generator = np.random.default_rng([0, width])
    mix = np.eye(width) + generator.normal(size=[width, width]) / width
    real = np.abs(generator.normal(size=[400, width])) @ mix
    fake = np.abs(generator.normal(0.2, 1.1, [350, width]))
    return real, fake


def check_fid(fid, pair):
    real, fake = (
        metric_fid.fid_features_to_statistics(torch.from_numpy(x)) for x in pair
    )
    expected = metric_fid.fid_statistics_to_metric(real, fake, False)
    expected = expected[metric_fid.KEY_METRIC_FID]
    assert fid(*pair) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_is_torch_fidelitys(pair):
    check_fid(frechet.fid, pair)
    with pytest.raises(AssertionError):  # 350 rows without one of them
        check_fid(lambda real, fake: frechet.fid(real, fake[1:]), pair)


def kid_of(pair, **options):
    real, fake = (torch.from_numpy(x) for x in pair)
    scores = metric_kid.kid_features_to_metric(
        real, fake, verbose=False, **options
    )
    return scores[metric_kid.KEY_METRIC_KID_MEAN]


def test_kernel_distance_of_all_rows_is_torch_fidelitys(pair):
    everything = pair[0][:350], pair[1]
    expected = kid_of(everything, kid_subset_size=350, kid_subsets=1)
    ours = kid.kid(*everything, subset_size=350, subsets=1, seed=0)
    assert ours.mean == pytest.approx(expected, rel=1e-10)


def test_kernel_distance_of_subsets_is_torch_fidelitys_within_its_error(pair):
    """Both are means over 400 random subsets; neither knows the other's."""
    options = {"kid_subset_size": 50, "kid_subsets": 400, "rng_seed": 1}
    expected = kid_of(pair, **options)
    ours = kid.kid(*pair, subset_size=50, subsets=400, seed=1)
    # 95 % of the subsets' own error; ours.ci95 holds that of the rows too.
    widened = np.sqrt(400 * 50 / 300 + 1.0)
    assert abs(ours.mean - expected) < 2.0 * np.sqrt(2.0) * ours.ci95 / widened


@pytest.mark.parametrize("splits", [1, 7])
def test_inception_score_is_torch_fidelitys(pair, splits):
    logits = 3.0 * pair[0]
    expected = metric_isc.isc_features_to_metric(
        torch.from_numpy(logits), splits=splits, shuffle=False
    )
    log_probs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    ours = inception_score.inception_score(log_probs, splits=splits, seed=None)
    expected = expected[metric_isc.KEY_METRIC_ISC_MEAN]
    assert ours.mean == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_torch_fidelitys(pair, k):
    real, fake = (torch.from_numpy(x) for x in pair)
    expected = metric_prc.prc_features_to_metric(
        fake, real, prc_neighborhood=k, verbose=False
    )
    ours = neighbours.precision_recall(*pair, k=k)
    keys = metric_prc.KEY_METRIC_PRECISION, metric_prc.KEY_METRIC_RECALL
    # Shares of a few hundred points, theirs in float32.
    assert ours == pytest.approx([expected[key] for key in keys], abs=1e-6)
    assert ours.precision != ours.recall
