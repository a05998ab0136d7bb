# %% [markdown]
# # Lesson 3: The evidence lower bound
#
# The one equation that a VAE lives on, both of its sides: exactly, drawn, and on digits.
#
# We want $\log p(x)$ and cannot compute it. We have a $q(z)$ that guesses which $z$ produced this
# $x$: a guess at the posterior $p(z|x)$. The article relates the two in two lines,
#
# $$\mathrm{KL}(q \| p(z|x)) = E_q[\log q(z) - \log p(x|z) - \log p(z) + \log p(x)]$$
#
# $$\log p(x) - \mathrm{KL}(q \| p(z|x)) = E_q[\log p(x|z)] - \mathrm{KL}(q \| p(z))$$
#
# where $E_q$ is the mean over $z$ drawn from $q$, and KL the Kullback-Leibler divergence of step 1
# (the article writes $D$). Neither line is an approximation. To see both of their sides we need a
# model whose $\log p(x)$ is known. A linear decoder makes one:
#
# $$p(z) = N(0, I), \quad p(x|z) = N(W z + b, \sigma^2 I)$$
#
# Here $p(x)$ and $p(z|x)$ are Gaussian, too. `LinearGaussian` writes each of them down in its own
# plainest form. It shares no code with `tinyvae.gaussian`, whose functions are tested here.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, gaussian
from tinyvae.classroom.lesson import (
    check,
    check_at_most,
    check_differs,
    check_less,
    claim,
    say,
    title,
)
from tinyvae.oracles import (
    LinearGaussian,
    central_difference,
    cubature,
    estimate,
    expectation,
    log_density,
    log_integral,
    plane_grid,
)

SEED = 3
DRAWS = 100_000
NARROW = 1.0  # the covariance of q in the figure, in units of the posterior's
EPOCHS = 60  # of the VAE
LATENT_DIM = 2  # of the linear model
BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"  # Okabe and Ito

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})
model = LinearGaussian.random(data_dim=5, latent_dim=LATENT_DIM, rng=rng)
x = model.sample(1, rng)[0][0]  # one x, of 5 numbers

log_px = model.log_px(x)
prior = np.zeros(LATENT_DIM), np.eye(LATENT_DIM)  # mean, covariance
posterior = posterior_mean, posterior_cov = model.posterior(x)

title("Lesson 3: The evidence lower bound")
say()
say(f"One x from a linear-Gaussian model: log p(x) = {log_px:.6f} nats")

# %% [markdown]
# ## Step 1: a KL is never negative
#
# $$\mathrm{KL}(q \| p) = E_q[\log q(z) - \log p(z)]$$
#
# is a mean of a difference that may have either sign. Write $w = p(z) / q(z)$. Then the mean of
# $w$ under $q$ is $\int p(z) dz$, and the KL is $E_q[-\log w]$.
#
# Predict first: the logarithm is concave, so the mean of logarithms is at most the logarithm of
# the mean. What follows for the KL?

# %%
q = posterior_mean + 0.3, 1.5 * posterior_cov
z = gaussian.sample(*q, DRAWS, rng)  # (S, Z)
log_w = log_density(z, *posterior) - gaussian.log_density(z, *q)

random_means = rng.normal(posterior_mean, 0.5, size=(1000, LATENT_DIM))
random_roots = rng.normal(0, 0.5, size=(1000, LATENT_DIM, LATENT_DIM))
random_covs = random_roots @ np.swapaxes(random_roots, 1, 2) + 0.01 * np.eye(LATENT_DIM)
random_gaps = gaussian.kl(random_means, random_covs, *posterior)
kl_by_cubature = [
    cubature.gaussian_kl(mean, cov, *posterior)
    for mean, cov in zip(random_means[:100], random_covs[:100], strict=True)
]

claim("3.1", "KL(q || p)  =  E_q[-log w]  >=  -log E_q[w]  =  -log 1  =  0")
check("E_q[w]", estimate(np.exp(log_w)), 1)
check("E_q[-log w] = KL", estimate(-log_w), gaussian.kl(*q, *posterior))
check_less("0, E_q[-log w]", 0, estimate(-log_w))
check("100 random q, cubature", random_gaps[:100], kl_by_cubature, tolerance=1e-9)
check_less("0, lowest of 1000", 0, random_gaps.min())

# %% [markdown]
# Only where $w$ is 1 everywhere, so that $q = p$, is the KL 0.
#
# ## Step 2: the identity, seen
#
# Bring the KL to the posterior to the other side of the first line. What remains on the right can
# be computed without the posterior:
#
# $$\log p(x) - \mathrm{KL}(q \| p(z|x)) = E_q[\log p(x|z)] - \mathrm{KL}(q \| p(z))$$
#
# Let $q$ move along the line through the prior's mean (at 0) and the posterior's mean (at 1).
#
# Predict first: where is the likelihood term $E_q[\log p(x|z)]$ best: at 0, at 1, or beyond?

# %%
where = np.linspace(-0.4, 2.2, 261)
means = where[:, None] * posterior_mean
cov = NARROW * posterior_cov
likelihoods = model.expected_log_px_given_z(x, means, cov)
regularisers = np.array([cubature.gaussian_kl(mean, cov, *prior) for mean in means])
gaps = gaussian.kl(means, cov, *posterior)
best_likelihood, best_elbo = where[np.argmax(likelihoods)], where[np.argmax(log_px - gaps)]

claim("3.2", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z)), q moving")
check("261 places", log_px - gaps, likelihoods - regularisers)
check_less("1, best likelihood", 1, best_likelihood, decimals=2)
check("both terms: best at 1", best_elbo, 1, decimals=2)

# %% [markdown]
# The likelihood asks for the $z$ that explains $x$ best, and knows no prior. The posterior is a
# compromise with the prior, which pulls towards 0. So the likelihood alone would go too far.

# %%
lowest_gap = gaps.min()
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5.5), sharey=True, layout="constrained")
left.axhline(log_px, color=BLACK, linestyle="--")
left.fill_between(where, log_px - gaps, log_px, color=ORANGE, alpha=0.35, hatch="//")
left.text(2.2, log_px + 0.3, "log p(x)", ha="right")
left.text(-0.37, log_px, "the gap\nKL(q || p(z|x))", va="top", fontsize=12)
right.plot(where, likelihoods, color=GREEN, linestyle="-.", linewidth=2.5)
right.fill_between(where, likelihoods - regularisers, likelihoods, color=BLUE, alpha=0.35)
right.text(1, likelihoods.max() - 0.2, "$E_q$[log p(x|z)]", ha="center", va="top")
right.text(1, log_px + 0.3, "KL(q || p(z))\nthe regulariser", ha="center")
for axes, elbos in ((left, log_px - gaps), (right, likelihoods - regularisers)):
    axes.plot(where, elbos, color=BLACK, linewidth=3.5)
    axes.plot(best_elbo, log_px - lowest_gap, "o", color=BLACK, markersize=10)
    axes.text(best_elbo, log_px - lowest_gap - 0.5, "ELBO", ha="center", va="top")
    axes.set_xlabel("mean of q (0: the prior's, 1: the posterior's)")
left.set_title("log p(x) - KL(q || p(z|x))")
right.set_title("$E_q$[log p(x|z)] - KL(q || p(z))")
left.set_ylabel("nats")
touches = "it touches log p(x) where q is the posterior"
misses = f"at its best it misses log p(x) by {lowest_gap:.2f} nats"
figure.suptitle(
    f"Both sides are the ELBO: {touches if lowest_gap < 1e-9 else misses}", weight="bold"
)
plt.show()

# %% [markdown]
# Each side is the *evidence lower bound*, the ELBO. ("Evidence" is another name of $p(x)$.)
#
# ## Step 3: four terms
#
# Where does it come from? Bayes' rule turns the posterior, which nobody knows in general, into
# densities that we have:
#
# $$\log q(z) - \log p(z|x) = \log q(z) - \log p(x|z) - \log p(z) + \log p(x)$$
#
# The mean over $z$ from $q$ of the left side is the KL. On the right, each term has its own mean.
# It is known exactly, and it can be drawn: take many $z$ from $q$ and average.
#
# Predict first: which of the four terms needs no draws at all?

# %%
qs = {
    "far off": (posterior_mean + 2.0, np.eye(LATENT_DIM)),
    "the prior": prior,
    "too narrow": (posterior_mean, 0.1 * posterior_cov),
    "close": (posterior_mean + 0.2, np.diag(np.diag(posterior_cov))),
    "the posterior": posterior,
}
q = qs["close"]
z = gaussian.sample(*q, DRAWS, rng)
log_q = gaussian.log_density(z, *q)
log_px_given_z = model.log_px_given_z(x, z)
log_prior = gaussian.log_density(z, *prior)


def mean_log_density(p, q):
    """E_q log p(z) for Gaussians p and q, each a mean and a covariance: exact."""
    return expectation(lambda z: log_density(z, *p), *q)


claim("3.3", "The four terms, for a q that is close to the posterior: exact = drawn")
check("E_q log q(z)", -gaussian.entropy(q[1]), estimate(log_q))
check("E_q log p(x|z)", model.expected_log_px_given_z(x, *q), estimate(log_px_given_z))
check("E_q log p(z)", mean_log_density(prior, q), estimate(log_prior))
bayes = log_px_given_z + log_prior - log_density(z, *posterior)
check("log p(x), at every z", log_px, bayes, tolerance=1e-10)

# %% [markdown]
# ## Step 4: their sum is the KL, for every q
#
# Five different $q$. On the left the closed form for two Gaussians, which lesson 4 takes apart. On
# the right the mean of the four terms, drawn.
#
# Predict first: the error bar differs from $q$ to $q$. Where is it smallest?

# %%
gap = {name: gaussian.kl(*q, *posterior) for name, q in qs.items()}
four_terms = {
    name: mean_log_density(q, q)
    - model.expected_log_px_given_z(x, *q)
    - mean_log_density(prior, q)
    + log_px
    for name, q in qs.items()
}

claim("3.4", "KL(q || p(z|x))  =  E_q[log q(z) - log p(x|z) - log p(z) + log p(x)]")
check("exactly, all five", list(gap.values()), list(four_terms.values()), tolerance=1e-10)
for name, q in qs.items():
    z = gaussian.sample(*q, DRAWS, rng)
    log_q, log_prior = gaussian.log_density(z, *q), gaussian.log_density(z, *prior)
    drawn = estimate(log_q - model.log_px_given_z(x, z) - log_prior + log_px)
    check(name, gap[name], drawn, tolerance=1e-10)

# %% [markdown]
# For the posterior there is no error. There, $\log q(z) - \log p(x|z) - \log p(z)$ is the same
# number at every $z$, namely $-\log p(x)$: one draw would do.
#
# ## Step 5: the identity, for five q
#
# $$\log p(x) - \mathrm{KL}(q \| p(z|x)) = E_q[\log p(x|z)] - \mathrm{KL}(q \| p(z))$$
#
# Predict first: you change $q$. Which of these four terms stays the same?

# %%
regulariser = {name: cubature.gaussian_kl(*q, *prior) for name, q in qs.items()}
elbo = {name: model.expected_log_px_given_z(x, *q) - regulariser[name] for name, q in qs.items()}

claim("3.5", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))")
say("exactly; the left KL by the package, the right one by cubature")
check("all five", [log_px - gap[name] for name in qs], list(elbo.values()), tolerance=1e-10)
say()
say("E_q[log p(x|z)] drawn, as in training")
for name, q in qs.items():
    z = gaussian.sample(*q, DRAWS, rng)
    check(name, log_px - gap[name], estimate(model.log_px_given_z(x, z) - regulariser[name]))

# %% [markdown]
# ## Step 6: two different KLs
#
# Both are called "the KL term" in conversation. The *gap* $\mathrm{KL}(q \| p(z|x))$ says how far
# $q$ is from the truth; in a VAE nobody can compute it. The *regulariser*
# $\mathrm{KL}(q \| p(z))$ says how far $q$ is from the prior; it is the KL in every VAE's loss.
#
# Predict first: for which of the five $q$ is the one zero, and for which the other?

# %%
claim("3.6", "The gap KL(q || p(z|x)) is not the regulariser KL(q || p(z))")
for name in qs:
    check_differs(name, gap[name], regulariser[name])
say()
check("posterior: the gap", gap["the posterior"], 0)
check("prior: the regulariser", gaussian.kl(*qs["the prior"], *prior), 0)

# %% [markdown]
# ## Step 7: a lower bound, and where it is tight
#
# The gap is a KL, so it is never negative, and the ELBO is never above $\log p(x)$. Dropping the
# gap is the only inequality in the whole story.
#
# The logarithm must stay inside the mean. Write $w = p(x|z) \, p(z) / q(z)$. The mean of $w$ is
# $p(x)$ for every $q$, so $\log E_q[w]$ is no bound: it is the thing itself. The ELBO is
# $E_q[\log w]$.
#
# Predict first: if $q$ is the posterior, what is the spread of $w$?

# %%
random_elbos = model.expected_log_px_given_z(x, random_means, random_covs)
random_elbos = random_elbos - gaussian.kl(random_means, random_covs, *prior)


def log_weights(q):
    """log w = log p(x|z) + log p(z) - log q(z) at DRAWS fresh z from q."""
    z = gaussian.sample(*q, DRAWS, rng)
    return (
        model.log_px_given_z(x, z) + gaussian.log_density(z, *prior) - gaussian.log_density(z, *q)
    )


claim("3.7", "ELBO  <=  log p(x), and equal for the posterior alone")
for name in qs:
    check_at_most(name, elbo[name], log_px, tolerance=1e-10)
check_less("best of 1000 q", random_elbos.max(), log_px)
check("the posterior: tight", elbo["the posterior"], log_px, tolerance=1e-10)

log_w = log_weights(qs["close"])
ratio_at_posterior = np.exp(log_weights(posterior) - log_px)
say()
say("the logarithm inside the mean, and outside; q is close, then the posterior")
check("E_q[log w] = ELBO", elbo["close"], estimate(log_w))
check("E_q[w] / p(x) = 1", 1, estimate(np.exp(log_w - log_px)))
check_less("E_q log w, log E_q w", estimate(log_w), log_px)
check("posterior: std of w/p(x)", ratio_at_posterior.std(), 0, tolerance=1e-10)

# %% [markdown]
# ## Step 8: which way is up
#
# The article says that the objective "can be described as maximizing KL-divergence of $Q(z|X)$ and
# $P(z|X)$", "by minimizing RHS terms". The signs got turned. Both *sides* are maximised.
# $\log p(x)$ does not move with $q$.
#
# Start at the prior's mean and follow the slope of the ELBO, first up, then down, each time by a
# tenth of the way that would reach the top (the slope times the posterior's covariance).
#
# Predict first: what happens to the gap of the climber, in 10 steps? And of who goes down?


# %%
def elbo_at(mean):
    likelihood = model.expected_log_px_given_z(x, mean, posterior_cov)
    return likelihood - cubature.gaussian_kl(mean, posterior_cov, *prior)


def gap_at(mean):
    return gaussian.kl(mean, posterior_cov, *posterior)


start = up = down = np.zeros(LATENT_DIM)
for _ in range(10):
    up = up + 0.1 * posterior_cov @ central_difference(elbo_at, up)
    down = down - 0.1 * posterior_cov @ central_difference(elbo_at, down)

claim("3.8", "Up the ELBO is down the gap: their sum is log p(x) all the way")
for name, mean in [("at the start", start), ("10 steps up", up), ("10 steps down", down)]:
    check(name, log_px, elbo_at(mean) + gap_at(mean), tolerance=1e-10)
say()
say("a step up leaves 0.9 of the way to the posterior, a step down 1.1; squared")
check("gap: up / start", gap_at(up) / gap_at(start), 0.9**20, tolerance=1e-6)
check("gap: down / start", gap_at(down) / gap_at(start), 1.1**20, tolerance=1e-6)

# %% [markdown]
# What the ELBO gains, the gap loses: the KL to the posterior is *minimised*. And the KL to the
# prior is *penalised*: it is subtracted from what is maximised.
#
# ## Step 9: a VAE, where nothing is exact
#
# A small VAE learns 1,500 digits of 8 x 8 pixels, black or white, in a second. Its decoder is a
# network, which nobody can integrate. But $z$ has two dimensions only, so we can lay a grid over
# the plane and sum. That takes the decoder alone: no $q$, no encoder, no random number. The other
# way takes draws from $q$ and averages the importance weights $p(x|z) \, p(z) / q(z|x)$ of lesson
# 2. On average they are $p(x)$, and nothing is biased as long as no logarithm is taken.
#
# Predict first: the average weight, divided by the $p(x)$ of the grid?

# %%
# takes about 4 s
digits = data.load("digits")
vae = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
plane_prior = np.zeros(2), np.eye(2)
x_train = np.asarray(digits.x_train, dtype=np.float64)
x_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
shown = {f"a {digits.y_test[n]}": n for n in range(5)}


def log_joint(x, z):
    """log p(x|z) + log p(z), for every row of x and of z: (N, 64), (G, 2) -> (N, G)"""
    logits = vae.decode(z)
    log_px_given_z = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_px_given_z + log_density(z, *plane_prior)


plane, log_area = plane_grid(points_per_axis=100, half_width=6)


def on_the_plane(x):
    """log p(x), gap KL(q || p(z|x)), regulariser KL(q || p(z)) of each row: sums over the grid."""
    log_joint_plane = log_joint(x, plane)  # (N, G)
    log_px = log_integral(log_joint_plane, log_area)
    mu, logvar = vae.encode(x)
    distance = (plane - mu[:, None]) ** 2 / np.exp(logvar)[:, None]
    log_q = -0.5 * np.sum(distance + (logvar + np.log(2 * np.pi))[:, None], axis=2)
    share = np.exp(log_q + log_area)  # of q in each cell of the grid
    gap = np.sum(share * (log_q - log_joint_plane + log_px[:, None]), axis=1)
    regulariser = np.sum(share * (log_q - log_density(plane, *plane_prior)), axis=1)
    return log_px, gap, regulariser


course = {0: on_the_plane(x_test)}  # by epoch


def watch(row):
    if row["epoch"] in (1, 10, EPOCHS):
        course[row["epoch"]] = on_the_plane(x_test)


history = fit(vae, x_train, epochs=EPOCHS, learning_rate=3e-3, rng=rng, report=watch)
log_px_test, gap_test, regulariser_test = course[EPOCHS]

finer_plane, finer_log_area = plane_grid(points_per_axis=200, half_width=6)
log_px_finer = log_integral(log_joint(x_test[:5], finer_plane), finer_log_area)

claim("3.9", "p(x) of five test digits: average importance weight / grid  =  1")
say(f"after {EPOCHS} epochs, ELBO {history[-1]['elbo']:.2f} nats a digit of the training set")
say()
for name, n in shown.items():
    copies = np.repeat(x_test[n : n + 1], 1000, axis=0)
    log_averages = evaluate.log_likelihood(vae, copies, rng, samples=20)
    check(name, estimate(np.exp(log_averages - log_px_test[n])), 1, decimals=4)
say()
say("a grid of 10,000 points = one of 40,000")
check("log p(x) of all five", log_px_test[:5], log_px_finer, tolerance=1e-6)
say()
say("the logarithm of an average of 100 weights: a lower bound of log p(x)")
copies = np.repeat(x_test[:5], 200, axis=0)
bounds = evaluate.log_likelihood(vae, copies, rng, samples=100).reshape(5, 200)
check_at_most("all five", [estimate(row) for row in bounds], log_px_test[:5], decimals=4)

# %% [markdown]
# ## Step 10: the identity again
#
# Bayes' rule on the grid gives the posterior of each digit, and sums over the grid give both KLs.
# On the right is what `fit` maximised.
#
# Predict first: this $q$ is no posterior, and the model is no Gaussian. Does the identity care?

# %%
claim("3.10", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z)), digits")
for name, n in shown.items():
    copies = np.repeat(x_test[n : n + 1], 1000, axis=0)
    drawn = estimate(evaluate.elbo(vae, copies, rng, samples=10))
    check(name, log_px_test[n] - gap_test[n], drawn, decimals=4)
mean_elbos = [evaluate.elbo(vae, x_test, rng).mean() for _ in range(200)]
check("mean of all 297", np.mean(log_px_test - gap_test), estimate(mean_elbos), decimals=4)
say()
say("KL(q || p(z)): the sum over the grid = the closed form in the loss")
regulariser_loss = gaussian.kl_to_standard_normal(*vae.encode(x_test))
check("all 297", regulariser_test, regulariser_loss, tolerance=1e-6)
check("their mean", regulariser_test.mean(), regulariser_loss.mean(), tolerance=1e-6, decimals=4)

# %% [markdown]
# ## Step 11: what the bound costs
#
# The gap on the grid, and the gap by draws: with $r = w / p(x)$ it is $E_q[-\log r]$. As
# $E_q[r] = 1$, the mean of $r - 1 - \log r$ is the same number, with less noise. Fresh draws.
#
# Predict first: by how many nats does the encoder miss the posterior? Much or little, next to the
# regulariser?

# %%
claim("3.11", "The gap: KL(q || p(z|x)) on the grid  =  the mean of r - 1 - log r")
for name, n in shown.items():
    mu, logvar = vae.encode(x_test[n : n + 1])
    z = gaussian.reparameterize(mu, logvar, rng.standard_normal((20_000, 1, 2)))[:, 0]
    log_q = gaussian.log_density_diagonal(z, mu[0], logvar[0])
    log_r = log_joint(x_test[n : n + 1], z)[0] - log_q - log_px_test[n]
    check(name, gap_test[n], estimate(np.expm1(log_r) - log_r), decimals=4)
say()
check_less("0, smallest of 297", 0, gap_test.min(), decimals=4)
check_less("mean gap, regulariser", gap_test.mean(), regulariser_test.mean(), decimals=4)

# %% [markdown]
# ## Step 12: where the nats came from
#
# `fit` raises the ELBO, that is $\log p(x)$ - gap. It never sees either of the two. At fixed
# decoder a better ELBO is a smaller gap (step 8). But the decoder moves, too.
#
# Predict first: from the untrained network to the trained one the ELBO gains many nats. How many of
# them are a smaller gap, how many a larger $\log p(x)$?

# %%
gains = course[EPOCHS][0] - course[0][0]
shrinkage = course[0][1] - course[EPOCHS][1]

claim("3.12", "What training raises is log p(x): the gap was small from the start")
say(f"{'epoch':>5}{'log p(x)':>12}{'- gap':>10}{'= ELBO':>10}")
for epoch, (log_px_then, gap_then, _) in course.items():
    mean_px, mean_gap = log_px_then.mean(), gap_then.mean()
    say(f"{epoch:5}{mean_px:12.3f}{mean_gap:10.3f}{mean_px - mean_gap:10.3f}")
say()
check_less("gap lost, log p(x) won", shrinkage.mean(), estimate(gains), decimals=3)
check_less("change of the gap, 1 nat", np.abs(shrinkage.mean()), 1, decimals=3)

# %% [markdown]
# An untrained decoder says nearly the same for every $z$, so the posterior is nearly the prior, and
# so is an untrained $q$: little to miss. After the first epochs the gap *grows* again: posteriors
# get narrower and of a shape of their own. Mostly the encoder does not keep up with them; less of
# it is that no diagonal Gaussian would fit. Lesson 12 measures the two parts.
#
# ## Try it
#
# Try it: EPOCHS = 400
#
# Train longer: $\log p(x)$ rises, and so does the gap. (Single digits may well get worse.)
#
# Try it: NARROW = 0.1
#
# $q$ gets too narrow in the figure of step 2. By how much does the ELBO miss $\log p(x)$ at its
# best? Look for that number in step 6.
#
# Try it: LATENT_DIM = 3
#
# The linear model gets one more latent dimension. Which rows notice? Would a grid still do?
