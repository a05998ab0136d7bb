# %% [markdown]
# # Lesson 4: The KL divergence of two Gaussians
#
# The closed form term by term, where its halves come from, and why the direction matters.
#
# The second term of the objective is $\mathrm{KL}(q(z|x) \| p(z))$. The article takes both for
# Gaussians and says: luckily, there is a closed form. With $q = N(m_q, S_q)$, $p = N(m_p, S_p)$ in
# $k$ dimensions, it is
#
# $$\mathrm{KL}(q \| p) = \tfrac12 \left( \mathrm{tr}(S_p^{-1} S_q)
#   + (m_q - m_p)^T S_p^{-1} (m_q - m_p) - k + \log\det S_p - \log\det S_q \right)$$
#
# Here each term is met alone, then their sum. Everything is in nats. $S$ is a covariance, never a
# standard deviation, and $k$ is the number of *latent* dimensions.
#
# Two witnesses know nothing of this formula:
#
# - **Monte Carlo**: draw $z$ from $q$ and average. It comes with a standard error.
# - **cubature**: average over $2k$ chosen points. For Gaussian $z$ and a quadratic function this
#   is exact, and $\log q - \log p$ is quadratic.

# %%
import matplotlib.pyplot as plt
import numpy as np
from scipy.optimize import minimize

from tinyvae import gaussian
from tinyvae.classroom.lesson import (
    check,
    check_differs,
    check_less,
    claim,
    say,
    title,
)
from tinyvae.oracles import central_difference, cubature, estimate

DRAWS = 400_000
SEED = 4
k = 3
MEAN_P = (0.0, 0.5, -1.0)
COV_P = ((2.0, 0.3, 0.5), (0.3, 1.0, 0.2), (0.5, 0.2, 1.5))
MEAN_Q = (1.0, -0.5, 0.2)
COV_Q = ((1.0, 0.4, 0.0), (0.4, 0.5, -0.1), (0.0, -0.1, 0.3))
CENTERS = (-2.0, 2.0)  # of the two bumps in step 8
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe and Ito: distinct to every eye

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

mean_p, cov_p = np.array(MEAN_P), np.array(COV_P)
mean_q, cov_q = np.array(MEAN_Q), np.array(COV_Q)

title("Lesson 4: The KL divergence of two Gaussians")

# %% [markdown]
# ## Step 1: what the number is
#
# $$\mathrm{KL}(q \| p) = E_{z \sim q}[\log q(z) - \log p(z)]$$
#
# An average of a difference of two log-densities, over draws from the *first* argument. Lesson 3
# showed that the average is never negative.
#
# Predict first: is the difference itself ever negative, at a single draw?

# %%
z = gaussian.sample(mean_q, cov_q, DRAWS, rng)  # (S, k)
difference = gaussian.log_density(z, mean_q, cov_q) - gaussian.log_density(z, mean_p, cov_p)
kl_qp = gaussian.kl(mean_q, cov_q, mean_p, cov_p)

claim("4.1", "KL(q || p)  =  E_q[log q(z) - log p(z)]")
check("Monte Carlo", kl_qp, estimate(difference))
check("cubature", kl_qp, cubature.gaussian_kl(mean_q, cov_q, mean_p, cov_p))
say(f"{np.mean(difference < 0):.1%} of the draws have log q(z) < log p(z).")

# %% [markdown]
# ## Step 2: where the $-k$ comes from
#
# $$\log q(z) = -\tfrac12 (z - m_q)^T S_q^{-1} (z - m_q) - \tfrac12 \log\det S_q
#   - \tfrac{k}{2} \log 2\pi$$
#
# $\log p$ looks the same, so the $2\pi$ cancels. Start with $q$'s own quadratic form: how far,
# squared, is a draw from the mean, if each direction is measured by $q$'s own spread?
#
# Predict first: does the average depend on $S_q$?


# %%
def quadratic(d, A):
    """d' A d for each row of d    (..., k), (k, k)  ->  (...)"""
    return np.sum(d @ A * d, axis=-1)


inverse_q, inverse_p = np.linalg.inv(cov_q), np.linalg.inv(cov_p)


def own_distance(z):
    return quadratic(z - mean_q, inverse_q)


other_distances = []
for root in rng.standard_normal((20, k, k)):
    cov = root @ root.T + 0.1 * np.eye(k)
    z_other = gaussian.sample(mean_q, cov, DRAWS // 20, rng)
    other_distances.append(estimate(quadratic(z_other - mean_q, np.linalg.inv(cov))))

claim("4.2", "E_q[(z - m_q)' S_q^-1 (z - m_q)]  =  k,  whatever S_q is")
check("this S_q", estimate(own_distance(z)), k)
check("20 random S_q", other_distances, k)

# %% [markdown]
# ## Step 3: where the trace comes from
#
# The distance, measured in $S_q$'s own units, has the covariance $I$ whatever $S_q$ is. Its square
# averages to 1 in each of the $k$ dimensions.
#
# Now $p$'s quadratic form, under draws of $q$. Split the way from $p$'s mean to the draw at $q$'s
# mean, $z - m_p = (z - m_q) + (m_q - m_p)$, and multiply out:
#
# - spread: $(z - m_q)^T S_p^{-1} (z - m_q)$
# - cross: $2 (m_q - m_p)^T S_p^{-1} (z - m_q)$
# - distance: $(m_q - m_p)^T S_p^{-1} (m_q - m_p)$, in which there is no $z$
#
# The spread is $\sum_{ij} (S_p^{-1})_{ij} (z - m_q)_i (z - m_q)_j$, and the average of the product
# at the end is $(S_q)_{ij}$. The sum of the products of two matrices' entries is a trace.
#
# Predict first: one of the three averages to zero. Which one, and why?


# %%
def spread(z):
    return quadratic(z - mean_q, inverse_p)


def cross(z):
    return 2 * (z - mean_q) @ inverse_p @ (mean_q - mean_p)


trace_term = np.trace(inverse_p @ cov_q)

claim("4.3", "spread:  E_q[(z - m_q)' S_p^-1 (z - m_q)]  =  tr(S_p^-1 S_q)")
check("Monte Carlo", estimate(spread(z)), trace_term)
check("cubature", cubature.expectation(spread, mean_q, cov_q), trace_term)

claim("4.4", "cross:  E_q[2 (m_q - m_p)' S_p^-1 (z - m_q)]  =  0,  for E_q[z] = m_q")
check("Monte Carlo", estimate(cross(z)), 0)
check("cubature", cubature.expectation(cross, mean_q, cov_q), 0)

# %% [markdown]
# ## Step 4: the two terms that need no average
#
# The distance of the means has no $z$ in it: it is how far $\log p$ falls from its own peak to
# $q$'s peak, twice over. The log-determinants are what is left of the densities at their peaks:
# a wide Gaussian is a low one.
#
# Predict first: $q$ is the narrower of the two. Is $\log\det S_p - \log\det S_q$ positive?

# %%
distance_term = quadratic(mean_q - mean_p, inverse_p)
log_det_term = np.sum(np.log(np.linalg.eigvalsh(cov_p)) - np.log(np.linalg.eigvalsh(cov_q)))
peak_q = gaussian.log_density(mean_q, mean_q, cov_q)
peak_p = gaussian.log_density(mean_p, mean_p, cov_p)

claim("4.5", "distance:  2 [log p(m_p) - log p(m_q)]  =  d' S_p^-1 d,  d = m_q - m_p")
check("densities", 2 * (peak_p - gaussian.log_density(mean_q, mean_p, cov_p)), distance_term)

claim("4.6", "volume:  2 [log q(m_q) - log p(m_p)]  =  log det S_p - log det S_q")
check("peaks, eigenvalues", 2 * (peak_q - peak_p), log_det_term)

# %% [markdown]
# ## Step 5: the sum, and the bracket that is missing
#
# All together, with the $\tfrac12$ that both log-densities carry:
# $\mathrm{KL}(q \| p) = \tfrac12 (\text{trace} + \text{distance} - k + \text{log-determinants})$.
#
# In the article the outer bracket is never closed. There are two places where it could close: at
# the very end, or before the logarithm.
#
# Predict first: does the test "$\mathrm{KL}(q \| q) = 0$" tell the two readings apart?


# %%
def two_readings(mean_q, cov_q, mean_p, cov_p):
    """The bracket closed at the end, and before the logarithm."""
    inverse = np.linalg.inv(cov_p)
    terms = np.trace(inverse @ cov_q) + quadratic(mean_q - mean_p, inverse) - len(mean_q)
    log_dets = np.log(np.linalg.det(cov_p)) - np.log(np.linalg.det(cov_q))
    return 0.5 * (terms + log_dets), 0.5 * terms + log_dets


whole_bracket = 0.5 * (trace_term + distance_term - k + log_det_term)
after, before = two_readings(mean_q, cov_q, mean_p, cov_p)
after_same, before_same = two_readings(mean_q, cov_q, mean_q, cov_q)
after_wide, before_wide = two_readings(mean_p, 2 * cov_p, mean_p, cov_p)
kl_same = gaussian.kl(mean_q, cov_q, mean_q, cov_q)

claim("4.7", "KL(q || p)  =  1/2 (trace + distance - k + log-determinants)")
say(
    f"1/2 ({trace_term:.4f} + {distance_term:.4f} - {k} + {log_det_term:.4f})  =  "
    f"{whole_bracket:.4f} nats"
)
check("package, four terms", kl_qp, whole_bracket)

claim("4.8", "The bracket closes after the logarithm, not before it")
check("KL(q || q), after", kl_same, after_same)
check("KL(q || q), before", kl_same, before_same)
say("Both readings pass this test. Another pair:")
check("KL(q || p), after", kl_qp, after)
check_differs("KL(q || p), before", kl_qp, before, by=0.01)
say("And q with S_q = 2 S_p, m_q = m_p:")
check("package, after", gaussian.kl(mean_p, 2 * cov_p, mean_p, cov_p), after_wide)
check_less("before, 0", before_wide, 0)

# %% [markdown]
# At $q = p$ the logarithm is 0, and both readings agree. For the wide $q$ the early bracket gives a
# negative number; no KL divergence is negative.
#
# ## Step 6: one formula, three forms
#
# A VAE's encoder gives a mean $\mu_j$ and a log-variance $\lambda_j = \log \sigma_j^2$ for each of
# the latent dimensions, and nothing off the diagonal. Then the trace, the distance and the
# determinants are sums over the dimensions, and so is the KL. With $p = N(0, I)$ it is short:
#
# $$\mathrm{KL}(q \| N(0, I)) =
# \tfrac12 \sum_j \left( \mu_j^2 + e^{\lambda_j} - 1 - \lambda_j \right)$$
#
# Predict first: the encoder says $\mu = (3, 4)$ and $\sigma = (1, 1)$. How many nats is that?

# %%
mu_q, logvar_q = mean_q, np.array([-1.0, 0.5, -2.0])
mu_p, logvar_p = mean_p, np.array([0.3, -0.4, 1.0])
one_by_one = [
    cubature.gaussian_kl(mu_q[j], np.exp(logvar_q[j]), mu_p[j], np.exp(logvar_p[j]))
    for j in range(k)
]
full_form = gaussian.kl(mu_q, np.diag(np.exp(logvar_q)), mu_p, np.diag(np.exp(logvar_p)))
diagonal_form = gaussian.kl_diagonal(mu_q, logvar_q, mu_p, logvar_p)

claim("4.9", "Diagonal covariances: the KL is a sum over the dimensions")
check("full form, cubature", full_form, np.sum(one_by_one))
check("diagonal, cubature", diagonal_form, np.sum(one_by_one))

standard_form = gaussian.kl_to_standard_normal(mu_q, logvar_q)
claim("4.10", "p = N(0, I):  KL  =  1/2 sum_j (mu_j^2 + exp(logvar_j) - 1 - logvar_j)")
check(
    "standard, cubature",
    standard_form,
    cubature.gaussian_kl(mu_q, np.diag(np.exp(logvar_q)), np.zeros(k), np.eye(k)),
)
check("standard, diagonal", standard_form, gaussian.kl_diagonal(mu_q, logvar_q, 0 * mu_q, 0 * mu_q))
check(
    "mu (3, 4), sigma 1",
    gaussian.kl_to_standard_normal(np.array([3.0, 4.0]), np.zeros(2)),
    (3**2 + 4**2) / 2,
)

# %% [markdown]
# ## Step 7: $\tfrac12 e^{\lambda}$, and not $e^{\lambda}$
#
# The derivative of $\tfrac12 (e^{\lambda} - 1 - \lambda)$ by $\lambda$ is
# $\tfrac12 (e^{\lambda} - 1)$. By $\sigma$ the derivative is $\sigma - 1/\sigma$, and
# $d\sigma / d\lambda = \sigma / 2$: the same number by another road. (The same half stands in
# $\sigma = e^{\lambda / 2}$; lesson 5 shows what happens without it.)
#
# Predict first: one dimension, $\mu = 0$. At which $\sigma$ is the KL lowest, and how low is it?


# %%
def kl_of_logvar(logvar):
    """The KL to N(0, I) without the package: cubature."""
    return cubature.gaussian_kl(mu_q, np.diag(np.exp(logvar)), np.zeros(k), np.eye(k))


def kl_of_std(std):
    return cubature.gaussian_kl(mu_q, np.diag(std**2), np.zeros(k), np.eye(k))


std_q = np.exp(logvar_q / 2)
_, slope = gaussian.kl_to_standard_normal_backward(np.array(1.0), mu_q, logvar_q)
slope_by_logvar = central_difference(kl_of_logvar, logvar_q)
slope_by_std = central_difference(kl_of_std, std_q)

claim("4.11", "d KL / d logvar  =  1/2 (exp(logvar) - 1)")
for j in range(k):
    check(f"logvar = {logvar_q[j]:4.1f}", slope[j], slope_by_logvar[j], tolerance=1e-8)
check("by sigma, chain rule", slope, slope_by_std * std_q / 2, tolerance=1e-8)
check_differs("without the 1/2", np.exp(logvar_q) - 1, slope_by_logvar, by=0.01)

logvar_line = np.linspace(-4, 2, 601)
kl_line = gaussian.kl_to_standard_normal(np.zeros((601, 1)), logvar_line[:, None])
lowest = np.argmin(kl_line)
say()
say(f"mu = 0: the lowest KL is {kl_line[lowest]:.6f}, at logvar = {logvar_line[lowest]:.2f}")
check("sigma there", np.exp(logvar_line[lowest] / 2), 1)

# %%
figure, axis = plt.subplots(figsize=(10, 5.5), layout="constrained")
axis.plot(logvar_line, kl_line, color=BLACK, linewidth=2.5)
axis.plot(logvar_line, 0.5 * (np.exp(logvar_line) - 1), color=BLUE, linestyle="--")
axis.plot(logvar_line, -0.5 * logvar_line, color=ORANGE, linestyle=":")
axis.plot(logvar_line[lowest], kl_line[lowest], "o", color=BLACK, markersize=9)
axis.annotate("KL, the sum", (-3.9, 0.6), color=BLACK)
axis.annotate("1/2 (exp(logvar) - 1):\ntoo wide costs", (-0.7, 2.3), color=BLUE)
axis.annotate("-1/2 logvar:\ntoo narrow costs", (-3.0, 1.65), color=ORANGE)
axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
axis.set(
    title=f"The KL is lowest where sigma is {np.exp(logvar_line[lowest] / 2):.0f}: "
    "too wide costs, too narrow costs",
    xlabel="logvar of one latent dimension (mu = 0)",
    ylabel="nats",
)
plt.show()

# %% [markdown]
# ## Step 8: the direction matters
#
# $\mathrm{KL}(q \| p)$ averages over $q$, $\mathrm{KL}(p \| q)$ over $p$.
#
# Predict first: are they the same number?

# %%
kl_pq = gaussian.kl(mean_p, cov_p, mean_q, cov_q)

claim("4.12", "KL(q || p) and KL(p || q) are two numbers")
check("KL(p || q), cubature", kl_pq, cubature.gaussian_kl(mean_p, cov_p, mean_q, cov_q))
check_differs("the two directions", kl_qp, kl_pq, by=0.01)

# %% [markdown]
# A fit with one is not a fit with the other. Take a $p$ with two bumps, and fit *one* Gaussian $q$
# to it, both ways. On a line the integrals are sums over a fine grid.
#
# Predict first: where does $q$ end up if you minimise $\mathrm{KL}(p \| q)$? Use a pencil.

# %%
centers, weights, widths = np.array(CENTERS), np.array([0.6, 0.4]), np.array([0.5, 0.5])
line = np.linspace(-9, 9, 3601)
cell = line[1] - line[0]


def log_normal_on_line(mu, logvar):
    return gaussian.log_density_diagonal(line[:, None], np.array([mu]), np.array([logvar]))


def log_mixture(centers):
    """The log-density of both bumps together, on the line."""
    bumps = [log_normal_on_line(m, 2 * np.log(s)) for m, s in zip(centers, widths, strict=True)]
    return np.logaddexp(np.log(weights[0]) + bumps[0], np.log(weights[1]) + bumps[1])


def kl_on_line(log_a, log_b):
    return np.sum(np.exp(log_a) * (log_a - log_b)) * cell


def fitted(objective, start):
    """mu, logvar that minimise objective(log q on the line), searched from there."""
    options = {"xatol": 1e-9, "fatol": 1e-14, "maxiter": 2000}
    run = minimize(
        lambda t: objective(log_normal_on_line(*t)), start, method="Nelder-Mead", options=options
    )
    return run.x


log_two_bumps = log_mixture(centers)
cover = fitted(lambda log_q: kl_on_line(log_two_bumps, log_q), start=[-1.0, 0.0])
mean_bumps = np.sum(weights * centers)
var_bumps = np.sum(weights * (widths**2 + centers**2)) - mean_bumps**2

claim("4.13", "The q of the smallest KL(p || q) has the mean and the variance of p")
check("mean", cover[0], mean_bumps, tolerance=1e-6)
check("variance", np.exp(cover[1]), var_bumps, tolerance=1e-6)

# %% [markdown]
# Now the other direction. The search is started on the left bump, on the right one, and between
# them with a wide $q$.
#
# Predict first: where does each of the three end? How many nats does the best one pay?

# %%
STARTS = {"left": [-1.0, -1.0], "right": [1.0, -1.0], "between, wide": [0.0, 1.0]}


def picks(log_p):
    """For each start the mu, logvar and KL(q || p) where the search ends."""
    ends = {}
    for name, start in STARTS.items():
        t = fitted(lambda log_q: kl_on_line(log_q, log_p), start)
        ends[name] = (*t, kl_on_line(log_normal_on_line(*t), log_p))
    return ends


ends = picks(log_two_bumps)
pick = min(ends.values(), key=lambda end: end[2])
heavy = np.argmax(weights)

claim("4.14", "Far apart: the q of the smallest KL(q || p) sits on the heavier bump")
say(f"{'start':<16}{'mean':>9}{'std':>9}{'KL(q || p)':>13}")
for name, (mu, logvar, kl) in ends.items():
    say(f"{name:<16}{mu:9.3f}{np.exp(logvar / 2):9.3f}{kl:13.4f}")
say()
check("mean, the heavier bump", pick[0], centers[heavy], tolerance=1e-3)
check("KL, -log(its weight)", pick[2], -np.log(weights[heavy]), tolerance=1e-3)
others = [end[2] for end in ends.values() if end is not pick]
check_less("the best, the others", pick[2], others, by=1e-3)

# %% [markdown]
# Where the search starts decides where it ends: each bump is a minimum, though only one of them is
# the lowest, and so is the wide $q$ that covers both.
#
# Predict first: move the bumps to -1 and 1. Do the three searches still end in three places?

# %%
close_ends = list(picks(log_mixture(np.array([-1.0, 1.0]))).values())
close_mu, close_logvar, _ = close_ends[0]

claim("4.15", "Bumps at -1 and 1: all three starts end in one minimum, which covers both")
for (mu, _, _), name in zip(close_ends[1:], list(STARTS)[1:], strict=True):
    check(f"mean: left, {name}", close_mu, mu, tolerance=1e-4)
check_less("a bump's std, its std", widths[0], np.exp(close_logvar / 2), by=0.1)

# %%
gap = log_two_bumps < log_two_bumps.max() - np.log(20)  # where p is below 1/20 of its peak
share = {
    name: np.sum(np.exp(log_normal_on_line(*t))[gap]) * cell
    for name, t in [("pick", pick[:2]), ("cover", cover)]
}
picked = abs(pick[0] - centers[heavy]) < 0.1
figure, axis = plt.subplots(figsize=(10, 5.5), layout="constrained")
axis.fill_between(line, np.exp(log_two_bumps), color="0.85")
axis.plot(line, np.exp(log_normal_on_line(*pick[:2])), color=BLUE, linewidth=2.5)
axis.plot(line, np.exp(log_normal_on_line(*cover)), color=ORANGE, linewidth=2.5, linestyle="--")
axis.annotate("p, two bumps", (centers[1], 0.33), ha="left", color="0.3")
axis.annotate("q of the smallest KL(q || p)", (pick[0] + 0.5, 0.65), color=BLUE)
axis.annotate("q of the smallest KL(p || q)", (cover[0] - 0.4, 0.21), color=ORANGE)
axis.set(
    title=f"KL(q || p) {'picks a bump' if picked else 'covers both bumps, too'}. KL(p || q) covers "
    f"both,\nand puts {share['cover']:.0%} of its mass where p is nearly 0 "
    f"(the other: {share['pick']:.0%})",
    xlabel="z",
    ylabel="density (1 / unit of z)",
    xlim=(-4.5, 4.5),
    ylim=(0, None),
)
plt.show()

# %% [markdown]
# A VAE has $q$ in front in both of its divergences: in the gap $\mathrm{KL}(q \| p(z|x))$ and in
# the penalty $\mathrm{KL}(q \| p(z))$. So where the true posterior has two bumps far apart, $q$
# may settle on one.
#
# ## Try it
#
# Try it: MEAN_Q = (0.0, 0.5, -1.0)
#
# Both means are the same. Which terms are 0 now, and which are left?
#
# Try it: COV_Q = ((2.0, 0.3, 0.5), (0.3, 1.0, 0.2), (0.5, 0.2, 1.5))
#
# Both covariances are the same. Which terms are left? Why do the two readings of 4.8 agree now, and
# both directions of 4.12, so that these rows fail?
#
# Try it: CENTERS = (-0.7, 0.7)
#
# Claim 4.14 fails, and its table says where $q$ is instead. What has become of the picking?
