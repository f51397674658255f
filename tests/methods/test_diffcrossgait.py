"""DiffCrossGait: what is shared, what is crossed, where gradients go, what is left."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.tiny_diffcrossgait import SHAPES, make, make_batch, random_variables

from gaitjax.losses.diffusion import alpha_bars, phase_intervals
from gaitjax.methods.diffcrossgait import (
    Denoised,
    Diffusion,
    denoised,
    gaps,
    phase_losses,
)

WEIGHTS = dict(
    id_weight=0.9,
    eps_weight=0.7,
    mid_weight=0.3,
    rec_weight=0.2,
    noise_weight=0.05,
)
LEFT = alpha_bars(100)
INTERVALS, _ = phase_intervals(LEFT)
N, H, W, C = 6, 4, 3, 5  # of latents that no network made


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def started(**kwargs):
    """(method, params, model_state); nothing is compiled."""
    method = make(**kwargs)
    return method, *random_variables(method, make_batch())


# ---- latents, noise and back, with a denoiser that listens


def diffusion(**changes):
    usual = dict(
        phases=(1, 2, 3),
        intervals=INTERVALS,
        left=tuple(LEFT.tolist()),
        shared_noise=True,
        unit_latents=True,
        prior_gradient=True,
        fixed_targets=True,
    )
    changes = usual | changes
    phases = changes["phases"]
    if len(phases) < 3:
        changes["intervals"] = tuple(INTERVALS[phase - 1] for phase in phases)
    return Diffusion(**changes)


def raw_latents(seed=0):
    """Of two modalities, neither with mean 0 or variance 1."""
    first, second = draw(N, H, W, C, seed=seed), draw(N, H, W, C, seed=seed + 1)
    return {"sils": 3 + 2 * first, "ranges": 0.2 * second - 1}


def unit(latents):
    """[n, m, h, w, c] in float64, each map with mean 0 and variance 1."""
    z = np.stack([np.float64(x) for x in latents.values()], 1)
    mean, var = (f((2, 3, 4), keepdims=True) for f in (z.mean, z.var))
    return (z - mean) / np.sqrt(var + 1e-6)


def listened(options, latents, seed=0):
    """(Denoised, what the denoiser got, the noise that is in it). The denoiser
    returns that very noise, which it works out from the steps it was told."""
    z = unit(latents)
    if not options.unit_latents:
        z = np.stack(list(latents.values()), 1)
    seen = {}

    def denoise(noisy, steps, priors):
        left = LEFT[np.asarray(steps) - 1][..., None, None, None, None]
        noise = (noisy - np.sqrt(left) * z[:, None]) / np.sqrt(1 - left)
        seen.update(steps=np.asarray(steps), priors=priors, noise=noise)
        return jnp.asarray(noise, jnp.float32), jnp.zeros((*noise.shape[:3], 1))

    found = denoised(options, denoise, latents, jax.random.key(seed))
    return found, seen


@pytest.mark.parametrize("shared", [True, False])
def test_noise_is_that_of_the_pair(shared):
    found, seen = listened(diffusion(shared_noise=shared), raw_latents())
    noise = seen["noise"]  # [n, p, m, h, w, c]
    assert noise.shape == found.noise.shape == (N, 3, 2, H, W, C)
    np.testing.assert_allclose(found.noise, noise, atol=2e-3)
    assert np.array_equal(found.noise[:, :, 0], found.noise[:, :, 1]) == shared
    if not shared:
        a, b = (np.ravel(found.noise[:, :, i]) for i in range(2))
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
    # Of one mean and variance; another one in every sample and phase.
    assert noise.mean() == pytest.approx(0, abs=0.1)
    assert noise.std() == pytest.approx(1, abs=0.1)
    flat = noise[:, :, 0].reshape(3 * N, -1)
    assert np.abs(np.corrcoef(flat) - np.eye(3 * N)).max() < 0.6


def test_steps_are_of_the_phase_and_of_the_sample():
    _, seen = listened(diffusion(), raw_latents())
    assert seen["steps"].shape == (N, 3)  # one for both modalities
    for (first, last), steps in zip(INTERVALS, seen["steps"].T, strict=True):
        assert (first <= steps).all() and (steps <= last).all()
        assert len(set(steps.tolist())) > 1
    _, other = listened(diffusion(), raw_latents(), seed=1)
    assert not np.array_equal(seen["steps"], other["steps"])
    assert not np.allclose(seen["noise"], other["noise"])


@pytest.mark.parametrize("phases", [(1, 2, 3), (1, 3), (2,), (3,)])
def test_priors_are_crossed_in_phase_3_and_only_there(phases):
    latents = raw_latents()
    found, seen = listened(diffusion(phases=phases), latents)
    own = unit(latents).mean((2, 3))  # [n, m, c]
    assert seen["priors"].shape == (N, len(phases), 2, C)
    assert np.abs(own[:, 0] - own[:, 1]).max() > 0.1
    for i, phase in enumerate(phases):
        want = own[:, ::-1] if phase == 3 else own
        np.testing.assert_allclose(seen["priors"][:, i], want, atol=1e-5)
    # The noisy latents are never crossed.
    np.testing.assert_allclose(found.noise, seen["noise"], atol=2e-3)


@pytest.mark.parametrize("normal", [True, False])
def test_latents_are_normal_inside_and_themselves_outside(normal):
    latents = raw_latents()
    found, _ = listened(diffusion(unit_latents=normal), latents)
    z = np.asarray(found.latents)
    if normal:
        np.testing.assert_allclose(z.mean((2, 3, 4)), 0, atol=1e-5)
        np.testing.assert_allclose(z.var((2, 3, 4)), 1, atol=1e-4)
    else:
        np.testing.assert_array_equal(z, np.stack(list(latents.values()), 1))
    # The true noise gives the latents back, in every phase, and as they were.
    for i in range(3):
        np.testing.assert_allclose(found.clean[:, i], z, atol=2e-5)
        maps = found.maps(found.clean[:, i])
        assert list(maps) == list(latents)
        for key, x in latents.items():
            np.testing.assert_allclose(maps[key], x, atol=1e-4)


def test_the_same_latents_and_noise_with_any_precision():
    """Half-precision maps are taken to float32 before noise comes in."""
    latents = {key: jnp.asarray(x, jnp.bfloat16) for key, x in raw_latents().items()}
    full = {key: np.float32(x) for key, x in latents.items()}
    found, _ = listened(diffusion(), full)
    half, _ = listened(diffusion(), latents)
    for name in ("latents", "noise", "clean"):
        assert getattr(half, name).dtype == jnp.float32
        np.testing.assert_array_equal(getattr(half, name), getattr(found, name))


@pytest.mark.parametrize("through", [True, False])
def test_gradient_through_the_prior_is_switchable(through):
    def total(latents):
        def denoise(noisy, steps, priors):  # of its arguments the priors alone
            guess = priors[:, :, :, None, None] * jnp.ones_like(noisy)
            return guess, priors

        options = diffusion(prior_gradient=through)
        found = denoised(options, denoise, latents, jax.random.key(0))
        return jnp.square(found.guess).sum() + (found.bridge**3).sum()

    for grad in jax.grad(total)(raw_latents()).values():
        assert (np.abs(grad).max() > 1e-3) == through
        assert through or (np.asarray(grad) == 0).all()


@pytest.mark.parametrize("fixed", [True, False])
def test_fixed_targets_by_hand(fixed):
    """A denoiser that says 0 leaves z + r e with r^2 = (1 - ab) / ab, so that the
    errors are r e in phase 2 and z - z' + r e in phase 3: of the latents themselves
    the first is free, unless the target stays where it is."""
    latents = raw_latents()
    options = diffusion(phases=(2, 3), unit_latents=False, fixed_targets=fixed)

    def denoise(noisy, steps, priors):
        return jnp.zeros_like(noisy), jnp.zeros(noisy.shape[:3])

    def terms(latents):
        found = denoised(options, denoise, latents, jax.random.key(0))
        terms, _ = phase_losses(options, found, None)
        rec = jnp.stack([terms["phase2_rec"], terms["phase3_rec"]])
        return rec, (found.noise, found.clean, found.latents)

    jacobian, (noise, clean, z) = jax.jacrev(terms, has_aux=True)(latents)
    latents = dict(sorted(latents.items()))  # as JAX passes a dict
    np.testing.assert_array_equal(z, np.stack(list(latents.values()), 1))
    errors = [clean[:, 0] - z, clean[:, 1] - z[:, ::-1]]
    ratio = (errors[0] / noise[:, 0]).reshape(N, -1)
    np.testing.assert_allclose(ratio, ratio[:, :1] + 0 * ratio, rtol=2e-3)
    for i, key in enumerate(latents):
        got = jacobian[key] * z.size / 2  # [2, n, h, w, c]
        if fixed:
            want = [errors[0][:, i], errors[1][:, i]]
        else:
            # clean' stands against z: the noise, being shared, cancels.
            want = [0 * z[:, i], errors[1][:, i] - errors[1][:, 1 - i]]
            np.testing.assert_allclose(want[1], 2 * (z[:, i] - z[:, 1 - i]), atol=1e-4)
        np.testing.assert_allclose(got, np.stack(want), rtol=1e-4, atol=1e-4)


# ---- losses of given arrays


def given(phases):
    p = len(phases)
    shape = (N, p, 2, H, W, C)
    return Denoised(
        latents=draw(N, 2, H, W, C, seed=1),
        noise=draw(*shape, seed=2),
        guess=draw(*shape, seed=3),
        bridge=draw(N, p, 2, 2, 2, 7, seed=4),
        clean=draw(*shape, seed=5),
        maps=lambda clean: {"a": clean[:, 0], "b": clean[:, 1]},
    )


def losses_twin(phases, found):
    """In float64, by the method's definition, modality by modality."""
    guess, bridge, clean, noise, z = (
        np.float64(x)
        for x in (found.guess, found.bridge, found.clean, found.noise, found.latents)
    )
    terms = {}
    for i, phase in enumerate(phases):
        name = f"phase{phase}"
        if phase > 1:
            terms[f"{name}_eps"] = ((guess[:, i, 0] - guess[:, i, 1]) ** 2).mean()
            terms[f"{name}_mid"] = ((bridge[:, i, 0] - bridge[:, i, 1]) ** 2).mean()
            targets = (z[:, 0], z[:, 1]) if phase == 2 else (z[:, 1], z[:, 0])
            errors = [((clean[:, i, m] - targets[m]) ** 2).mean() for m in (0, 1)]
            terms[f"{name}_rec"] = sum(errors) / 2
        terms[f"{name}_noise"] = ((guess[:, i] - noise[:, i]) ** 2).mean()
    return terms


@pytest.mark.parametrize("phases", [(1, 2, 3), (2, 3), (1, 3), (2,), (3,), (1,)])
def test_losses_equal_their_twin(phases):
    found = given(phases)

    def discriminative(maps):
        return maps["a"].sum() - 2 * maps["b"].sum(), {"ce_a/loss": maps["a"].mean()}

    options = diffusion(phases=phases)
    terms, metrics = phase_losses(options, found, discriminative)
    want = losses_twin(phases, found)
    if 1 in phases:
        first = found.clean[:, 0]
        want["phase1_id"] = first[:, 0].sum() - 2 * first[:, 1].sum()
        assert list(metrics) == ["phase1_ce_a/loss"]
        got = float(metrics["phase1_ce_a/loss"])
        assert got == pytest.approx(first[:, 0].mean(), rel=1e-4)
    else:
        assert not metrics
    assert set(terms) == set(want)
    for name, value in want.items():
        assert float(terms[name]) == pytest.approx(value, rel=1e-4), name


def test_gaps_by_hand():
    zero = jnp.zeros((2, 1, 2, 1, 1, 3))
    far = zero.at[0, :, 0].set(jnp.array([3.0, 0, 0]))  # of the first pair
    found = Denoised(far[:, 0], zero, 2 * far, 3 * far, 4 * far, None)
    root = np.array([3**0.5, 0])
    want = {"end": root, "eps": 2 * root, "mid": 3 * root, "rec": 4 * root}
    want["noise"] = 2 * root / 2**0.5  # none was there, one of two predicts some
    for name, value in gaps(found).items():
        np.testing.assert_allclose(value, want.pop(name), rtol=1e-6)
    assert not want


# ---- the network


TERMS = (
    "triplet_sils",
    "triplet_ranges",
    "ce_sils",
    "ce_ranges",
    "phase1_id",
    "phase1_noise",
    "phase2_eps",
    "phase2_mid",
    "phase2_rec",
    "phase2_noise",
    "phase3_eps",
    "phase3_mid",
    "phase3_rec",
    "phase3_noise",
)
PARTS = {
    "sils": ("encoders", "sils"),
    "ranges": ("encoders", "ranges"),
    "dis_s": ("dis_sils",),
    "dis_r": ("dis_ranges",),
    "gen": ("gen",),
    "fcs": ("head", "fcs"),
    "necks": ("head", "necks"),
    "unet": ("unets_0",),
    "token": ("token",),
}
# What is trained by what (x). The triplet ends at embeddings, before the BNNecks. Each
# modality's cross-entropy reaches the other's encoder: they share the statistics of
# the BNNecks. All that is denoised comes by way of the generative head, none of it by
# the discriminative ones; what comes out goes to the shared head in phase 1 alone. A
# fixed target takes none of this away: both latents are also what is denoised. (The
# token is in both conditions alike and would cancel in bridging states, were it not
# for the attention.)
TRAINED = """
                sils ranges dis_s dis_r gen fcs necks unet token
triplet_sils     x     x      x     x    .   x    .     .    .
triplet_ranges   x     x      x     x    .   x    .     .    .
ce_sils          x     x      x     x    .   x    x     .    .
ce_ranges        x     x      x     x    .   x    x     .    .
phase1_id        x     x      .     .    x   x    x     x    x
phase1_noise     x     x      .     .    x   .    .     x    x
phase2_eps       x     x      .     .    x   .    .     x    x
phase2_mid       x     x      .     .    x   .    .     x    x
phase2_rec       x     x      .     .    x   .    .     x    x
phase2_noise     x     x      .     .    x   .    .     x    x
phase3_eps       x     x      .     .    x   .    .     x    x
phase3_mid       x     x      .     .    x   .    .     x    x
phase3_rec       x     x      .     .    x   .    .     x    x
phase3_noise     x     x      .     .    x   .    .     x    x
"""


@functools.cache
def gradients(fixed):
    """({part: [gradient of all terms, leaf by leaf]}, total, new state, metrics)."""
    method, params, model_state = started(fixed_targets=fixed, **WEIGHTS)
    batch = make_batch()

    def terms(params):
        total, aux = method.loss(params, model_state, batch, jax.random.key(1))
        found = jnp.stack([aux[1][f"{name}/loss"] for name in TERMS])
        return found, (total, *aux)

    @jax.jit
    def jacobian_of(params):
        # One after the other: XLA 0.10.2 crashes on `jacrev`, which is all at once
        # (grouped convolutions), on a CPU without AVX-512.
        _, back, aux = jax.vjp(terms, params, has_aux=True)
        return jax.lax.map(lambda one: back(one)[0], jnp.eye(len(TERMS))), aux

    jacobian, aux = jacobian_of(params)
    by_part = {}
    for part, path in PARTS.items():
        found = jacobian
        for key in path:
            found = found[key]
        by_part[part] = found
    counted = sum(len(jax.tree.leaves(found)) for found in by_part.values())
    assert counted == len(jax.tree.leaves(params))  # no parameter beside the parts
    return by_part, *jax.device_get(aux)


@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_trained_by_what(fixed):
    by_part, *_ = gradients(fixed)
    header, *lines = TRAINED.split("\n")[1:-1]
    assert header.split() == list(by_part)
    assert [line.split()[0] for line in lines] == list(TERMS)
    for i, line in enumerate(lines):
        term, *cells = line.split()
        for part, cell in zip(by_part, cells, strict=True):
            most = max(np.abs(x[i]).max() for x in jax.tree.leaves(by_part[part]))
            assert np.isfinite(most), (term, part)
            if cell == "x":
                assert most > 1e-6, (term, part)
            else:
                assert most == 0, (term, part)


def test_a_fixed_target_changes_reconstruction_before_the_latents_alone():
    """The values of all terms stay, and the gradients but for those of the two
    reconstructions with respect to what makes the latents."""
    (fixed, *_), (free, *_) = gradients(True), gradients(False)
    for part in PARTS:
        makes_latents = part in ("sils", "ranges", "gen")
        for i, term in enumerate(TERMS):
            a, b = (
                np.concatenate([np.ravel(x[i]) for x in jax.tree.leaves(found[part])])
                for found in (fixed, free)
            )
            apart = np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-9)
            if makes_latents and term.endswith("_rec"):
                assert apart > 0.05, (part, term)
            else:
                assert apart < 1e-3, (part, term)
    for name, value in gradients(True)[3].items():
        assert value == pytest.approx(gradients(False)[3][name], rel=1e-4), name


def test_no_parameter_is_idle():
    """But for the attention's key bias, which moves all scores of a row alike."""
    for part, found in gradients(True)[0].items():
        for path, leaf in jax.tree_util.tree_leaves_with_path(found):
            name = part + jax.tree_util.keystr(path)
            if "['key']['bias']" not in name:
                assert np.abs(leaf).max() > 1e-6, name


def test_total_is_the_weighted_sum_of_its_terms():
    _, total, _, metrics = gradients(True)
    value = {name: float(metrics[f"{name}/loss"]) for name in TERMS}
    assert min(value.values()) > 0

    def discriminative(prefix):
        triplet, ce = (
            sum(float(metrics[f"{prefix}{kind}_{key}/loss"]) for key in SHAPES)
            for kind in ("triplet", "ce")
        )
        return 0.5 * triplet + ce

    assert value["phase1_id"] == pytest.approx(discriminative("phase1_"), rel=1e-5)
    want = discriminative("")
    for name, x in value.items():
        if name.startswith("phase"):
            want += WEIGHTS[f"{name.partition('_')[2]}_weight"] * x
    assert float(total) == pytest.approx(want, rel=1e-5)


def test_phases_leave_the_statistics_of_the_embeddings_alone():
    """What phase 1 sends through the BNNecks is in none of the running means; nor
    does the diffusion change the rest of the loss."""
    _, params, model_state = started(fixed_targets=True, **WEIGHTS)
    method, plain, _ = started(phases=())
    assert set(params) - set(plain) == {"gen", "unets_0", "token"}
    same = {key: params[key] for key in plain}
    loss = jax.jit(method.loss)
    _, (want, values) = loss(same, model_state, make_batch(), jax.random.key(1))
    _, _, got, metrics = gradients(True)
    assert jax.tree.structure(got) == jax.tree.structure(model_state)
    states = map(jax.tree.leaves, (model_state, got, want))
    for old, new, x in zip(*states, strict=True):
        np.testing.assert_allclose(new, x, rtol=1e-5, atol=1e-6)
        assert not np.array_equal(old, new)
    for name, value in values.items():
        assert metrics[name] == pytest.approx(float(value), rel=1e-4), name
    assert not any(name.startswith("phase") for name in values)
    assert set(metrics) - set(values) == {
        *(f"{name}/loss" for name in TERMS if name.startswith("phase")),
        *(f"phase1_{name}" for name in values),
    }
