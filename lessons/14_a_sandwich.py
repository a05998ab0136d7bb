# %% [markdown]
# # Lesson 14: A sandwich for log p(x)
#
# Walk from the prior to the posterior in small steps, then walk back: log p(x) lies in between.
#
# On a plane a grid gives $\log p(x)$. In ten dimensions there is no grid, and importance weights
# give a lower bound of which nobody knows how low it is. *Annealed importance sampling* (Neal,
# 2001) takes the way in small steps, through
#
# $$\log f_t(z) = \log p(z) + t \log p(x|z), \qquad \pi_t = f_t / Z_t$$
#
# At temperature $t = 0$ that is the prior, at $t = 1$ the posterior, and $Z_1 = p(x)$. A chain
# starts at the prior. At each temperature it takes up $(t_{k+1} - t_k) \log p(x|z_k)$ into its
# $\log w$, then $z$ moves by a step that leaves $\pi_{t_{k+1}}$ as it is.

# %%
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, gaussian, plot
from tinyvae.beyond import annealing
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
    central_difference,
    effective_sample_size,
    estimate,
    log_integral,
    log_mean_exp,
    plane_grid,
    vector_jacobian,
)
from tinyvae.train import silent

SEED = 14
STEPS = 16  # temperatures of the linear model, in steps 1 to 4
KEEP = 0.9  # how much of z a slow step keeps, in step 4
LATENTS = 10  # of the larger VAE
LONG = 100  # temperatures of the larger VAE
CHAINS = 8  # for each digit

rng = np.random.default_rng(SEED)
title("Lesson 14: A sandwich for log p(x)")

# %% [markdown]
# ## Step 1: from below
#
# In the linear-Gaussian model of lesson 3 every $\pi_t$ is a Gaussian: the posterior of a model
# whose noise is $t$ times weaker. So each step can draw afresh from $\pi_t$ itself, and the chain's
# mean is known: each step loses one KL,
#
# $$\log p(x) - E \log w = \sum_k D[\pi_{t_k} \| \pi_{t_{k+1}}]$$
#
# Predict first: with one step from 0 to 1 the whole KL is $D[\text{prior} \| \text{posterior}]$. If
# you walk in 16 equal steps, does the sum of the 16 small KLs stay the same?

# %%
model = LinearGaussian.random(data_dim=6, latent_dim=3, rng=rng)
x, z_true = model.sample(1, rng)  # z_true is one draw of p(z|x): step 2 needs it
x = x[0]
log_px = model.log_px(x)


def log_px_given_z(z):
    return model.log_px_given_z(x, z)


def moments(t):
    """Mean and covariance of pi_t: the noise is divided by t."""
    if t == 0:
        return np.zeros(3), np.eye(3)
    return LinearGaussian(model.W, model.b, model.noise_var / t).posterior(x)


def afresh(t, z, keep=0.0):
    mean, cov = moments(t)
    eps = rng.standard_normal(z.shape)
    return annealing.refresh(z, mean, np.linalg.cholesky(cov), eps, keep)


def mean_log_w(temperatures):
    """E log w with fresh draws: E log p(x|z) under each pi_t, from the model."""
    expected = [model.expected_log_px_given_z(x, *moments(t)) for t in temperatures[:-1]]
    return np.diff(temperatures) @ expected


def sum_of_kls(temperatures):
    """sum_k KL(pi_k || pi_k+1), along the way that is given"""
    return sum(gaussian.kl(*moments(s), *moments(t)) for s, t in pairwise(temperatures))


up = np.linspace(0, 1, STEPS + 1)
draws = rng.standard_normal((4000, 3))
log_w_up, z_end = annealing.anneal(draws, up, log_px_given_z, afresh)

claim("14.1", "log p(x) - E log w  =  the sum of KL(pi_t || pi_t+1)")
for steps in [1, 4, STEPS]:
    way = np.linspace(0, 1, steps + 1)
    check(f"{steps} steps", log_px - mean_log_w(way), sum_of_kls(way), tolerance=1e-9)
check(f"{STEPS} steps, drawn", estimate(log_px - log_w_up), sum_of_kls(up))
mean, cov = model.posterior(x)
squared = np.sum((z_end - mean) * np.linalg.solve(cov, (z_end - mean).T).T, axis=1)
check("end, posterior: distance^2", estimate(squared), 3)
check_less("KLs: steps, one", sum_of_kls(up), sum_of_kls(np.array([0.0, 1.0])))

# %% [markdown]
# No: a KL between close neighbours falls with the *square* of their distance, so $K$ steps cost
# about $1/K$ of one. As in lesson 9 the mean of $w$ itself is $p(x)$; its logarithm is what is low.
#
# ## Step 2: from above
#
# Now start where the chain ended, at the *posterior*, and walk the same way down. The same code
# gives a lower bound on $\log Z_0 - \log Z_1 = -\log p(x)$. With its sign turned it is an upper
# bound:
#
# $$-E \log w - \log p(x) = \sum_k D[\pi_{t_{k+1}} \| \pi_{t_k}]$$
#
# What it needs is a draw from the posterior. If $x$ was *made by the model*, we have one, for
# nothing: the $z$ it was made from.
#
# Predict first: lower and upper bound miss $\log p(x)$ by KLs of the same neighbours, in the two
# directions. What is the distance between the two bounds, if all $K$ steps are equal?

# %%
down = up[::-1]
from_posterior = gaussian.sample(mean, cov, 4000, rng)
log_w_down, _ = annealing.anneal(from_posterior, down, log_px_given_z, afresh)
by_prior, by_posterior = (model.expected_log_px_given_z(x, *moments(t)) for t in (0, 1))

claim("14.2", "The upper bound's excess = the reversed KLs; both close as 1/K")
for steps in [1, 4, STEPS]:
    way = np.linspace(1, 0, steps + 1)
    check(f"{steps} steps", -mean_log_w(way) - log_px, sum_of_kls(way), tolerance=1e-9)
check(f"{STEPS} steps, drawn", estimate(-log_w_down - log_px), sum_of_kls(down))
for steps in [4, STEPS]:
    width = -mean_log_w(np.linspace(1, 0, steps + 1)) - mean_log_w(np.linspace(0, 1, steps + 1))
    check(f"width of {steps} steps", width, (by_posterior - by_prior) / steps, tolerance=1e-9)

# %% [markdown]
# The sum telescopes: the width is $(E_{posterior} - E_{prior})[\log p(x|z)] / K$, exactly.
#
# ## Step 3: where to take small steps
#
# Steps need not be equal. Two other ways with as many temperatures: $t = (k/K)^3$, crowded at the
# prior, and $t = 1 - (1 - k/K)^3$, crowded at the posterior.
#
# Predict first: which of the three is best?

# %%
crowded_low, crowded_high = up**3, 1 - (1 - up) ** 3

claim("14.3", "Small steps are needed near the prior, where pi_t changes most")
check_less("loss: cubes, equal", sum_of_kls(crowded_low), sum_of_kls(up))
check_less("equal, crowded at 1", sum_of_kls(up), sum_of_kls(crowded_high))
first = gaussian.kl(*moments(0), *moments(up[1])) / sum_of_kls(up)
say(f"Of {STEPS} equal steps, the first loses {first:.0%} of all nats.")
check_less("3 / steps, its share", 3 / STEPS, first, decimals=3)

# %% [markdown]
# A weak likelihood already pins $z$ down; from there on little changes.
#
# ## Step 4: steps that are not fresh draws
#
# Usually nobody can draw from $\pi_t$. A step that leaves $\pi_t$ as it is will do: here
# $z \leftarrow m + 0.9 (z - m) + \sqrt{1 - 0.9^2} L \epsilon$, which forgets slowly. Beside it a
# step with a slip: the root is left out, and so $\pi_t$ is not kept.
#
# Predict first: with slow steps, what stays true: $E w = p(x)$? $E \log w \le \log p(x)$? The sum
# of KLs?


# %%
def slowly(t, z):
    return afresh(t, z, KEEP)


def with_a_slip(t, z):
    mean, cov = moments(t)
    return mean + KEEP * (z - mean) + (1 - KEEP) * rng.standard_normal(z.shape) @ cov


def relative_weights(transition):
    log_w, _ = annealing.anneal(
        rng.standard_normal((20_000, 3)), crowded_low, log_px_given_z, transition
    )
    return np.exp(log_w - log_px), log_w


w_fresh, _ = relative_weights(afresh)
w_slow, log_w_slow = relative_weights(slowly)
w_slip, _ = relative_weights(with_a_slip)

claim("14.4", "E w = p(x) for every step that leaves pi_t as it is, and for no other")
check("fresh: E w / p(x)", estimate(w_fresh), 1)
check("slow: E w / p(x)", estimate(w_slow), 1)
check_less("slow: E log w, log p(x)", estimate(log_w_slow), log_px)
check_less("loss: fresh, slow", sum_of_kls(crowded_low), estimate(log_px - log_w_slow))
check_differs("slip: E w / p(x)", estimate(w_slip), 1)

# %% [markdown]
# The bound needs no chain to have arrived anywhere. A slow step only makes it looser; a wrong one
# makes it no bound at all.
#
# ## Step 5: a step for any decoder
#
# Give $z$ a random momentum and let it roll for a while on the landscape $-\log f_t$: *Hamiltonian*
# Monte Carlo. The path is computed by *leapfrog*: half a kick, a move, half a kick. Its error is
# then mended by a coin: accept with probability $\min(1, e^{-\Delta energy})$.
#
# Predict first: what must the path obey for the coin to be right? And if a step is half as long,
# twice as many of them: by what factor does the error in energy fall?

# %%
# takes about 2 s
digits = data.load("digits")
x_train = np.asarray(digits.x_train, dtype=np.float64)
x_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
plane_vae = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
fit(plane_vae, x_train, epochs=60, learning_rate=3e-3, rng=rng, report=silent)
one = x_test[:1]
z_0, momentum_0 = rng.standard_normal((2, 1, 1, 2))


def slope_of_one(z):
    return annealing.log_joint_slope(lambda z: annealing.decoded_slope(plane_vae, one, z), 1.0, z)


def log_f_of_one(z):
    return annealing.log_joint(lambda z: annealing.decoded(plane_vae, one, z), 1.0, z)


def end_of_path(state):
    """(z, momentum) (4,) after 10 leapfrog steps of 0.1"""
    z, momentum = annealing.leapfrog(*state.reshape(2, 1, 1, 2), slope_of_one, 0.1, 10)
    return np.concatenate([z, momentum]).ravel()


def energy_error(step, count):
    z, momentum = annealing.leapfrog(z_0, momentum_0, slope_of_one, step, count)
    kinetic = 0.5 * np.sum(momentum**2 - momentum_0**2)
    return abs(kinetic - (log_f_of_one(z) - log_f_of_one(z_0)).item())


state = np.concatenate([z_0, momentum_0]).ravel()
turned = end_of_path(state) * np.repeat([1, -1], 2)
jacobian = np.array([vector_jacobian(end_of_path, state, row) for row in np.eye(4)])
slope_by_differences = central_difference(lambda z: log_f_of_one(z).sum(), z_0)

claim("14.5", "Leapfrog: its slope, the way back, volume 1, an error of order step^2")
check("d log f / dz", slope_of_one(z_0), slope_by_differences, tolerance=1e-6)
check("there and back", end_of_path(turned) * np.repeat([1, -1], 2), state, tolerance=1e-9)
check("volume", np.linalg.det(jacobian), 1, tolerance=1e-5)
check("error: step 0.01, 0.005", energy_error(0.01, 40) / energy_error(0.005, 80), 4, tolerance=0.1,
      decimals=2)  # fmt: skip

# %% [markdown]
# Reversible and volume-keeping: then the coin alone makes it right, whatever the step.
#
# ## Step 6: against the grid
#
# Draw 40 digits *from the model* (8 x 8, two latents). Anneal up from the prior, down from the $z$
# that each was made of, and sum over lesson 7's grid.
#
# Predict first: is the grid's $\log p(x)$ between the two for *each* of the digits?


# %%
# takes about 3 s
def chains_up_and_down(vae, x, z_of_x, temperatures, step):
    """log w of the chains up, and of those down (CHAINS, B); the share of moves accepted."""
    accepted = []

    def px(z):
        return annealing.decoded(vae, x, z)

    def slope_px(z):
        return annealing.decoded_slope(vae, x, z)

    def move(t, z):
        momentum, log_u = rng.standard_normal(z.shape), np.log(rng.uniform(size=z.shape[:-1]))
        log_f, slope = annealing.log_joint, annealing.log_joint_slope
        z, taken = annealing.hamiltonian(
            z, momentum, log_u, lambda z: log_f(px, t, z), lambda z: slope(slope_px, t, z), step, 4
        )
        accepted.append(taken.mean())
        return z

    prior = rng.standard_normal((CHAINS, len(x), vae.latent_dim))
    log_w_up, _ = annealing.anneal(prior, temperatures, px, move)
    posterior = np.tile(z_of_x, (CHAINS, 1, 1))
    log_w_down, _ = annealing.anneal(posterior, temperatures[::-1], px, move)
    return log_w_up, log_w_down, np.mean(accepted)


def from_model(vae, n):
    """x (n, D) and the z (n, Z) that each was made from"""
    z = rng.standard_normal((n, vae.latent_dim))
    return data.binarize(sigmoid(vae.decode(z)), rng), z


def log_px_on_grid(vae, x):
    plane, log_area = plane_grid(points_per_axis=160, half_width=6)
    logits = vae.decode(plane)
    log_joint = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_integral(log_joint - 0.5 * np.sum(plane**2, axis=1) - np.log(2 * np.pi), log_area)


x_made, z_made = from_model(plane_vae, 40)
temperatures = np.linspace(0, 1, 61) ** 2
log_w_up, log_w_down, accepted = chains_up_and_down(plane_vae, x_made, z_made, temperatures, 0.15)
by_grid = log_px_on_grid(plane_vae, x_made)
lower, upper = log_w_up.mean(axis=0), -log_w_down.mean(axis=0)

claim("14.6", "Lower bound <= log p(x) <= upper bound, for 40 digits that a VAE made")
check("up: E w / p(x)", estimate(np.exp(log_w_up - by_grid).mean(axis=0)), 1)
check("down: E w p(x)", estimate(np.exp(log_w_down + by_grid).mean(axis=0)), 1)
check_at_most("lower - grid", estimate(lower - by_grid), 0)
check_at_most("0, upper - grid", 0, estimate(upper - by_grid))
check_less("width", np.mean(upper - lower), 0.6, decimals=3)
outside = np.sum((lower > by_grid) | (upper < by_grid))
say(f"{outside} of 40 digits have the grid outside of their own two means of {CHAINS} chains.")
check_less("0, digits outside", 0, outside, decimals=0)
check_less("80%, moves accepted", 0.8, accepted, decimals=3)

# %% [markdown]
# Not for each: both are bounds *in expectation*, and a mean of a few chains is a drawn number.
#
# ## Step 7: ten latents, no grid
#
# Train a VAE with ten latents, let it make 40 digits, and bound their $\log p(x)$: by the ELBO, by
# 500 importance weights of the encoder's $q$, and by the sandwich, with more and more temperatures.
# In the end the mean $w$ of the 8 chains goes into the logarithm, on both sides: tighter still.
#
# Predict first: the truth is not known here. How do we know how good the importance weights are?

# %%
# takes about 6 s
vae = VAE.create(64, (64,), LATENTS, rng=rng, dtype=np.float64)
fit(vae, x_train, epochs=60, learning_rate=3e-3, rng=rng, report=silent)
x_many, z_many = from_model(vae, 40)
sandwich = {}
for count in [LONG // 8, LONG // 4, LONG // 2, LONG]:
    path = np.linspace(0, 1, count + 1) ** 2
    log_w_up, log_w_down, _ = chains_up_and_down(vae, x_many, z_many, path, 0.2)
    sandwich[count] = log_w_up.mean(axis=0), -log_w_down.mean(axis=0)
lowest, highest = log_mean_exp(log_w_up, axis=0), -log_mean_exp(log_w_down, axis=0)
elbo = evaluate.elbo(vae, x_many, rng, samples=100)
weighted = evaluate.log_likelihood(vae, x_many, rng, samples=500)
eps = rng.standard_normal((500, 40, LATENTS))
mu, logvar = vae.encode(x_many)
z = gaussian.reparameterize(mu, logvar, eps)
log_weights = annealing.decoded(vae, x_many, z) + 0.5 * (eps**2 - z**2 + logvar).sum(axis=-1)
effective = [effective_sample_size(column) for column in log_weights.T]

claim("14.7", "In ten dimensions the sandwich closes, and judges the other bounds")
say("temperatures     lower     upper     width")
for count, (low, high) in sandwich.items():
    say(f"{count:12d}{low.mean():10.2f}{high.mean():10.2f}{(high - low).mean():10.2f}")
widths = {count: (high - low).mean() for count, (low, high) in sandwich.items()}
check_less("width: long, short", widths[LONG], widths[LONG // 8], by=0.5, decimals=2)
say()
say(f"{CHAINS} chains of {LONG} temperatures inside the logarithm")
check_at_most("lower - upper", estimate(lowest - highest), 0)
check_less("width", (highest - lowest).mean(), 0.4, decimals=2)
check_less("ELBO - 500 weights", estimate(elbo - weighted), 0)
check_at_most("500 weights - upper", estimate(weighted - highest), 0)
say(f"ELBO {elbo.mean():.2f}, 500 weights {weighted.mean():.2f}, sandwich {lowest.mean():.2f} to "
    f"{highest.mean():.2f}")  # fmt: skip
say(f"Of the 500 weights {np.median(effective):.0f} count (median of the 40 digits).")

# %%
with plot.style():
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    counts = list(sandwich)
    lows, highs = (np.array([sandwich[count][side].mean() for count in counts]) for side in (0, 1))
    axes.fill_between(counts, lows, highs, color=plot.COLOURS["sky"], alpha=0.3)
    axes.plot(counts, highs, "v-", color=plot.COLOURS["vermilion"], markersize=10,
              label="down from the posterior: above")  # fmt: skip
    axes.plot(counts, lows, "^-", color=plot.COLOURS["blue"], markersize=10,
              label="up from the prior: below")  # fmt: skip
    axes.axhline(weighted.mean(), color="black", linestyle="--", label="500 importance weights")
    axes.axhline(elbo.mean(), color="black", linestyle=":", label="ELBO")
    axes.set(xlabel="temperatures", ylabel="log p(x) (nats per digit)", xscale="log")
    axes.set_xticks(counts, counts)
    axes.minorticks_off()
    axes.legend(frameon=False)
    axes.set_title(
        f"{LONG} temperatures close the sandwich to {widths[LONG]:.1f} nats, without a grid"
    )
    plt.show()

# %% [markdown]
# The upper bound judges: what lies within a few tenths of it *is* $\log p(x)$, for digits that the
# model made. For real ones there is no draw of the posterior, so no upper bound; but a method that
# is good on 40 of its own digits is to be trusted on 40 others. With many latents and
# 28 x 28 pixels it can say that thousands of importance weights are nats short: this is why
# `tinyvae evaluate` calls its estimate a lower bound and says how many of the weights count.
#
# Slips that are often seen: the mean of $w$ where the mean of $\log w$ is meant, and the other way
# round; a likelihood that is not multiplied by $t$ in the slope; energies compared without the
# momentum; an upper bound that starts at a draw of the *encoder's* $q$, which is no draw of the
# posterior.
#
# ## Try it
#
# Try it: STEPS = 64
#
# A quarter of the width. Which of the three ways of step 3 gains most?
#
# Try it: KEEP = 0.99
#
# Slower still. Which row of 14.4 suffers, and is $E w = p(x)$ still true?
#
# Try it: LONG = 400
#
# Does the sandwich close to a tenth of a nat?
