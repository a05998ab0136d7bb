# %% [markdown]
# # Lesson 9: Importance weights
#
# A bound that rises to log p(x) with every weight, and why a better bound can teach worse.
#
# Lessons 2, 3 and 7 weighted each $z$ that $q$ drew:
#
# $$w = p(x|z) \, p(z) / q(z|x), \qquad E_q \, w = p(x)$$
#
# The logarithm of the *average of K weights* has an expectation with a name (Burda, Grosse and
# Salakhutdinov, 2016):
#
# $$L_K = E \log \, [ \frac1K \sum_k w_k ] \leq \log p(x)$$
#
# For $K = 1$ it is the ELBO. Here we see how fast it rises, when it cannot be trusted, what it does
# to training, and which four slips are made most often. Wherever it can be, the truth is exact: in
# the first half the model is that of lesson 2, in 20 dimensions, $q$ a fifth of a standard
# deviation off in each and 10 % too wide.

# %%
from math import exp, log, sqrt

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, plot
from tinyvae.beyond import importance
from tinyvae.classroom.lesson import check, check_differs, check_less, claim, say, title
from tinyvae.oracles import (
    Estimate,
    LinearGaussian,
    complex_step,
    estimate,
    log_density,
    log_integral,
    plane_grid,
    standard_normal_grid,
)
from tinyvae.train import silent

SEED = 9
DIM = 20
OFF = 0.2  # how far q's mean is off, in stds of the posterior
WIDER = 1.1  # q's std, in stds of the posterior
NARROW = 0.5  # q's std in step 3, in stds of the posterior
SAMPLES = 5  # of the training in step 6
EPOCHS = 30  # of the same

rng = np.random.default_rng(SEED)
model = LinearGaussian(np.eye(DIM), np.zeros(DIM), 0.1)
x = np.full(DIM, sqrt(1.1))
posterior_mean, posterior_cov = model.posterior(x)
posterior_std = np.sqrt(np.diag(posterior_cov))
log_px = model.log_px(x)
mu, logvar = posterior_mean + OFF * posterior_std, 2 * np.log(WIDER * posterior_std)


def log_weights(samples, repeats):
    """log w - log p(x) of fresh draws, by the package.    ->  (samples, repeats)"""
    eps = rng.standard_normal((samples, repeats, DIM))
    z = mu + np.exp(logvar / 2) * eps
    recon = -model.log_px_given_z(x, z)
    return importance.log_weights(recon, z, np.tile(logvar, (repeats, 1)), eps) - log_px


title("Lesson 9: Importance weights")

# %% [markdown]
# ## Step 1: the ladder
#
# Fresh draws for each $K$. The first rung is exact: the ELBO's gap is the KL from lesson 4. The
# others are drawn. An average of $w / p(x)$ has the mean 1, so $\bar w - 1$ may be added for free:
# the gap is $E \, [\bar w - 1 - \log \bar w]$, each term of which is positive, with a much smaller
# error.
#
# Predict first: from 1 weight to 10, and from 10 to 100: does the gap halve, or do better?

# %%
kl = 0.5 * DIM * (WIDER**2 - 1 - log(WIDER**2) + OFF**2)
bounds, gaps = {}, {}
for samples, repeats in [(1, 200_000), (5, 40_000), (10, 20_000), (100, 4000), (1000, 400)]:
    log_mean = importance.bound(log_weights(samples, repeats))
    bounds[samples] = log_mean
    gaps[samples] = estimate(np.exp(log_mean) - 1 - log_mean)

claim("9.1", "ELBO = L_1  <  L_5  <  L_10  <  L_100  <  L_1000  <  log p(x)")
say("the gap log p(x) - L_K")
check("gap of L_1, KL", gaps[1], kl)
for more, fewer in [(5, 1), (10, 5), (100, 10), (1000, 100)]:
    check_less(f"K = {more}, {fewer}", gaps[more], gaps[fewer])
check_less("0, K = 1000", 0, gaps[1000])

# %% [markdown]
# ## Step 2: the law of the gap
#
# Let $v$ be the variance of $w / p(x)$. The average of $K$ of them is $1 + \delta$, and $\delta$
# has the variance $v / K$. For large $K$ it is small, and $\log (1 + \delta)$ is about
# $\delta - \delta^2 / 2$. For Gaussians lesson 2 gave
#
# $$v = ( \tau^2 / \sqrt{2 \tau^2 - 1} \; e^{d^2 / (2 \tau^2 - 1)} )^{20} - 1$$
#
# with $\tau = 1.1$ and $d = 0.2$.
#
# Predict first: what are $K$ times the gap, and $K$ times the variance, for large $K$?

# %%
spread = 2 * WIDER**2 - 1
v = (WIDER**2 / sqrt(spread) * exp(OFF**2 / spread)) ** DIM - 1


def times(factor, e):
    return Estimate(factor * e.mean, factor * e.standard_error, e.n)


claim("9.2", "K (log p(x) - L_K) -> v / 2, and K times the variance -> v")
single = np.exp(log_weights(1, 200_000)[0])
check("v", estimate((single - 1) ** 2), v)
say("K times the gap, v / 2, to 3 %")
for samples in [10, 100, 1000]:
    check(f"K = {samples}", times(samples, gaps[samples]), v / 2, tolerance=0.03)
check_differs("K = 1: not yet", gaps[1], v / 2)
say("K times the variance of the log, v, to 3 %")
for samples in [100, 1000]:
    deviations = bounds[samples] - bounds[samples].mean()
    check(f"K = {samples}", times(samples, estimate(deviations**2)), v, tolerance=0.03)

# %%
with plot.style():
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    sizes = np.array(list(gaps))
    axes.loglog(sizes, v / 2 / sizes, "--", color="black", label="$v / 2K$")
    means, errors = ([getattr(g, part) for g in gaps.values()] for part in Estimate._fields[:2])
    axes.errorbar(sizes, means, 2 * np.array(errors), fmt="o", color=plot.COLOURS["blue"],
                  markersize=10, capsize=5, label="drawn, 2 standard errors")  # fmt: skip
    axes.set(xlabel="weights K", ylabel="log p(x) - $L_K$ (nats)")
    axes.legend(frameon=False)
    axes.set_title("Ten times the weights leave a tenth of the gap")
    plt.show()

# %% [markdown]
# ## Step 3: an error bar that is none
#
# All of this needs a finite $v$, that is $2 \tau^2 > 1$: a $q$ whose standard deviation is below
# 0.71 of the posterior's has weights of *infinite* variance. In one dimension, with
# $z = m + \tau s \epsilon$,
#
# $$w / p(x) = \tau \, e^{(1 - \tau^2) \, \epsilon^2 / 2}$$
#
# so $P(w > t)$ falls like $t^{-1/k}$ with $k = 1 - \tau^2$ (but for a logarithm): a Pareto tail.
# From $k = 1/2$ on there is no variance. `pareto_k` estimates $k$ from the largest weights.
#
# We average 1,000 weights, form mean and standard error, and ask how often 1 lies within 2 of them.
# An honest error bar holds it in 95 of 100 runs.
#
# Predict first: with $\tau = 0.5$ the average is still unbiased. How often does its error bar hold?

# %%
claim("9.3", "A narrow q: the average is unbiased, and its error bar is no error bar")
covered, shapes = {}, {}
for tau in [1.1, 0.9, NARROW, 0.3]:
    log_w = log(tau) + (1 - tau**2) * rng.standard_normal((1000, 2000)) ** 2 / 2
    w = np.exp(log_w)
    standard_errors = w.std(axis=0, ddof=1) / sqrt(1000)
    covered[tau] = estimate(np.abs(w.mean(axis=0) - 1) < 2 * standard_errors)
    tails = log(tau) + (1 - tau**2) * rng.standard_normal((20, 20_000)) ** 2 / 2
    shapes[tau] = estimate([importance.pareto_k(tail) for tail in tails])
say("share of error bars that hold the truth")
for tau in [1.1, 0.9]:
    check(f"tau = {tau}", covered[tau], 0.954, tolerance=0.015, decimals=3)
check_less(f"tau = {NARROW}", covered[NARROW], 0.85, decimals=3)
check_less("tau = 0.3", covered[0.3], 0.5, decimals=3)
say()
say("Pareto k-hat: below 1/2 a variance; above 0.7 do not use the average")
check_less("tau = 1.1, 1/2", shapes[1.1], 0.5, decimals=2)
check_less("tau = 0.9, 1/2", shapes[0.9], 0.5, decimals=2)
check_less(f"1/2, tau = {NARROW}", 0.5, shapes[NARROW], decimals=2)
check_less("0.7, tau = 0.3", 0.7, shapes[0.3], decimals=2)

# %% [markdown]
# The runs that miss are all too low: they did not meet the rare huge weight, and without it the
# spread looks small as well. The weights cannot be trusted to say so themselves, but their tail
# can: $\hat k$ comes out somewhat below $1 - \tau^2$ (the logarithm), and warns.
#
# ## Step 4: the bound as a loss
#
# $-L_K$ can be trained on. Its gradient by hand takes one new line: the derivative of
# $\log \frac1K \sum e^{a_k}$ by $a_k$ is the *normalised weight* $w_k / \sum w$. Each draw's
# pathwise gradient counts that much. Against it: the same loss written anew, by the complex step.
#
# Predict first: three draws with weights 8, 1 and 1. Which share of the gradient is the first's?

# %%
vae = VAE.create(4, (3,), 2, rng=rng, dtype=np.float64)
for value in vae.params.values():
    value[...] = rng.normal(0, 0.7, value.shape)
pixels = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
noise = rng.standard_normal((2, SAMPLES, 2))  # for each x, SAMPLES draws of two latents


def loss_anew(p):
    """-L_K, averaged over two x, in plain NumPy with all densities in full."""
    total = 0
    for pixel, eps in zip(pixels, noise, strict=True):
        h = np.tanh(pixel @ p["encoder.0.W"] + p["encoder.0.b"])
        m, s = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
        z = m + np.exp(s / 2) * eps
        logits = np.tanh(z @ p["decoder.0.W"] + p["decoder.0.b"]) @ p["logits.W"] + p["logits.b"]
        log_likelihood = np.sum(pixel * logits - np.log(1 + np.exp(logits)), axis=1)
        log_prior = -0.5 * np.sum(z**2 + log(2 * np.pi), axis=1)
        log_q = -0.5 * np.sum((z - m) ** 2 / np.exp(s) + s + log(2 * np.pi), axis=1)
        total = total - np.log(np.mean(np.exp(log_likelihood + log_prior - log_q))) / 2
    return total


weighted = importance.ImportanceWeighted(vae, SAMPLES)
loss, _, _, grads = weighted.loss_and_grads(pixels, noise.reshape(2, -1))
by_step = {
    name: complex_step(lambda value, name=name: loss_anew(vae.params | {name: value}), at)
    for name, at in vae.params.items()
}

claim("9.4", "The gradient of -L_K: normalised weights times the path = complex step")
check(
    "weights 8, 1, 1", importance.bound_backward(np.ones(1), np.log([[8.0], [1], [1]]))[0, 0], 0.8
)
check("-L_K", loss, loss_anew(vae.params))
for name in ["mu.W", "logvar.W", "decoder.0.W", "logits.b"]:
    check(f"d by {name}", grads[name], by_step[name])

# %% [markdown]
# ## Step 5: a better bound teaches the encoder worse
#
# As $K$ grows the bound depends less and less on $q$: its gradient by $\mu$ falls like $1/K$. The
# noise of that gradient falls like $1 / \sqrt K$ only. So the signal over noise *falls* like
# $1 / \sqrt K$ (Rainforth and others, 2018).
#
# The path to $\mu$ has two parts: $z$ moves in $\log p(x, z)$, and in $-\log q(z)$. With the score
# of $q$ taken out and the weights *squared*,
#
# $$\sum_k v_k^2 \, (d \log w_k / d z_k) \, (d z_k / d \mu), \qquad v_k = w_k / \sum w$$
#
# is the *doubly reparameterised* gradient (Tucker and others, 2019). In one dimension quadrature
# gives the law of both for large $K$, without a draw: mean $\mu_1 / K$ for either, as
# $E \, w^2 \, d \log w / dz$ is the same number with the opposite sign along the path; variance
# $a / K$ for the path.
#
# Predict first: it has the same expectation. Is its signal over noise better by a constant factor,
# or by one that grows with $K$?

# %%
line = LinearGaussian(np.array([[1.0]]), np.zeros(1), 0.5)
x_line = np.array([1.5])
(m,), ((var,),) = line.posterior(x_line)
q_mu, q_std = m + 0.5 * sqrt(var), 1.2 * sqrt(var)


def weights_and_slopes(eps):
    """w / p(x), and d log w / d mu along the path with the score of q and without it."""
    z = q_mu + q_std * eps
    log_w = log(q_std / sqrt(var)) - 0.5 * (z - m) ** 2 / var + 0.5 * eps**2
    path = -(z - m) / var
    return np.exp(log_w), path, path + eps / q_std


nodes, log_node_weights = standard_normal_grid(150, dim=1)
node_weights = np.exp(log_node_weights)
w, path, no_score = weights_and_slopes(nodes[:, 0])
signal = -node_weights @ (w**2 * path)  # K times the gradient of L_K by mu
noise_path = node_weights @ (w * path) ** 2  # K times its variance
noise_doubly = node_weights @ (w**2 * no_score - 2 * signal * w + signal) ** 2  # K^3 times

per_draw = {}  # K -> the two gradients of L_K by mu, one row a repeat
for samples, repeats in [(10, 100_000), (100, 20_000), (1000, 2000)]:
    eps = rng.standard_normal((samples, repeats, 1))
    w, path, no_score = weights_and_slopes(eps[..., 0])
    ones, log_w = np.ones(repeats), np.log(w)
    plain = np.sum(importance.bound_backward(ones, log_w) * path, axis=0)
    q_logvar = np.full((repeats, 1), 2 * log(q_std))
    doubly, _ = importance.without_score(ones, log_w, no_score[..., None], q_logvar, eps)
    per_draw[samples] = plain, doubly[:, 0]

claim("9.5", "Mean and variance of d L_K / d mu: drawn = quadrature, for large K")
check("E w^2 slope, both", signal,
      node_weights @ (weights_and_slopes(nodes[:, 0])[0] ** 2
                      * weights_and_slopes(nodes[:, 0])[2]), tolerance=1e-9)  # fmt: skip
for samples, (plain, doubly) in per_draw.items():
    say(f"K = {samples}")
    check("path - doubly", estimate(plain - doubly), 0)
    check("K mean", times(samples, estimate(doubly)), signal, tolerance=0.1)
    variance = times(samples, estimate((plain - plain.mean()) ** 2))
    check("K var, path", variance, noise_path, tolerance=0.1)
    variance = times(samples**3, estimate((doubly - doubly.mean()) ** 2))
    check("K^3 var, doubly", variance, noise_doubly, tolerance=0.25)

# %%
with plot.style():
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    sizes = np.array(list(per_draw))
    for index, power, noise_of, color, marker, name in [
        (0, -0.5, noise_path, "vermilion", "o", "path"),
        (1, 0.5, noise_doubly, "blue", "s", "doubly reparameterised"),
    ]:
        ratios = [abs(signal) / samples / per_draw[samples][index].std() for samples in sizes]
        axes.loglog(sizes, abs(signal) / sqrt(noise_of) * sizes**power, "--", color="black")
        axes.loglog(sizes, ratios, marker, markersize=11, color=plot.COLOURS[color])
        axes.annotate(name, (sizes[1], ratios[1]), xytext=(10, -22), textcoords="offset points",
                      color=plot.COLOURS[color], weight="bold")  # fmt: skip
    axes.set(xlabel="weights K", ylabel="signal over noise of d $L_K$ / d mu")
    axes.set_title("More weights: the plain gradient drowns in noise, the other rises out of it")
    plt.show()

# %% [markdown]
# The lines are quadrature, the points draws. With one weight the same gradient is called *sticking
# the landing* (Roeder, Wu and Duvenaud, 2017), and then its story is short enough for closed forms.
# Posterior $N(m, s^2)$, $q$ with standard deviation $t s$:
#
# $$\mathrm{path}: \, (t s)^2 / s^4, \qquad \mathrm{no \; score}: \,
# [ 1/s^2 - 1/(t s)^2 ]^2 \, (t s)^2$$
#
# Predict first: at the posterior itself, $t = 1$, what is the variance of either? And for which $t$
# is leaving out the score the worse choice?

# %%
s = 0.3
landing_eps = rng.standard_normal((1, 200_000, 1))
ones = np.ones(200_000)

claim("9.6", "One weight, variance of d ELBO / d mu: drawn = closed form")
for t in [1.0, 1.1, 0.5]:
    z, wide = t * s * landing_eps, np.full((200_000, 1), 2 * log(t * s))
    slope = importance.log_weights_slope(z / s**2 - z, z, wide, landing_eps)
    landing, _ = importance.without_score(ones, np.zeros((1, 200_000)), slope, wide, landing_eps)
    say(f"q's std {t} times the posterior's")
    check("path", estimate((z[0, :, 0] / s**2) ** 2), (t * s) ** 2 / s**4, decimals=4)
    formula = (1 / s**2 - 1 / (t * s) ** 2) ** 2 * (t * s) ** 2
    check("no score", estimate(landing[:, 0] ** 2), formula, decimals=4, tolerance=1e-9)

# %% [markdown]
# At the posterior the gradient without the score is 0 at *every* draw: nothing to learn, and it
# knows. Far from it, at $t = 0.5$, it is nine times as noisy.
#
# ## Step 6: train on it
#
# Two VAEs for the digits, alike but for the loss: the ELBO, and $L_5$ with the doubly
# reparameterised gradient. Both are measured on the test digits by the ELBO, and by $\log p(x)$
# from a grid on the plane.
#
# Predict first: which has the better $\log p(x)$? Whose $q$ is nearer to its posterior?

# %%
# takes about 6 s
digits = data.load("digits")
x_train = np.asarray(digits.x_train, dtype=np.float64)
x_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
plane, log_area = plane_grid(points_per_axis=100, half_width=6)
log_prior = log_density(plane, np.zeros(2), np.eye(2))
by_elbo = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
by_weights = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
by_weights.params = {name: value.copy() for name, value in by_elbo.params.items()}
many = importance.ImportanceWeighted(by_weights, SAMPLES, doubly=True)
for trained in [by_elbo, many]:
    fit(trained, x_train, epochs=EPOCHS, learning_rate=5e-3, rng=rng, report=silent)


def log_px_on_plane(vae):
    """log p(x) of every test digit, by a sum over the plane."""
    logits = vae.decode(plane)
    log_px_given_z = x_test @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_integral(log_px_given_z + log_prior, log_area)


elbos = {vae: evaluate.elbo(vae, x_test, rng, 30) for vae in (by_elbo, by_weights)}
exact = {vae: log_px_on_plane(vae) for vae in (by_elbo, by_weights)}

claim("9.7", f"Trained on L_{SAMPLES}: a better model, whose q is further from its posterior")
say("trained on the ELBO, and on L_K, in the order of the label")
check_less("log p(x): ELBO, L_K", exact[by_elbo].mean(), exact[by_weights].mean(), decimals=2)
gap = {vae: np.mean(exact[vae] - elbos[vae]) for vae in (by_elbo, by_weights)}
check_less("log p(x) - ELBO: ELBO, L_K", gap[by_elbo], gap[by_weights], decimals=2)

# %% [markdown]
# $L_K$ forgives a $q$ that misses: of five draws one will do. So the decoder need not keep its
# posteriors Gaussian, and $q$ need not fit them; the ELBO itself may come out worse. Compare models
# by $\log p(x)$, never an ELBO with an $L_K$.
#
# ## Step 7: four slips
#
# Each of them runs, trains, and prints plausible nats. For many weights each goes to a limit of its
# own, which is known here exactly:
#
# - *mean of logs*, $\frac1K \sum \log w_k$: to the ELBO, where it was
# - *no log K*, $\log \sum w_k$: to $\log p(x) + \log K$
# - *weights not held fixed*: $\sum v_k \log w_k$, handed to a library for derivatives as it
#   stands, is another objective. It goes to $\log p(x) + D[p(z|x) \| q]$
# - *closed-form KL inside*: $\log \frac1K \sum p(x|z_k) - D[q \| p(z)]$ goes to
#   $\log E_q \, p(x|z) - D[q \| p(z)]$
#
# Predict first: which of the four ends above $\log p(x)$, which it claims to bound? Which would a
# test with $K = 1$ have caught?

# %%
samples, repeats = 10_000, 20
eps = rng.standard_normal((samples, repeats, DIM))
z = mu + np.exp(logvar / 2) * eps
log_likelihood = model.log_px_given_z(x, z)
log_w = importance.log_weights(-log_likelihood, z, np.tile(logvar, (repeats, 1)), eps)
right = importance.bound(log_w)
normalised = importance.bound_backward(np.ones(repeats), log_w)
q_cov = np.diag(np.exp(logvar))
log_mean_likelihood = log_density(x, mu, q_cov + 0.1 * np.eye(DIM))  # of E_q p(x|z)
regulariser = model.kl_to_prior(mu, q_cov)
kl_other_way = 0.5 * DIM * ((1 + OFF**2) / WIDER**2 - 1 + log(WIDER**2))

claim("9.8", f"Slips, with {samples:,} weights, and where each is going")
check("right", estimate(right), log_px, tolerance=1e-4, decimals=3)
check("mean of logs", estimate(log_w.mean(axis=0)), log_px - kl, decimals=3)
check("no log K", estimate(right + log(samples)), log_px + log(samples), decimals=3,
      tolerance=1e-4)  # fmt: skip
check("weights not fixed", estimate(np.sum(normalised * log_w, axis=0)), log_px + kl_other_way,
      decimals=3, tolerance=1e-3)  # fmt: skip
check("KL inside", estimate(importance.bound(log_likelihood) - regulariser),
      log_mean_likelihood - regulariser, decimals=3, tolerance=1e-3)  # fmt: skip
say()
check_less("log p(x), no log K", log_px, estimate(right + log(samples)), decimals=3)
check_less("log p(x), not fixed", log_px, estimate(np.sum(normalised * log_w, axis=0)), decimals=3)
check_less("log p(x), KL inside", log_px, log_mean_likelihood - regulariser, decimals=3)

# %% [markdown]
# With $K = 1$ the first three are the ELBO, and the last has its expectation: such a test catches
# none. Test with $K = 5$ or more. A fifth slip is in the reading: *one* $\log \bar w$ may lie above
# $\log p(x)$, only its expectation is a bound. So a table that says "log p(x)" should say "at
# least".
#
# ## Try it
#
# Try it: WIDER = 1.0
#
# $q$ has the right width and only its mean is off. Is the gap larger or smaller? Which row of 9.2
# needs more weights now?
#
# Try it: WIDER = 0.75
#
# Just above the edge of 0.71. Which rows of 9.1 and 9.2 stop to hold, and why?
#
# Try it: SAMPLES = 1
#
# In 9.7 the two losses have the same expectation. Which rows may fail now?
