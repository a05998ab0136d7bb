# %% [markdown]
# # Lesson 3: The evidence lower bound
#
# The one equation that a VAE lives on, both of its sides: exactly, drawn, and on digits.
#
# We want $\log p(x)$ and cannot compute it. We have a $q(z)$ that guesses which $z$ produced this
# $x$. The article relates the two in two lines:
#
# $$D[q \| p(z|x)] = E_q[\log q(z) - \log p(x|z) - \log p(z) + \log p(x)]$$
#
# $$\log p(x) - D[q \| p(z|x)] = E_q[\log p(x|z)] - D[q \| p(z)]$$
#
# Neither is an approximation. To see both of their sides we need a model whose $\log p(x)$ is
# known. A linear decoder makes one:
#
# $$p(z) = N(0, I), \quad p(x|z) = N(W z + b, \sigma^2 I)$$
#
# Here $p(x)$ and $p(z|x)$ are Gaussian, too. `LinearGaussian` writes each of them down in its own
# plainest form. It shares no code with `gaussian`, which is on trial.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, gaussian
from tinyvae.classroom.lesson import check, check_at_most, check_differs, claim, say, title
from tinyvae.oracles import (
    Estimate,
    LinearGaussian,
    central_difference,
    estimate,
    expectation,
    log_density,
    log_integral,
    plane_grid,
)

SEED = 9
DRAWS = 100_000
BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"  # Okabe and Ito

rng = np.random.default_rng(SEED)
model = LinearGaussian.random(data_dim=5, latent_dim=2, rng=rng)
x = model.sample(1, rng)[0][0]  # one x, of 5 numbers

log_px = model.log_px(x)
prior = np.zeros(2), np.eye(2)  # mean, covariance
posterior = posterior_mean, posterior_cov = model.posterior(x)

qs = {
    "far off": (np.array([2.0, -1.0]), np.array([[0.5, -0.2], [-0.2, 0.3]])),
    "the prior": prior,
    "too narrow": (posterior_mean, 0.1 * posterior_cov),
    "close": (posterior_mean + 0.2, np.diag(np.diag(posterior_cov))),
    "the posterior": posterior,
}

title("Lesson 3: The evidence lower bound")
say()
say(f"One x from a linear-Gaussian model: log p(x) = {log_px:.6f} nats")

# %% [markdown]
# ## Step 1: four terms
#
# Bayes' rule turns the posterior, which nobody knows in general, into densities that we have:
#
# $$\log q(z) - \log p(z|x) = \log q(z) - \log p(x|z) - \log p(z) + \log p(x)$$
#
# The mean over $z$ from $q$ of the left side is the KL. On the right, each term has its own mean.
# It is known exactly, and it can be drawn: take many $z$ from $q$ and average.
#
# Predict first: which of the four terms needs no draws at all?

# %%
q = qs["close"]
z = gaussian.sample(*q, DRAWS, rng)  # (S, 2)
log_q = gaussian.log_density(z, *q)
log_px_given_z = model.log_px_given_z(x, z)
log_prior = gaussian.log_density(z, *prior)


def mean_log_density(p, q):
    """E_q log p(z) for Gaussians p and q, each a mean and a covariance: exact."""
    return expectation(lambda z: log_density(z, *p), *q)


claim("3.1", "The four terms, for the q that is close: exact = drawn")
check("E_q log q(z)", -gaussian.entropy(q[1]), estimate(log_q))
check("E_q log p(x|z)", model.expected_log_px_given_z(x, *q), estimate(log_px_given_z))
check("E_q log p(z)", mean_log_density(prior, q), estimate(log_prior))
check("log p(x), at every z", log_px, log_px_given_z + log_prior - log_density(z, *posterior))

# %% [markdown]
# ## Step 2: their sum is the KL, for every q
#
# On the left the closed form for two Gaussians, which lesson 4 takes apart. On the right the four
# terms.
#
# Predict first: the error of the drawn ones differs from $q$ to $q$. Where is it smallest?

# %%
gap = {name: gaussian.kl(*q, *posterior) for name, q in qs.items()}

claim("3.2", "KL(q || p(z|x))  =  E_q[log q(z) - log p(x|z) - log p(z) + log p(x)]")
say("exactly")
for name, q in qs.items():
    mean_log_px_given_z = model.expected_log_px_given_z(x, *q)
    first_and_third = mean_log_density(q, q) - mean_log_density(prior, q)
    check(name, gap[name], first_and_third - mean_log_px_given_z + log_px)
say()
say("drawn")
for name, q in qs.items():
    z = gaussian.sample(*q, DRAWS, rng)
    log_q, log_prior = gaussian.log_density(z, *q), gaussian.log_density(z, *prior)
    check(name, gap[name], estimate(log_q - model.log_px_given_z(x, z) - log_prior + log_px))

# %% [markdown]
# For the posterior there is no error. There, $\log q(z) - \log p(x|z) - \log p(z)$ is the same
# number at every $z$, namely $-\log p(x)$: one draw would do.
#
# ## Step 3: the identity
#
# The KL to the posterior goes to the left, where nobody can compute it. What remains on the right
# can be computed, and has a name, the *evidence lower bound* (ELBO):
#
# $$\log p(x) - D[q \| p(z|x)] = E_q[\log p(x|z)] - D[q \| p(z)]$$
#
# Predict first: you move $q$. Which of these four terms stays the same?

# %%
regulariser = {name: gaussian.kl(*q, *prior) for name, q in qs.items()}
elbo = {name: model.expected_log_px_given_z(x, *q) - regulariser[name] for name, q in qs.items()}

claim("3.3", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))")
say("exactly")
for name in qs:
    check(name, log_px - gap[name], elbo[name])
say()
say("E_q[log p(x|z)] drawn, as in training")
for name, q in qs.items():
    z = gaussian.sample(*q, DRAWS, rng)
    check(name, log_px - gap[name], estimate(model.log_px_given_z(x, z) - regulariser[name]))

# %% [markdown]
# ## Step 4: two different KLs
#
# Both are called "the KL term" in conversation. The *gap* $D[q \| p(z|x)]$ says how far $q$ is from
# the truth; in a VAE nobody can compute it. The *regulariser* $D[q \| p(z)]$ says how far $q$ is
# from the prior; it is the KL in every VAE's loss.
#
# Predict first: for which of the five $q$ is the one zero, and for which the other?

# %%
claim("3.4", "The gap KL(q || p(z|x)) is not the regulariser KL(q || p(z))")
for name in qs:
    check_differs(name, gap[name], regulariser[name])
say()
check("gap of the posterior", gap["the posterior"], 0)
check("regulariser of the prior", regulariser["the prior"], 0)

# %% [markdown]
# ## Step 5: a lower bound, and where it is tight
#
# The gap is never negative, so the ELBO is never above $\log p(x)$. Dropping the gap is the only
# inequality in the whole story.
#
# The logarithm must stay inside the mean. Write $w = p(x|z) \, p(z) / q(z)$. The mean of $w$ is
# $p(x)$ for every $q$, so $\log E_q[w]$ is no bound: it is the thing itself. The ELBO is
# $E_q[\log w]$.
#
# Predict first: if $q$ is the posterior, what is the spread of $w$?

# %%
claim("3.5", "ELBO  <=  log p(x), and equal for the posterior alone")
for name in qs:
    check_at_most(name, elbo[name], log_px)

random_means = rng.normal(posterior_mean, 0.5, size=(1000, 2))
random_roots = rng.normal(0, 0.5, size=(1000, 2, 2))
random_covs = random_roots @ np.swapaxes(random_roots, 1, 2) + 0.01 * np.eye(2)
random_elbos = model.expected_log_px_given_z(x, random_means, random_covs)
random_elbos = random_elbos - gaussian.kl(random_means, random_covs, *prior)
check_at_most("the best of 1000 random q", random_elbos.max(), log_px)
check("the posterior: tight", elbo["the posterior"], log_px)

q = qs["close"]
z = gaussian.sample(*q, DRAWS, rng)
log_w = model.log_px_given_z(x, z) + gaussian.log_density(z, *prior) - gaussian.log_density(z, *q)
say()
say("log inside the mean, and outside, for the q that is close")
check("E_q[log w] = ELBO", elbo["close"], estimate(log_w))
check("E_q[w] / p(x) = 1", 1, estimate(np.exp(log_w - log_px)))
check_differs("E_q[log w], log E_q[w]", estimate(log_w), log_px)

# %% [markdown]
# ## Step 6: which way is up
#
# The article says that the objective "can be described as maximizing KL-divergence of $Q(z|X)$ and
# $P(z|X)$", "by minimizing RHS terms". The signs got turned. Both *sides* are maximised. $\log
# p(x)$ does not move with $q$, so what the ELBO gains, the gap loses: the KL to the posterior is
# *minimised*. And the KL to the prior is *penalised*: it is subtracted from what is maximised.
#
# Start at the prior's mean and follow the slope of the ELBO, first up, then down.
#
# Predict first: where does the climber end? And where the one who goes down?


# %%
def elbo_at(mean):
    likelihood = model.expected_log_px_given_z(x, mean, posterior_cov)
    return likelihood - gaussian.kl(mean, posterior_cov, *prior)


def gap_at(mean):
    return gaussian.kl(mean, posterior_cov, *posterior)


start = up = down = np.zeros(2)
for _ in range(10):
    up = up + 0.05 * central_difference(elbo_at, up)
    down = down - 0.05 * central_difference(elbo_at, down)

claim("3.6", "Up the ELBO is down the gap: their sum is log p(x) all the way")
check("at the start", log_px, elbo_at(start) + gap_at(start))
check("10 steps up", log_px, elbo_at(up) + gap_at(up))
check("10 steps down", log_px, elbo_at(down) + gap_at(down))
say()
say("the gap shrinks for who maximises, and grows for who minimises")
check_at_most("10 steps up, start", gap_at(up), gap_at(start), decimals=4)
check_at_most("start, 10 steps down", gap_at(start), gap_at(down), decimals=4)

# %% [markdown]
# ## The four terms as q moves
#
# The mean of $q$ moves along the line through the prior's mean (at 0) and the posterior's (at 1).
# Its covariance is the posterior's.
#
# Predict first: the likelihood term is best beyond 1. Why?

# %%
where = np.linspace(-0.4, 2.2, 105)
means = where[:, None] * posterior_mean
likelihoods = model.expected_log_px_given_z(x, means, posterior_cov)
regularisers = gaussian.kl(means, posterior_cov, *prior)
gaps = gaussian.kl(means, posterior_cov, *posterior)

plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.5), sharey=True, layout="constrained")
left.axhline(log_px, color=BLACK, linestyle="--")
left.fill_between(where, log_px - gaps, log_px, color=ORANGE, alpha=0.35, hatch="//")
left.text(2.2, log_px + 0.3, "log p(x)", ha="right")
left.text(-0.37, log_px - 2.2, "the gap\nKL(q || p(z|x))")
right.plot(where, likelihoods, color=GREEN, linestyle="-.", linewidth=2.5)
right.fill_between(where, likelihoods - regularisers, likelihoods, color=BLUE, alpha=0.35)
right.text(0.85, log_px + 2.3, "E_q[log p(x|z)]", ha="right")
right.text(1.22, log_px + 0.1, "KL(q || p(z))\nthe regulariser")
for axes, elbos in ((left, log_px - gaps), (right, likelihoods - regularisers)):
    axes.plot(where, elbos, color=BLACK, linewidth=3.5)
    axes.plot(1, log_px, "o", color=BLACK, markersize=10)
    axes.text(1, log_px - 1.3, "ELBO", ha="center")
    axes.set_xlabel("mean of q (0: the prior's, 1: the posterior's)")
left.set_title("log p(x) - KL(q || p(z|x))")
right.set_title("E_q[log p(x|z)] - KL(q || p(z))")
left.set_ylabel("nats")
figure.suptitle(
    "Both sides are the ELBO: it touches log p(x) where q is the posterior", weight="bold"
)
plt.show()

# %% [markdown]
# ## Step 7: a VAE, where nothing is exact
#
# A small VAE learns 1,500 digits of 8 x 8 pixels, black or white, in a second. Its decoder is a
# network, which nobody can integrate. But $z$ has two dimensions only, so we can lay a grid over
# the plane and sum. That takes the decoder alone: no $q$, no encoder, no random number. The other
# way takes draws from $q$ and averages the importance weights $p(x|z) \, p(z) / q(z|x)$.
#
# Predict first: how far apart will the two be, in nats?

# %%
EPOCHS = 60

digits = data.load("digits")
vae = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
x_train = np.asarray(digits.x_train, dtype=np.float64)
history = fit(vae, x_train, epochs=EPOCHS, learning_rate=3e-3, rng=rng, report=lambda epoch: None)
x_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
shown = {f"a {digits.y_test[n]}": n for n in range(5)}


def log_joint(x, z):
    """log p(x|z) + log p(z), for every row of x and of z: (N, 64), (G, 2) -> (N, G)"""
    logits = vae.decode(z)
    log_px_given_z = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_px_given_z + log_density(z, *prior)


plane, log_area = plane_grid(points_per_axis=100, half_width=6)
log_joint_plane = log_joint(x_test, plane)  # (N, G)
log_px_test = log_integral(log_joint_plane, log_area)  # (N,)

finer_plane, finer_log_area = plane_grid(points_per_axis=200, half_width=6)
log_px_finer = log_integral(log_joint(x_test[:5], finer_plane), finer_log_area)

claim("3.7", "log p(x) of five test digits: a grid on the plane = importance weights")
say(f"after {EPOCHS} epochs, ELBO {history[-1]['elbo']:.2f} nats a digit of the training set")
say()
weighted = {}
for name, n in shown.items():
    copies = np.repeat(x_test[n : n + 1], 20, axis=0)
    weighted[name] = estimate(evaluate.log_likelihood(vae, copies, rng, samples=1000))
    check(name, log_px_test[n], weighted[name], decimals=4)
say()
say("a grid of 10,000 points = one of 40,000")
check("all five", log_px_test[:5], log_px_finer, tolerance=1e-6)

# %% [markdown]
# ## Step 8: the identity again
#
# Bayes' rule on the grid gives the posterior of each digit, and sums over the grid give both KLs.
# On the right is what `fit` maximised.
#
# Predict first: this $q$ is no posterior, and the model is no Gaussian. Does the identity care?

# %%
mu, logvar = vae.encode(x_test)  # (N, 2)
q_test = [(mu[n], np.diag(np.exp(logvar[n]))) for n in range(len(mu))]
log_q_plane = np.array([log_density(plane, *q) for q in q_test])  # (N, G)
log_posterior_plane = log_joint_plane - log_px_test[:, None]
log_prior_plane = log_density(plane, *prior)
share = np.exp(log_q_plane + log_area)  # of q in each cell of the grid
gap_test = np.sum(share * (log_q_plane - log_posterior_plane), axis=1)
regulariser_test = np.sum(share * (log_q_plane - log_prior_plane), axis=1)

claim("3.8", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z)), on digits")
drawn = {}
for name, n in shown.items():
    copies = np.repeat(x_test[n : n + 1], 1000, axis=0)
    drawn[name] = estimate(evaluate.elbo(vae, copies, rng, samples=10))
    check(name, log_px_test[n] - gap_test[n], drawn[name], decimals=4)
mean_elbos = [evaluate.elbo(vae, x_test, rng).mean() for _ in range(200)]
check("mean of all 297", np.mean(log_px_test - gap_test), estimate(mean_elbos), decimals=4)
say()
say("KL(q || p(z)): the sum over the grid = the closed form in the loss")
regulariser_loss = gaussian.kl_to_standard_normal(mu, logvar)
check("all 297", regulariser_test, regulariser_loss, tolerance=1e-6)
check("their mean", regulariser_test.mean(), regulariser_loss.mean(), tolerance=1e-6, decimals=4)

# %% [markdown]
# ## Step 9: what the bound costs
#
# `fit` never saw the gap, and made it small all the same: it is what the ELBO lacks.
#
# Predict first: by how many nats does the encoder miss the posterior? Much or little, next to the
# regulariser?

# %%
claim("3.9", "The gap: KL(q || p(z|x)) on the grid  =  log p(x) - ELBO, both drawn")
for name, n in shown.items():
    above, below = weighted[name], drawn[name]
    error = np.hypot(above.standard_error, below.standard_error)
    check(name, gap_test[n], Estimate(above.mean - below.mean, error, above.n), decimals=4)
say()
check_at_most("0, the smallest of 297", 0, gap_test.min(), decimals=4)
check_differs("mean gap, regulariser", gap_test.mean(), regulariser_test.mean(), decimals=4)

# %% [markdown]
# ## Try it
#
# - Train longer: `EPOCHS = 400`. The ELBO rises, and so does the gap. What is raised is the sum
#   $\log p(x)$ - gap: a better decoder may have posteriors that fit a diagonal Gaussian less well.
# - Make $q$ too narrow in the figure: write `0.1 * posterior_cov` for its covariance in all three
#   lines. By how much does the ELBO miss $\log p(x)$ at its best? Look for that number in step 4.
# - Give the VAE three latent dimensions. Which of the two ways to $\log p(x)$ is left?
