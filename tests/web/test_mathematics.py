"""The mathematics of the page in a browser, held against NumPy's; planted mistakes turn it red."""

import numpy as np
import pytest
from scipy.special import logsumexp

from tests.web.helpers import digits_of, packed_of, planted, source, vae_of
from tinyvae import VAE, bernoulli, gaussian
from tinyvae.layers import sigmoid
from tinyvae.optim import Adam
from tinyvae.web import export

VAE_JS = source("vae.js")


def close(a, b, tolerance=1e-12):
    """Whether they agree to tolerance, relative to b where that is above 1"""
    a, b = np.asarray(a, float).ravel(), np.asarray(b, float).ravel()
    assert a.shape == b.shape
    assert np.abs((a - b) / np.maximum(1, np.abs(b))).max() <= tolerance


def random_vae(hidden, activation, data_dim=64, seed=0):
    """A VAE with weights that nothing has trained, none of them zero"""
    rng = np.random.default_rng(seed)
    vae = VAE.create(data_dim, hidden, 2, rng=rng, activation=activation, dtype=np.float64)
    for p in vae.params.values():
        p[...] = 0.5 * rng.standard_normal(p.shape)
    return vae


MODELS = {  # the page's own is trained; the others reach the rest of the code
    "a page of 28 x 28, float16": (random_vae((40,), "tanh", 784), "float16"),
    "two layers, relu": (random_vae((24, 12), "relu"), "float32"),
    "three layers, 35 pixels": (random_vae((7, 5, 3), "tanh", 35), "float32"),
}


def same_as_numpy(evaluate, packed, x, places=200):
    """decode, encode, nll, kl and reparameterize: the page's and NumPy's on the same weights"""
    vae, rng = vae_of(packed), np.random.default_rng(0)
    z, eps = 2 * rng.standard_normal((places, 2)), rng.standard_normal((len(x), 2))
    got = evaluate(
        """([packed, bits, D, z, eps]) => {
            const model = unpackModel(packed), x = unpackImages(bits, D), Z = (v) => v.length / 2;
            const q = encode(model, x), row = (v, n, k) => v.subarray(n * k, n * k + k);
            const logits = decode(model, Float64Array.from(z.flat()));
            const own = reparameterize(q.mu, q.logvar, Float64Array.from(eps.flat()));
            const redrawn = decode(model, own), nlls = [], kls = [];
            for (let n = 0; n < Z(q.mu); n++) {
                nlls.push(nll(row(redrawn, n, D), row(x, n, D)));
                kls.push(kl(row(q.mu, n, 2), row(q.logvar, n, 2)));
            }
            const out = { logits, p: logits.slice(0, 9 * D).map(sigmoid), ...q, z: own, nlls, kls };
            return Object.fromEntries(Object.entries(out).map(([k, v]) => [k, [...v]]));
        }""",
        [packed, export.bits(x), x.shape[1], z.tolist(), eps.tolist()],
    )
    mu, logvar = vae.encode(x)
    own = gaussian.reparameterize(mu, logvar, eps)
    close(got["logits"], vae.decode(z))
    close(got["p"], sigmoid(vae.decode(z[:9])))
    close(got["mu"], mu)
    close(got["logvar"], logvar)
    close(got["z"], own)
    close(got["nlls"], bernoulli.nll(vae.decode(own), x))
    close(got["kls"], gaussian.kl_to_standard_normal(mu, logvar))


def test_page_is_numpy_on_100_digits_and_200_z(script, page_8x8):
    packed = packed_of(page_8x8)
    same_as_numpy(script(VAE_JS), packed, digits_of(packed)[:100])


@pytest.mark.parametrize("name", MODELS)
def test_other_architectures_are_numpy_too(script, name):
    vae, dtype = MODELS[name]
    x = (np.random.default_rng(1).random((100, vae.data_dim)) < 0.3).astype(float)
    packed = export.pack(vae, dtype)
    for key, p in vae_of(packed | {"shape": [vae.data_dim]}).params.items():
        np.testing.assert_array_equal(p, vae.params[key].astype(dtype))
    same_as_numpy(script(VAE_JS), packed, x, places=20)


WRONG = {
    "W transposed": (
        "return linear(x, model.params[`${name}.W`], model.params[`${name}.b`]);",
        """const W = model.params[`${name}.W`], b = model.params[`${name}.b`], O = b.length;
        return linear(x, W.map((_, w) => W[(w % O) * (W.length / O) + Math.floor(w / O)]), b);""",
    ),
    "two rows of W are one": ("x1 * W[w + O + o]", "x1 * W[w + o]"),
    "the last inputs are left out": ("for (; i < n * I + I; i++, w += O)", "for (; i < 0; i++)"),
    "sigma for logvar": ("m + Math.exp(0.5 * logvar[j])", "m + Math.exp(logvar[j])"),
    "1/2 missing in the KL": ("sum += 0.5 * (mu[j] * mu[j]", "sum += (mu[j] * mu[j]"),
    "-1 missing in the KL": ("Math.expm1(logvar[j]) - l", "Math.exp(logvar[j]) - l"),
    "softplus of -a": ("Math.max(a, 0) + Math.log1p", "Math.max(-a, 0) + Math.log1p"),
    "sigmoid of -a": ("1 / (1 + Math.exp(-a))", "1 / (1 + Math.exp(a))"),
    "bits from the wrong end": ("(7 - (d & 7))", "(d & 7)"),
    "big-endian weights": ("view.getFloat32(at, true)", "view.getFloat32(at, false)"),
    "relu for tanh": ("forward: Math.tanh", "forward: (a) => Math.max(a, 0)"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", WRONG)
def test_planted_mistake_is_seen(script, page_8x8, mistake):
    packed = packed_of(page_8x8)
    x = digits_of(packed)[:20]
    vae = random_vae((7,), "tanh")  # 7 inputs: not a multiple of the four that go together
    with pytest.raises(AssertionError):
        evaluate = script(planted(VAE_JS, *WRONG[mistake]))
        same_as_numpy(evaluate, packed, x, places=10)
        same_as_numpy(evaluate, export.pack(vae, "float32"), x, places=10)


@pytest.mark.parametrize(
    "wrong", [("exponent - 15", "exponent - 14"), ("2 ** -24", "2 ** -25"), ("? -1 : 1", "? 1 : 1")]
)
def test_wrong_half_float_is_seen(script, wrong):
    numbers = np.array([1.5, -0.333, 6e-8, -1e-5, 0.0, 65504.0], np.float16)  # two subnormal
    read = "(h) => h.map(halfFloat)"
    bits = numbers.view(np.uint16).tolist()
    close(script(VAE_JS)(read, bits), numbers, 0)
    with pytest.raises(AssertionError):
        close(script(planted(VAE_JS, *wrong))(read, bits), numbers, 0)


# --- training ------------------------------------------------------------------------------------


def gradients_as_numpy(evaluate, vae, beta):
    """lossAndGrads, and three steps of Adam, as in Python on the same weights, digits and noise"""
    rng = np.random.default_rng(3)
    x, eps = (rng.random((9, vae.data_dim)) < 0.4).astype(float), rng.standard_normal((9, 2))
    packed = export.pack(vae, "float32")
    vae = vae_of(packed)
    got = evaluate(
        """([packed, x, eps, beta]) => {
            const flat = (rows) => Float64Array.from(rows.flat()), model = unpackModel(packed);
            const first = lossAndGrads(model, flat(x), flat(eps), beta);
            const plain = (o) => Object.fromEntries(Object.entries(o).map(([k, v]) => [k, [...v]]));
            const adam = createAdam(model.params);
            for (let t = 0; t < 3; t++) {
                const { grads } = lossAndGrads(model, flat(x), flat(eps), beta);
                adamStep(adam, model.params, grads, 0.01);
            }
            return { ...first, grads: plain(first.grads), params: plain(model.params) };
        }""",
        [packed, x.tolist(), eps.tolist(), beta],
    )
    loss, recon, kl, grads = vae.loss_and_grads(x, eps, beta)
    close([got["loss"], got["recon"], got["kl"]], [loss, recon.mean(), kl.mean()])
    assert got["grads"].keys() == grads.keys()
    for name, dp in grads.items():
        close(got["grads"][name], dp)
    adam = Adam(vae.params, 0.01)
    for _ in range(3):
        adam.step(vae.loss_and_grads(x, eps, beta)[3])
    for name, p in vae.params.items():
        close(got["params"][name], p, 1e-9)  # Adam divides by the root of what may be near 0


@pytest.mark.parametrize(
    "hidden, activation", [((16,), "tanh"), ((12, 8), "relu"), ((6, 5), "tanh")]
)
@pytest.mark.parametrize("beta", [0.0, 0.7, 4.0])
def test_gradients_are_those_of_loss_and_grads(script, hidden, activation, beta):
    gradients_as_numpy(script(VAE_JS), random_vae(hidden, activation), beta)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("d + (beta / B) * mu[j]", "d"),
        ("(beta / B) * 0.5 * Math.expm1", "(beta / B) * Math.expm1"),
        ("d * eps[j] * 0.5 * Math.exp(0.5 * logvar[j])", "d * eps[j] * Math.exp(0.5 * logvar[j])"),
        ("d * eps[j] * 0.5 * Math.exp(0.5 * logvar[j])", "d * 0.5 * Math.exp(0.5 * logvar[j])"),
        ("slope: (y) => 1 - y * y", "slope: (y) => 1 - y"),
        ("db[o] += row[o]", "db[o] = row[o]"),
        ("dW[w + o] += xi * row[o]", "dW[w + o] = xi * row[o]"),
        ("(sigmoid(a) - x[i]) / B", "sigmoid(a) - x[i]"),
        ("d + dhLogvar[j]", "d"),
        ("v_scale = 1 / (1 - beta2 ** adam.t)", "v_scale = 1"),
    ],
)
def test_wrong_gradient_is_seen(script, right, wrong):
    with pytest.raises(AssertionError):
        gradients_as_numpy(script(planted(VAE_JS, right, wrong)), random_vae((16,), "tanh"), 0.7)


# --- sums over the plane -------------------------------------------------------------------------


def normal_grid(half, points):
    """points^2 places in a square, and the log of each one's area"""
    line = np.linspace(-half, half, points)
    z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return z, 2 * np.log(line[1] - line[0])


def bound_as_numpy(evaluate, packed, x, half):
    """log p(x), E_q[-log p(x|z)] and the gap, held against a grid twice as fine, and wider

    The gap there is a sum of q (log q - log p(z|x)): nothing is subtracted from anything known.
    """
    vae = vae_of(packed)
    got = evaluate(
        """([packed, bits, D, half]) => {
            const model = unpackModel(packed), x = unpackImages(bits, D);
            const grid = createGrid(half, 0.1);
            while (!fillGrid(model, grid, 7));
            return Array.from({ length: x.length / D }, (_, n) => {
                const own = x.subarray(n * D, n * D + D), q = encode(model, own);
                const { log_px, p } = posterior(model, grid, own);
                let mean = [0, 0], total = 0;
                p.forEach((v, g) => {
                    const z = gridPoint(grid, g);
                    total += v; mean[0] += v * z[0]; mean[1] += v * z[1];
                });
                const recon = expectedNll(model, own, q.mu, q.logvar);
                return [log_px, recon, kl(q.mu, q.logvar), total, ...mean];
            });
        }""",
        [packed, export.bits(x), x.shape[1], half],
    )
    log_px, recon, kl, total, *mean = np.array(got).T
    z, log_area = normal_grid(half + 1, int(40 * (half + 1)) + 1)
    logits = vae.decode(z)
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    log_joint += -0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi) + log_area
    exact = logsumexp(log_joint, axis=1)
    share = np.exp(log_joint - exact[:, None])
    assert np.abs(log_px - exact).max() < 0.002  # nats
    assert np.abs(total - 1).max() < 1e-12
    assert np.abs(np.array(mean).T - share @ z).max() < 0.002

    mu, logvar = vae.encode(x)
    nodes, weights = np.polynomial.hermite_e.hermegauss(24)
    eps = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weight = np.outer(weights, weights).ravel() / (2 * np.pi)
    for n in range(len(x)):
        drawn = mu[n] + np.exp(logvar[n] / 2) * eps
        nlls = bernoulli.nll(vae.decode(drawn), np.tile(x[n], (len(eps), 1)))
        assert abs(recon[n] - weight @ nlls) < 1e-3  # nats

    elbo = -(recon + kl)
    assert (elbo <= log_px).all()
    few = slice(25)
    log_q = -0.5 * ((z - mu[few, None]) ** 2 / np.exp(logvar[few, None]) + logvar[few, None]).sum(
        -1
    )
    log_q += log_area - np.log(2 * np.pi)
    gap = (np.exp(log_q) * (log_q - log_joint[few] + exact[few, None])).sum(axis=1)
    assert (gap >= 0).all()
    assert np.abs(gap - (log_px - elbo)[few]).max() < 0.005


def test_bound_and_gap_are_those_of_a_finer_grid(script, page_8x8):
    packed = packed_of(page_8x8)
    bound_as_numpy(script(VAE_JS), packed, digits_of(packed)[:100], half=4.5)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("- Math.log(2 * Math.PI);\n    grid", ";\n    grid"),
        ("log_prior - sum + 2 * Math.log(cell)", "log_prior - sum + Math.log(cell)"),
        ("log_prior - sum", "log_prior + sum"),
        ("if (logits[a] > 0) sum += logits[a];", ""),
        ("let bx = 0, top", "let bx = 1, top"),
        ("for (let i = 0; i < H; i++) Wx[i]", "for (let i = 1; i < H; i++) Wx[i]"),
        ("p[g] /= total", "p[g] /= p.length"),
        ("[(g % side) * cell - half", "[(g % side) * cell"),
        ("Math.exp(-0.5 * step * step", "Math.exp(-step * step"),
        ("mu[j % 2] + sigma[j % 2] * e", "mu[j % 2] + sigma[0] * e"),
        ("[Math.exp(0.5 * logvar[0])", "[Math.exp(logvar[0])"),
    ],
)
def test_wrong_sum_over_the_plane_is_seen(script, page_8x8, right, wrong):
    packed = packed_of(page_8x8)
    evaluate = script(planted(VAE_JS, right, wrong))
    with pytest.raises(AssertionError):
        bound_as_numpy(evaluate, packed, digits_of(packed)[:5], half=4.5)
