# %% [markdown]
# # Lesson 2: The intractable integral
#
# Averaging over the prior p(z) is right and useless; a hundred draws from a good q do better.
#
# Lesson 1 computed $p(x) = \int p(x|z) \, p(z) \, dz$ with a grid over $z$. With ten dimensions and
# forty points along each, that grid has $40^{10} \approx 10^{16}$ points. So draw $z$ from $p(z)$
# and average $p(x|z)$. That needs no grid:
#
# $$p(x) = E_{z \sim p(z)} \, p(x|z) \approx \frac{1}{n} \sum_i p(x|z_i)$$
#
# The article says that this is "intractable", for "there are so many $z$'s". Here we measure how
# bad it is. We need a model whose answer is known in any dimension, and take the plainest:
#
# $$z \sim N(0, I), \qquad x = z + \text{noise}, \qquad p(x|z) = N(z, \, 0.1 \, I)$$
#
# Here $p(x) = N(0, \, 1.1 \, I)$. Our $x$ is $\sqrt{1.1}$ in each dimension: as far from 0 as an
# $x$ usually is.

# %%
from math import exp, log, sqrt

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import ncx2

from tinyvae import VAE, bernoulli, data, evaluate, fit, gaussian
from tinyvae.classroom.lesson import (
    check,
    check_at_most,
    check_differs,
    check_less,
    claim,
    say,
    title,
)
from tinyvae.layers import sigmoid
from tinyvae.oracles import (
    LinearGaussian,
    effective_sample_size,
    estimate,
    log_density,
    log_integral,
    log_mean_exp,
    plane_grid,
)

SEED = 2
DRAWS = 100_000
NOISE_VAR = 0.1  # of p(x|z)
OFF = 0.2  # of q in step 6: its mean's error, in standard deviations of the posterior
WIDER = 1.1  # and its standard deviation, in the same unit
LATENT_DIM = 5  # of the VAE in step 7
EPOCHS = 10
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe and Ito

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})


def typical_x(dim):
    return np.full(dim, sqrt(1 + NOISE_VAR))


def model(dim):
    """The oracle, which knows log p(x)."""
    return LinearGaussian(np.eye(dim), np.zeros(dim), NOISE_VAR)


def log_px_given_z(x, z):
    """What is on trial: log p(x|z) by the package.    x (D,), z (S, D)  ->  (S,)"""
    return gaussian.log_density_diagonal(x, z, np.full(len(x), log(NOISE_VAR)))


title("Lesson 2: The intractable integral")

# %% [markdown]
# ## Step 1: it works
#
# 100,000 draws from the prior, in one, two and three dimensions. We look at the average divided by
# the true $p(x)$, which should be 1.
#
# Predict first: what happens to the error bar with each dimension?

# %%
log_ratios = {}  # dim -> log [p(x|z) / p(x)] for each z
for dim in [1, 2, 3, 5, 10, 20, 30, 50]:
    x, z = typical_x(dim), gaussian.sample(np.zeros(dim), np.eye(dim), DRAWS, rng)
    log_ratios[dim] = log_px_given_z(x, z) - model(dim).log_px(x)

claim("2.1", "The average of p(x|z) over z from p(z) is p(x): their ratio is 1")
for dim in [1, 2, 3]:
    check(f"ratio, dim {dim}", estimate(np.exp(log_ratios[dim])), 1)

# %% [markdown]
# ## Step 2: how many z matter
#
# The article says that most $z$ "would not produce messi's news, which means $p(z) = 0$ for most of
# the times". Not quite: $p(z)$ is nowhere 0, and all of our $z$ are drawn from it. It is $p(x|z)$
# that is next to nothing for most of them.
#
# Let us say that $z$ *explains* $x$ if it does at least as well as the average: $p(x|z) \geq p(x)$.
# Those $z$ lie in a ball around $x$. We count them, and compare with the exact share: the squared
# distance from $x$ to $z \sim N(0, I)$ has a known law (SciPy's `ncx2`).
#
# Predict first: the share is 27 % in one dimension. What is it in five? In twenty?


# %%
def share_that_explains(dim):
    """P( p(x|z) >= p(x) ) for z ~ p(z), exactly: z is in a ball around x."""
    x = typical_x(dim)
    log_highest = -dim / 2 * log(2 * np.pi * NOISE_VAR)  # log p(x|z) at z = x
    squared_radius = 2 * NOISE_VAR * (log_highest - model(dim).log_px(x))
    return float(ncx2.cdf(squared_radius, dim, x @ x))


claim("2.2", "The share of z that explain x: counted = exact")
for dim in [1, 2, 3, 5]:
    check(f"dim {dim}", estimate(log_ratios[dim] >= 0), share_that_explains(dim))
say()
for dim in [10, 20, 50]:
    say(f"dim {dim:2}: {share_that_explains(dim):.0e} of all z")

# %% [markdown]
# ## Step 3: the error explodes
#
# The relative error of an average of $n$ draws is $\sqrt{v/n}$, where $v$ is the variance of
# $p(x|z) / p(x)$. For Gaussians the mean of $p(x|z)^2$ is known, and so is $v$. It has the form
# $3.86^k - 1$ in $k$ dimensions: each dimension asks for almost four times the draws.
#
# The *effective sample size* of the draws, $(\sum w)^2 / \sum w^2$ with $w = p(x|z)$, says how many
# of them carry the average.
#
# Predict first: in how many dimensions do 100,000 draws count no more than one?


# %%
def relative_variance(dim):
    """The variance of p(x|z) / p(x), z ~ p(z):  E p(x|z)^2 / p(x)^2 - 1.

    N(x; z, s)^2 = N(x; z, s/2) (4 pi s)^(-1/2) in each dimension, s the noise's variance.
    """
    x, zero = typical_x(dim), np.zeros(dim)
    log_px = gaussian.log_density_diagonal(x, zero, np.full(dim, log(1 + NOISE_VAR)))
    log_mean_square = gaussian.log_density_diagonal(x, zero, np.full(dim, log(1 + NOISE_VAR / 2)))
    log_mean_square = log_mean_square - dim / 2 * log(4 * np.pi * NOISE_VAR)
    return float(np.expm1(log_mean_square - 2 * log_px))


plane, log_area = plane_grid(points_per_axis=200, half_width=6)
log_square = 2 * (model(2).log_px_given_z(typical_x(2), plane) - model(2).log_px(typical_x(2)))
log_prior = log_density(plane, np.zeros(2), np.eye(2))
relative_variance_on_grid = np.expm1(log_integral(log_square + log_prior, log_area))

claim("2.3", "The relative error of the average explodes with the dimension")
say("its variance for a single draw, dim 2")
check("closed form = grid", relative_variance(2), relative_variance_on_grid)
check("drawn = grid", estimate((np.exp(log_ratios[2]) - 1) ** 2), relative_variance_on_grid)
say()
say(f"each dimension multiplies 1 + variance by {1 + relative_variance(1):.2f}")
say()
say(f"{DRAWS:,} draws".rjust(20) + "log p(x)".rjust(12) + "log of the".rjust(14)
    + "effective".rjust(13) + "relative".rjust(15))  # fmt: skip
say(f"{'':20}{'exact':>12}{'average':>14}{'sample size':>13}{'error, exact':>15}")
for dim, log_ratio in log_ratios.items():
    log_px = model(dim).log_px(typical_x(dim))
    size = effective_sample_size(log_ratio)
    error = sqrt(relative_variance(dim) / DRAWS)
    average = log_px + log_mean_exp(log_ratio)
    say(f"{'dim':>17}{dim:3}{log_px:12.2f}{average:14.2f}{size:13.1f}{error:15.2g}")

# %% [markdown]
# Look at the row of 20 dimensions. The average is unbiased: its mean over all runs that could ever
# be made is $p(x)$. That mean lives on the rare run that meets a very good $z$. Almost every other
# run, like ours, comes out far too low. And it does not know: its error bar is made from the very
# draws that missed.
#
# Predict first: how far off is the average below, counted in its own error bars?

# %%
claim("2.4", "In 20 dimensions the average is far off, and its error bar hides it")
check_differs("average / p(x)", estimate(np.exp(log_ratios[20])), 1)
say()
say("relative error: of who always answers 0, and of the average (exact)")
check_less("0, average", 1, sqrt(relative_variance(20) / DRAWS))

# %% [markdown]
# ## Step 4: the logarithm is biased
#
# Training wants $\log p(x)$. The average is unbiased, but its logarithm is not: the logarithm is
# concave, so low averages cost more than high ones gain (Jensen). With $n = 1$ the mean of the
# logarithm is known exactly: it is $E_{p(z)} \log p(x|z)$. Each $n$ below has draws of its own.
#
# Predict first: how many nats are missing with one draw, in two dimensions only?

# %%
x_2 = typical_x(2)
log_px_2 = model(2).log_px(x_2)
log_averages = {}
for n, repeats in [(1, 100_000), (10, 100_000), (100, 20_000), (1000, 2000)]:
    z_fresh = gaussian.sample(np.zeros(2), np.eye(2), repeats * n, rng)
    log_px_given_fresh = log_px_given_z(x_2, z_fresh).reshape(repeats, n)
    log_averages[n] = estimate(log_mean_exp(log_px_given_fresh, axis=1))
mean_of_logs = model(2).expected_log_px_given_z(x_2, np.zeros(2), np.eye(2))

claim("2.5", "The log of the average of n draws is too low on average, by less for more draws")
say(f"dim 2: log p(x) = {log_px_2:.4f}")
check("n = 1", log_averages[1], mean_of_logs)
for n in [10, 100, 1000]:
    check_less(f"n = {n // 10}, {n}", log_averages[n // 10], log_averages[n])
check_at_most("n = 1000, log p(x)", log_averages[1000], log_px_2)
say()
for n, average in log_averages.items():
    say(f"nats missing with {n:4} draws: {log_px_2 - average.mean:.2f}")

# %% [markdown]
# ## Step 5: a q that knows x
#
# The article's way out: build $q(z|x)$, which gives $z$ that are likely to have produced $x$, and
# then "our objective has become $E_{z \sim Q} P(X|z)$". Something is missing there. Take the best
# $q$ of all, the posterior $p(z|x)$ of lesson 1: which $z$ this $x$ probably came from. In 20
# dimensions $E_q p(x|z)$ is known in closed form.
#
# Predict first: is it larger or smaller than $p(x)$? By what factor?

# %%
DIM = 20
x_20 = typical_x(DIM)
log_px_20 = model(DIM).log_px(x_20)
posterior_mean, posterior_cov = model(DIM).posterior(x_20)
posterior_logvar = np.log(np.diag(posterior_cov))

eps = rng.standard_normal((DRAWS, DIM))
z_posterior = gaussian.reparameterize(posterior_mean, posterior_logvar, eps)
log_unweighted = log_px_given_z(x_20, z_posterior) - log_px_20
log_unweighted_exact = (
    log_density(x_20, posterior_mean, posterior_cov + NOISE_VAR * np.eye(DIM)) - log_px_20
)

claim("2.6", "E_q p(x|z) is not p(x), not even for the best q")
check("E_q p(x|z) / p(x)", estimate(np.exp(log_unweighted)), exp(log_unweighted_exact))
check_less("1, E_q p(x|z) / p(x)", 1, estimate(np.exp(log_unweighted)))

# %% [markdown]
# $q$ draws the good $z$ far more often than $p(z)$ does. That has to be paid back: each $z$ counts
# $p(z) / q(z)$ times.
#
# $$p(x) = \int p(x|z) \, [p(z) / q(z)] \, q(z) \, dz = E_{z \sim q} \, p(x|z) \, p(z) / q(z)$$
#
# Draws that count more or less are said to have *importance weights*. This holds for every $q$ that
# is nowhere 0. For the posterior more is true.
#
# Predict first: by Bayes' rule, what is $p(x|z) \, p(z) / p(z|x)$? How many draws does it take?


# %%
def log_weighted(z, mean, logvar):
    """log [ p(x|z) p(z) / q(z) / p(x) ] in 20 dimensions, q = N(mean, diag exp(logvar))."""
    log_p_z = gaussian.log_density_diagonal(z, np.zeros(DIM), np.zeros(DIM))
    log_q = gaussian.log_density_diagonal(z, mean, logvar)
    return log_px_given_z(x_20, z) + log_p_z - log_q - log_px_20


log_weights_posterior = log_weighted(z_posterior[:100], posterior_mean, posterior_logvar)

claim("2.7", "With q the posterior, p(x|z) p(z) / q(z) is p(x) at every single draw")
check("log p(x), 100 draws", log_weights_posterior + log_px_20, log_px_20)

# %% [markdown]
# ## Step 6: a hundred draws
#
# Nobody has the posterior. Take a $q$ that is near it: in each of the 20 dimensions its mean is off
# by a fifth of a standard deviation, and it is 10 % too wide. The variance of its weighted draws is
# known exactly. With $\delta = 0.2$, $\tau = 1.1$ and $k = 20$ it is
#
# $$v = \left[ \tau^2 \, (2 \tau^2 - 1)^{-1/2} \,
# \exp(\delta^2 / (2 \tau^2 - 1)) \right]^k - 1$$
#
# Predict first: how many draws from the prior are as good as 100 from this $q$?

# %%
REPEATS = 4000

q_mean = posterior_mean + OFF * np.exp(posterior_logvar / 2)
q_logvar = posterior_logvar + 2 * log(WIDER)
spread = 2 * WIDER**2 - 1
q_relative_variance_1d = WIDER**2 / sqrt(spread) * exp(OFF**2 / spread)  # plus 1
q_relative_variance = q_relative_variance_1d**DIM - 1

averages = np.array(
    [
        np.exp(log_weighted(gaussian.reparameterize(q_mean, q_logvar, noise), q_mean, q_logvar))
        for noise in rng.standard_normal((REPEATS, 100, DIM))
    ]
).mean(axis=1)
draws_needed = 100 * relative_variance(DIM) / q_relative_variance

claim("2.8", f"100 draws from a q near the posterior do what {draws_needed:.0e} from the prior do")
say(f"{REPEATS} averages of 100 draws each, divided by p(x)")
check("their mean", estimate(averages), 1)
check("their variance", estimate((averages - 1) ** 2), q_relative_variance / 100)
say()
say(f"relative error of 100 draws from q: {sqrt(q_relative_variance / 100):.0%}")
say(f"draws from the prior for the same:  {draws_needed:.0e}")
check_less("draws: q, prior", 100, draws_needed)

# %%
dims = np.arange(1, 51)
error = sqrt(q_relative_variance / 100)  # the relative error that is asked for
prior_needs = np.array([relative_variance(dim) for dim in dims]) / error**2
q_needs = (q_relative_variance_1d**dims - 1) / error**2
power = int(np.log10(prior_needs[DIM - 1]))
times = f"{prior_needs[DIM - 1] / 10**power:.0f} \\times 10^{{{power}}}"
figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
axes.semilogy(dims, prior_needs, color=ORANGE, linewidth=3)
axes.semilogy(dims, q_needs, "--", color=BLUE, linewidth=3)
axes.semilogy(DIM, prior_needs[DIM - 1], "o", color=ORANGE, markersize=11)
axes.semilogy(DIM, q_needs[DIM - 1], "s", color=BLUE, markersize=11)
axes.text(33, 1e23, "from the prior", color=ORANGE, ha="right")
axes.text(42, 2e4, "from a q near the posterior", color=BLUE, ha="center")
axes.set(
    xlabel="dimensions of z",
    ylabel=f"draws for a relative error of {error:.0%}",
    xlim=(0, 51),
)
axes.set_title(
    f"In {DIM} dimensions {q_needs[DIM - 1]:.0f} draws from this q\n"
    f"do the work of ${times}$ draws from the prior",
    weight="bold",
)
plt.show()

# %% [markdown]
# ## Step 7: a real digit
#
# The same with a VAE that has learnt 4,000 handwritten digits of 28 x 28 pixels for a second or
# two. (`fit` trains it by a loss that lesson 3 explains.) Its $z$ has five dimensions, which a
# network, the *decoder*, turns into $p(x|z)$. A second network, the *encoder*, reads $x$ and gives
# $q(z|x)$: the mean and the log-variance of a Gaussian that should be near the posterior.
#
# Given is a 3 that it has never seen. Nobody knows $p(x)$ here, but the weighted average over a
# wide $q$ finds it well: the encoder's $q$ with twice its standard deviation. The share of the
# prior's $z$ that explain the 3 can be found with that $q$, too.
#
# Predict first: of 100,000 $z$ from the prior, how many explain this 3?

# %%
# takes about 5 s
digits = data.load("mnist5k")
x_train = np.asarray(digits.x_train, dtype=np.float64)
vae = VAE.create(784, (64,), LATENT_DIM, rng=rng, dtype=np.float64)
history = fit(vae, x_train, epochs=EPOCHS, learning_rate=3e-3, rng=rng, report=lambda row: None)

x_test = np.asarray(digits.x_test, dtype=np.float64)
three = data.binarize(x_test[digits.y_test == 3][0], rng)


def log_p_three_given(z):
    """log p(x|z) of the 3, a thousand z at a time.    z (S, Z)  ->  (S,)"""
    chunks = np.split(z, len(z) // 1000)
    return np.concatenate([-bernoulli.nll(vae.decode(chunk), three) for chunk in chunks])


z_prior = gaussian.sample(np.zeros(LATENT_DIM), np.eye(LATENT_DIM), DRAWS, rng)
log_p_prior = log_p_three_given(z_prior)

mu, logvar = vae.encode(three[None])
wide_logvar = logvar + 2 * log(2)
wide_eps = rng.standard_normal((DRAWS // 5, 1, LATENT_DIM))
z_wide = gaussian.reparameterize(mu, wide_logvar, wide_eps)[:, 0]
log_p_wide = log_p_three_given(z_wide)
log_weight = gaussian.log_density_diagonal(z_wide, np.zeros(LATENT_DIM), np.zeros(LATENT_DIM))
log_weight = log_weight - gaussian.log_density_diagonal(z_wide, mu, wide_logvar)

log_p_three = log_mean_exp(log_p_wide + log_weight)
explains = log_p_prior >= log_p_three
about = round(int(explains.sum()), -1)

claim("2.9", "Few z from the prior explain a digit: share counted = share weighed with q")
say(f"log p(x) of this 3 is {log_p_three:.1f} nats; about {about} of {DRAWS:,} z explain it")
check("share", estimate(explains), estimate(np.exp(log_weight) * (log_p_wide >= log_p_three)))
say()
say("effective sample size")
prior_size = effective_sample_size(log_p_prior)
wide_size = effective_sample_size(log_p_wide + log_weight)
say(f"{prior_size:7.1f} of {len(z_prior):7,} draws from the prior")
say(f"{wide_size:7.1f} of {len(z_wide):7,} draws from the wide q")

# %%
z_encoder = gaussian.reparameterize(mu, logvar, rng.standard_normal((1000, 1, LATENT_DIM)))[:, 0]
log_p_encoder = log_p_three_given(z_encoder)

figure, panels = plt.subplot_mosaic(
    "xabcdef;hhhhhhh", figsize=(11, 7), height_ratios=[1, 2.8], layout="constrained"
)
pictures = [three, *sigmoid(vae.decode(z_prior[:3])), *sigmoid(vae.decode(z_encoder[:3]))]
names = ["given: x", *["from p(z)"] * 3, *["from q(z|x)"] * 3]
colors = [BLACK, *[ORANGE] * 3, *[BLUE] * 3]
for panel, picture, name, color in zip("xabcdef", pictures, names, colors, strict=True):
    panels[panel].imshow(picture.reshape(digits.image_shape), cmap="gray", vmin=0, vmax=1)
    panels[panel].set_title(name, color=color)
    panels[panel].axis("off")

bins = np.arange(-500, -125, 5)
axes = panels["h"]
axes.hist(log_p_prior, bins, weights=np.full(DRAWS, 1 / DRAWS), color=ORANGE)
axes.hist(
    log_p_encoder, bins, weights=np.full(1000, 1 / 1000), histtype="step", color=BLUE,
    linewidth=3, hatch="//",
)  # fmt: skip
axes.axvline(log_p_three, color=BLACK, linewidth=2)
axes.text(log_p_three - 4, 0.5, "log p(x)", ha="right")
axes.text(-330, 0.03, "z from the prior", color=ORANGE, ha="center")
axes.text(-134, 0.08, "z from\nthe encoder's q", color=BLUE)
axes.set(
    xlabel="log p(x|z) of the 3 (nats)",
    ylabel="share of the z, for each 5 nats",
    yscale="log",
    xlim=(-500, -90),
)
figure.suptitle(f"About {about} of {DRAWS:,} z from the prior explain this 3", weight="bold")
plt.show()

# %% [markdown]
# ## Step 8: the logarithm again
#
# In training we have the encoder's $q$ and few draws. The logarithm of the weighted average is
# biased as in step 4: too low on average, a lower bound. `evaluate.log_likelihood` computes it.
# With one draw its mean has a name of its own, the ELBO (lesson 3, `evaluate.elbo`).
#
# Predict first: how many nats are missing with one draw? Compare with step 4, of two dimensions.

# %%
copies = np.repeat(three[None], 300, axis=0)
elbo = estimate(evaluate.elbo(vae, copies, rng, samples=10))
log_weighted_1 = estimate(
    evaluate.log_likelihood(vae, np.repeat(copies, 5, axis=0), rng, samples=1)
)
log_weighted_100 = estimate(evaluate.log_likelihood(vae, copies, rng, samples=100))

claim("2.10", "With q, the log of a single weighted draw misses log p(x) by little")
check("n = 1, ELBO", log_weighted_1, elbo)
check_less("n = 1, 100", log_weighted_1, log_weighted_100, decimals=2)
check_at_most("n = 100, log p(x)", log_weighted_100, log_p_three, decimals=2)
say(f"nats missing with one draw: {log_p_three - log_weighted_1.mean:.1f}")

# %% [markdown]
# What is left to do is to find a good $q$. We want it near the posterior $p(z|x)$, which nobody
# knows. Lesson 3 shows how to bring it there without knowing it.
#
# ## Try it
#
# Try it: NOISE_VAR = 1
#
# $p(x|z)$ gets wide, so that more $z$ explain an $x$. How many draws does each dimension ask for
# now? Claim 2.4 fails: in 20 dimensions the average is not far off.
#
# Try it: WIDER = 0.8
#
# $q$ gets too narrow, and 2.8 fails: the variance is some 500 times larger, and 4000 averages do
# not show it, for it comes from the rare $z$ that $q$ hardly ever draws. Below $\sqrt{1/2}$ it is
# infinite. Let $q$ be too wide rather than too narrow.
#
# Try it: LATENT_DIM = 20
#
# The VAE has more to say. How many $z$ explain the 3 now?
