"""The library and PyTorch compute the same meta-gradients."""

import functools
import importlib.util

import numpy as np
import pytest
import tensorflow as tf

import benchmarks
from benchmarks import Workload, library_meta_step, meta_step
from benchmarks import meta_step_contestants as contestants
from tf_metagan.core import rng, rollout
from tf_metagan.gan import duel

HAS_TORCH = importlib.util.find_spec("torch") is not None
if HAS_TORCH:
    import torch

    from benchmarks import torch_arrays, torch_meta_step, torch_networks
    from benchmarks.torch_operations import Variant

needs_torch = pytest.mark.skipif(
    not HAS_TORCH,
    reason="PyTorch is absent, so there is nothing to check the library "
    "against; 'pip install torch' enables this",
)

ALGOS = meta_step.ALGOS
# Same function and same draws, so only rounding differs: 1e-16 for each of some
# hundred operations, grown tenfold where small gradients are divided by the
# root of their squares. Found: 5e-14. A constant rounded to single precision
# (epsilon, slope) shows up as 1e-10 or more.
_TOLERANCE = 1e-11
SMALL = Workload("", steps=2, tasks=2, batch=3, width=4, dtype="float64")


@pytest.fixture(autouse=True, scope="module")
def _one_torch_thread():
    """Keep kernels of a few numbers from waiting for threads."""
    if not HAS_TORCH:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _tensorflow_draws(tasks, workload):
    """Return the latents and mixing weights that the library draws."""
    shape = (workload.tasks, workload.steps, 2, workload.batch)
    latent = np.empty((*shape, benchmarks.LATENT_SIZE))
    mix = np.empty((*shape, 1, 1, 1))
    for task, step in np.ndindex(workload.tasks, workload.steps):
        root = tasks.seed[task]
        inner = rng.fold(rng.fold(root, rollout._ADAPT, step), 0, 0)
        outer = rng.fold(root, rollout._VALIDATE, step)
        for place, seed in enumerate((inner, outer)):
            at = (task, step, place)
            latent[at] = rng.normal(
                rng.fold(seed, duel._LATENT), latent[at].shape, tf.float64
            )
            mix[at] = rng.uniform(
                rng.fold(seed, duel._PENALTY), mix[at].shape, tf.float64
            )
    return latent, mix


@pytest.fixture(scope="module")
def tensorflow_gradients():
    """(algo, inner_loop) -> (meta-gradients, the Arrays they belong to)."""
    return functools.cache(_tensorflow_gradients)


def _tensorflow_gradients(algo, inner_loop):
    workload = SMALL._replace(algo=algo)
    variables, tasks = library_meta_step.inputs(workload, seed=1)
    rule = library_meta_step.algorithm(workload, inner_loop=inner_loop)
    step = tf.function(rule.meta_gradients, autograph=False)
    grads = step(variables, tasks, tf.constant(0, tf.int64)).grads
    found = {p: {**grads.params[p], **grads.inner.get(p, {})} for p in "dg"}
    latent, mix = _tensorflow_draws(tasks, workload)
    arrays = benchmarks.arrays(workload, seed=1)
    arrays = arrays._replace(latent=latent, mix=mix)
    return tf.nest.map_structure(lambda x: x.numpy(), found), arrays


def _torch_gradients(algo, arrays, *, pool=None, **options):
    variant = Variant(**options)

    def converted(weights):
        return [torch_arrays.to_torch(weights[p], variant) for p in "dg"]

    d, g, *rates = torch_meta_step.meta_gradients(
        *converted(arrays.weights),
        torch_arrays.to_draws(arrays),
        algo=algo,
        variant=variant,
        rates=converted(arrays.rates),
        pool=pool,
    )
    found = {}
    for kind, parts in (("", (d, g)), ("rate/", rates)):
        for p, part in zip("dg", parts, strict=False):
            named = torch_arrays.to_keras(part, arrays.weights[p], variant)
            for leaf, value in named.items():
                found.setdefault(p, {})[kind + leaf] = value
    return found


def _check_equal(found, expected, *, tolerance):
    """Compare leaf by leaf, relative to the largest entry of the leaf.

    The exact gradient of the critic's last bias is zero: adding a constant to
    all scores changes no Wasserstein loss. So is that of its step size. Both
    are compared with one.
    """
    for player, leaves in expected.items():
        assert leaves.keys() == found[player].keys()
        for leaf, value in leaves.items():
            scale = np.abs(value).max() if "head/bias" not in leaf else 1.0
            error = np.abs(found[player][leaf] - value).max() / scale
            assert error < tolerance, f"{player}/{leaf}: {error:.1e}"


@needs_torch
@pytest.mark.parametrize(
    ("algo", "inner_loop"),
    [
        (algo, form)
        for algo in ALGOS
        for form in ("while", "unrolled")
        if (algo, form) != ("metasgd", "unrolled")
    ],
)
def test_tensorflow_and_torch_meta_gradients_agree(
    tensorflow_gradients, algo, inner_loop
):
    found, arrays = tensorflow_gradients(algo, inner_loop)
    expected = _torch_gradients(algo, arrays)
    _check_equal(found, expected, tolerance=_TOLERANCE)


@needs_torch
@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("INNER_RHO", 0.99),
        ("INNER_EPSILON", 1e-8),
        ("INNER_RATE", 1.001e-4),
        ("PENALTY_WEIGHT", 10.001),
        ("SLOPE", 0.2001),
    ],
)
def test_agreement_notices_another_constant(
    monkeypatch, tensorflow_gradients, constant, value
):
    found, arrays = tensorflow_gradients("maml", "while")
    monkeypatch.setattr(benchmarks, constant, value)
    other = _torch_gradients("maml", arrays)
    with pytest.raises(AssertionError):
        _check_equal(found, other, tolerance=_TOLERANCE)


@needs_torch
def test_agreement_notices_first_order(tensorflow_gradients):
    found, arrays = tensorflow_gradients("maml", "while")
    with pytest.raises(AssertionError):
        _check_equal(
            found, _torch_gradients("fomaml", arrays), tolerance=_TOLERANCE
        )


@needs_torch
def test_agreement_notices_first_order_step_sizes(
    monkeypatch, tensorflow_gradients
):
    found, arrays = tensorflow_gradients("metasgd", "while")
    exact = torch_networks.gradients

    def constant(*args, **options):
        grads = exact(*args, **options)
        return [[x.detach() for x in part] for part in grads]

    monkeypatch.setattr(torch_networks, "gradients", constant)
    with pytest.raises(AssertionError):
        _check_equal(
            found, _torch_gradients("metasgd", arrays), tolerance=_TOLERANCE
        )


@needs_torch
def test_agreement_notices_a_step_size_of_another_weight(
    tensorflow_gradients,
):
    found, arrays = tensorflow_gradients("metasgd", "while")
    other = {p: dict(leaves) for p, leaves in arrays.rates.items()}
    other["g"]["up1/bias"] = other["g"]["up1/bias"][::-1].copy()
    swapped = arrays._replace(rates=other)
    with pytest.raises(AssertionError):
        _check_equal(
            found, _torch_gradients("metasgd", swapped), tolerance=_TOLERANCE
        )


@needs_torch
def test_agreement_notices_the_inner_draws_used_for_the_query(
    tensorflow_gradients,
):
    found, arrays = tensorflow_gradients("fomaml", "while")
    swapped = arrays._replace(latent=arrays.latent[:, :, ::-1].copy())
    with pytest.raises(AssertionError):
        _check_equal(
            found, _torch_gradients("fomaml", swapped), tolerance=_TOLERANCE
        )


@needs_torch
@pytest.mark.parametrize("algo", ALGOS)
def test_every_torch_variant_computes_the_same(algo):
    arrays = benchmarks.arrays(SMALL, seed=2)
    plain = _torch_gradients(algo, arrays, shared=False)
    options = [*contestants.TORCH.values(), {"leaky": "mask"}]
    for option in options:
        found = _torch_gradients(algo, arrays, **option)
        _check_equal(found, plain, tolerance=1e-12)


@needs_torch
@pytest.mark.parametrize("label", contestants.FORMS)
@pytest.mark.parametrize("algo", contestants.FORM_ALGOS)
def test_every_way_to_differentiate_computes_the_same(algo, label):
    options = contestants.FORMS[label]
    if options["form"] == "higher":
        pytest.importorskip(
            "higher", reason="higher is absent; 'pip install higher' enables it"
        )
    arrays = benchmarks.arrays(SMALL, seed=2)
    plain = _torch_gradients(algo, arrays, shared=False)
    found = _torch_gradients(algo, arrays, **options)
    _check_equal(found, plain, tolerance=1e-12)


@needs_torch
def test_a_thread_per_task_changes_nothing():
    from concurrent import futures

    arrays = benchmarks.arrays(SMALL, seed=2)
    with futures.ThreadPoolExecutor(2) as pool:
        found = _torch_gradients("maml", arrays, pool=pool)
    _check_equal(found, _torch_gradients("maml", arrays), tolerance=1e-15)


@needs_torch
@pytest.mark.parametrize("layout", ["nchw", "channels_last"])
def test_torch_weights_come_back_as_they_were(layout):
    variant = Variant(layout=layout)
    leaves = benchmarks.arrays(SMALL, seed=3).weights
    for player in "dg":
        weights = torch_arrays.to_torch(leaves[player], variant)
        back = torch_arrays.to_keras(weights, leaves[player], variant)
        for leaf, value in leaves[player].items():
            np.testing.assert_array_equal(back[leaf], value)


def test_library_networks_have_the_leaves_of_the_workload():
    for player, model in library_meta_step.networks(4, "float64").items():
        found = {
            "/".join(v.path.split("/")[-2:]): tuple(v.shape)
            for v in model.trainable_variables
        }
        assert found == benchmarks.shapes(4)[player]


def test_arrays_depend_on_the_seed_alone():
    first, again, other = (
        benchmarks.arrays(SMALL, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.support, again.support)
    assert np.abs(first.support - other.support).max() > 0.1
    assert first.support.dtype == first.rates["d"]["head/bias"].dtype
    assert first.support.dtype == np.float64
    assert np.abs(first.query).max() <= 1.0
