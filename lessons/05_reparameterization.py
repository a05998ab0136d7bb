# %% [markdown]
# # Lesson 5: Reparameterization
#
# One z a step is enough, if the gradient can pass through it: z = mu + sigma eps.
#
# The first term of the objective is $E_q \log p(x|z)$. The article says that a good
# estimate of it "requires many $z$. Therefore, what we do is to sample". A *good* estimate does,
# but training can do without one: a single $z$ for each $x$ and step is right on average, and that
# is enough. What the article leaves out is how to draw it so that $q$ can learn from it.
#
# Again we take a model about which everything is known, with one latent number and two data
# numbers:
#
# $$p(x|z) = N(W z + b, \, \tfrac12 I), \qquad q(z) = N(\mu, \, \sigma^2), \qquad
# f(z) = \log p(x|z)$$
#
# $q$ has two parameters, $\mu$ and `logvar` $= \log \sigma^2$. Here $E_q f(z)$ has a closed form,
# and so has its gradient. In a VAE neither has.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, fit, gaussian
from tinyvae.classroom.lesson import check, check_differs, check_less, claim, say, title
from tinyvae.oracles import (
    Estimate,
    LinearGaussian,
    central_difference,
    complex_step,
    estimate,
    points,
    standard_normal_grid,
)

SEED = 5
DRAWS = 100_000
W, B = np.array([[1.5], [-0.8]]), np.array([0.2, 0.1])
NOISE_VAR = 0.5  # of p(x|z)
DATA = (1.4, -1.0)  # x
MEAN = 0.3  # of q
LOG_VARIANCE = -1.0  # of q
X, MU, LOGVAR = np.array(DATA), np.array([MEAN]), np.array([LOG_VARIANCE])
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe and Ito

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})
model = LinearGaussian(W, B, NOISE_VAR)


def f(z):
    """log p(x|z) by the package.    z (S, 1)  ->  (S,)"""
    return gaussian.log_density_diagonal(X, z @ W.T + B, np.full(2, np.log(NOISE_VAR)))


def df(z):
    """df/dz: (x - W z - b)' W / noise variance.    z (S, 1)  ->  (S, 1)"""
    return (X - z @ W.T - B) @ W / NOISE_VAR


def expected_f(mu, logvar):
    """E_q f(z) in closed form."""
    return model.expected_log_px_given_z(X, mu, np.diag(np.exp(logvar)))


title("Lesson 5: Reparameterization")

# %% [markdown]
# ## Step 1: one z is right on average
#
# `reparameterize` makes $z = \mu + \sigma \epsilon$ from $\epsilon \sim N(0, 1)$. Below are 100,000
# steps with one $z$ each, then as many with ten.
#
# Predict first: which of the two averages is off?

# %%
eps = rng.standard_normal((DRAWS, 1))
z = gaussian.reparameterize(MU, LOGVAR, eps)
f_of_ten = f(gaussian.reparameterize(MU, LOGVAR, rng.standard_normal((DRAWS, 10, 1)))).mean(axis=1)

claim("5.1", "The estimate of E_q log p(x|z) from one z is right on average, as of ten")
check("one z a step", estimate(f(z)), expected_f(MU, LOGVAR))
check("ten z a step", estimate(f_of_ten), expected_f(MU, LOGVAR))
say()
say(f"spread of a single step: {f(z).std():.2f} nats with one z, {f_of_ten.std():.2f} with ten")

# %% [markdown]
# ## Step 2: the gradient, three ways
#
# To train $q$ we need the gradient of $E_q f(z)$ by $\mu$ and `logvar`. But they sit in the
# distribution that $z$ is drawn from. How does one differentiate a draw?
#
# - **exact**: differentiate the closed form (if there is one)
# - **score function**: draw $z$, and move $q$ towards it if $f(z)$ is high. As
#   $\nabla q = q \, \nabla \log q$, the gradient of the integral is a mean under $q$ again:
#   $\nabla \int q f dz = \int f \, q \, \nabla \log q \, dz = E_q [f(z) \, \nabla \log q(z)]$
# - **pathwise**: write $z = \mu + \sigma \epsilon$. Now the noise comes from a fixed distribution,
#   $z$ is an ordinary function of $\mu$ and $\sigma$, and the chain rule does the rest:
#   $\nabla E_q f = E_{\epsilon} [f'(z) \, \nabla z]$
#
# Both of the latter are unbiased. The score function asks how *high* $f$ is at $z$, the path asks
# how *steep*.
#
# Predict first: which one needs more draws?

# %%
var = np.exp(LOGVAR)
exact_dmu = complex_step(lambda mu: expected_f(mu, LOGVAR), MU)[0]
exact_dlogvar = complex_step(lambda logvar: expected_f(MU, logvar), LOGVAR)[0]

score_dmu = f(z) * ((z - MU) / var)[:, 0]
score_dlogvar = f(z) * (((z - MU) ** 2 / var - 1) / 2)[:, 0]
path_dmu, path_dlogvar = gaussian.reparameterize_backward(df(z), LOGVAR, eps)

claim("5.2", "d E_q f(z), by the score function and along the path = exact")
say("by mu")
check("score function", estimate(score_dmu), exact_dmu)
check("pathwise", estimate(path_dmu[:, 0]), exact_dmu)
say()
say("by logvar")
check("score function", estimate(score_dlogvar), exact_dlogvar)
check("pathwise", estimate(path_dlogvar[:, 0]), exact_dlogvar)

# %% [markdown]
# ## Step 3: what a draw is worth
#
# The error bars gave it away. Now the variances themselves, for the derivative by $\mu$. On the
# right they come from Gauss-Hermite quadrature, without any draw. A third way joins: the score
# function with a *baseline*. As $\int q \, dz = 1$ for every $q$, its gradient
# $E_q \nabla \log q(z)$ is 0, and a constant may be taken from $f(z)$; we take $f(\mu)$.
#
# Predict first: how many draws of the score function are worth one of the path?

# %%
baseline_dmu = (f(z) - f(MU)) * ((z - MU) / var)[:, 0]
single_draws = {
    "score function": score_dmu,
    "with a baseline": baseline_dmu,
    "pathwise": path_dmu[:, 0],
}

nodes, log_node_weights = standard_normal_grid(20, dim=1)
node_weights = np.exp(log_node_weights)
z_nodes = MU + np.sqrt(var) * nodes
f_nodes = model.log_px_given_z(X, z_nodes)
f_mu = model.log_px_given_z(X, MU)
slope_nodes = np.sum((X - z_nodes @ W.T - B) * W.T, axis=1) / NOISE_VAR
score_nodes = nodes[:, 0] / np.sqrt(var)
variances = {
    "score function": node_weights @ (f_nodes * score_nodes - exact_dmu) ** 2,
    "with a baseline": node_weights @ ((f_nodes - f_mu) * score_nodes - exact_dmu) ** 2,
    "pathwise": node_weights @ (slope_nodes - exact_dmu) ** 2,
}

claim("5.3", "The variance of d E_q f(z) / d mu from one draw: drawn = quadrature")
check("E_q d log q / d mu", estimate(((z - MU) / var)[:, 0]), 0)
for name, draws in single_draws.items():
    check(name, estimate((draws - exact_dmu) ** 2), variances[name])
say()
for name in ["score function", "with a baseline"]:
    ratio = variances[name] / variances["pathwise"]
    say(f"{name}: {ratio:.1f} draws are worth one along the path")

# %%
figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
sizes = np.array([1, 10, 100, 1000])
for name, color, marker, style in [
    ("score function", ORANGE, "o", "-"),
    ("with a baseline", BLACK, "^", ":"),
    ("pathwise", BLUE, "s", "--"),
]:
    measured = [
        estimate((single_draws[name].reshape(-1, size).mean(axis=1) - exact_dmu) ** 2)
        for size in sizes
    ]
    axes.loglog(sizes, variances[name] / sizes, style, color=color, linewidth=2)
    axes.errorbar(
        sizes,
        [m.mean for m in measured],
        [2 * m.standard_error for m in measured],
        fmt=marker, color=color, markersize=9, capsize=5, label=name,
    )  # fmt: skip
axes.set(
    xlabel="draws of z averaged",
    ylabel="variance of the derivative by mu (nats$^2$ per unit$^2$)",
)
axes.legend(title="points drawn, with 2 standard errors;\nlines by quadrature")
axes.set_title(
    f"One draw along the path is worth {variances['score function'] / variances['pathwise']:.0f} "
    "of the score function",
    weight="bold",
)
plt.show()

# %% [markdown]
# The factor depends on the case. The score function multiplies by $f$ itself: it gets worse with
# every nat that $f$ is away from its baseline, and with every dimension of $z$. The path sees the
# slope alone, whose variance comes from the *curvature* of $f$. But the score function asks nothing
# of $f$, while the path needs a slope. Where $z$ is discrete, there is no path: lesson 13.
#
# ## Step 4: one z a step, in a VAE
#
# A small VAE, whose loss has no closed form: four pixels, three hidden units on either side, one
# latent number. `loss_and_grads` takes one `eps`. Gauss-Hermite quadrature over `eps`, 200 nodes,
# gives the average of its gradients over *all* draws. On the right is the gradient of the average
# loss: written out anew in plain NumPy, averaged by another rule (2,001 equal steps), and
# differentiated by the complex step.
#
# Predict first: is the average of the gradients the gradient of the average?

# %%
vae = VAE.create(4, (3,), 1, rng=rng, dtype=np.float64)
for name in vae.params:
    vae.params[name] = rng.normal(0, 0.7, vae.params[name].shape)
pixels = np.array([[1.0, 0.0, 1.0, 1.0]])
even_steps = np.linspace(-12, 12, 2001)[:, None]
even_weights = np.exp(-(even_steps[:, 0] ** 2) / 2)
even_weights = even_weights / even_weights.sum()
many_nodes, log_many_weights = standard_normal_grid(200, dim=1)


def average_loss(p):
    """E_eps [ -log p(x|z) ] + KL( q(z|x) || p(z) ) by equal steps, in plain NumPy."""
    h = np.tanh(pixels @ p["encoder.0.W"] + p["encoder.0.b"])
    mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
    g = np.tanh((mu + np.exp(logvar / 2) * even_steps) @ p["decoder.0.W"] + p["decoder.0.b"])
    logits = g @ p["logits.W"] + p["logits.b"]
    recon = np.sum(np.log(1 + np.exp(logits)) - pixels * logits, axis=1)
    return even_weights @ recon + np.sum(mu**2 + np.exp(logvar) - 1 - logvar) / 2


def gradient(noise):
    """The VAE's gradient for pixels, averaged over the rows of noise."""
    return vae.loss_and_grads(np.repeat(pixels, len(noise), axis=0), noise)[3]


exact = {
    name: complex_step(lambda v, name=name: average_loss(vae.params | {name: v}), value)
    for name, value in vae.params.items()
}
at_nodes = [gradient(node[None]) for node in many_nodes]
averaged = {
    name: np.tensordot(np.exp(log_many_weights), [grads[name] for grads in at_nodes], axes=1)
    for name in exact
}
steps_of_1 = [gradient(rng.standard_normal((1, 1))) for _ in range(4000)]
steps_of_100 = [gradient(rng.standard_normal((100, 1))) for _ in range(400)]

claim("5.4", "The mean gradient of one draw  =  of many  =  that of the mean loss")
say("averaged over all eps, for every parameter")
check(
    "quadrature",
    np.concatenate([averaged[name].ravel() for name in exact]),
    np.concatenate([exact[name].ravel() for name in exact]),
    tolerance=1e-6,
)
for name in ["mu.b", "logvar.b"]:
    say()
    say(f"by {name}: 4000 steps with one draw, 400 steps with 100")
    check("one draw", estimate([grads[name][0] for grads in steps_of_1]), exact[name][0])
    check("100 draws", estimate([grads[name][0] for grads in steps_of_100]), exact[name][0])

# %% [markdown]
# ## Step 5: the error averages out over the batch
#
# A gradient is noisy for two reasons: which images are in the batch, and which `eps` they got. With
# $B$ images and $S$ draws for each,
#
# $$\mathrm{variance} = (V_{images} + V_{eps} / S) / B$$
#
# What does it cost? $S$ draws of one image need *one* pass through the encoder and $S$ through the
# decoder. Count the multiply-adds of a forward and a backward pass: with 64 pixels, 32 hidden units
# and 2 latent numbers, 4,480 in the encoder and 6,336 in the decoder. For the price of 100 images
# with one draw each one gets 63 with 2, 46 with 3, 36 with 4, 25 with 6 or 15 with 10.
#
# A VAE that has seen the digits a few times measures it: the summed variance of the gradient of
# *all* its weights.
#
# Predict first: what is the best way to spend the price of 100 passes?

# %%
# takes about 4 s
REPEATS = 600
ENCODER_WORK = 2 * (64 * 32 + 32 * 2 * 2) + 32 * 2 * 2  # no gradient by the pixels is needed
DECODER_WORK = 3 * (2 * 32 + 32 * 64)
PRICE = 100 * (ENCODER_WORK + DECODER_WORK)

x_train = data.binarize(np.asarray(data.load("digits").x_train, dtype=np.float64), rng)
digit_vae = VAE.create(64, (32,), 2, rng=rng, dtype=np.float64)
history = fit(digit_vae, x_train, epochs=20, learning_rate=3e-3, rng=rng, report=lambda row: None)


def step_gradients(images, draws):
    """Gradients of REPEATS steps: of all weights (REPEATS, P), and which of them are mu.W's."""
    rows = []
    for _ in range(REPEATS):
        chosen = np.repeat(rng.integers(len(x_train), size=images), draws)
        noise = rng.standard_normal((len(chosen), 2))
        rows.append(digit_vae.loss_and_grads(x_train[chosen], noise)[3])
    return (
        np.array([np.concatenate([g.ravel() for g in grads.values()]) for grads in rows]),
        np.array([grads["mu.W"].ravel() for grads in rows]),
    )


def summed_variance(gradients):
    """The variances of all entries together, with their standard error."""
    return estimate(np.sum((gradients - gradients.mean(axis=0)) ** 2, axis=1))


draws_of_each = [1, 2, 3, 4, 6, 10]
images_of = {s: int(PRICE / (ENCODER_WORK + s * DECODER_WORK)) for s in draws_of_each}
steps = {s: step_gradients(images_of[s], s) for s in draws_of_each}
variance_all = {s: summed_variance(every) for s, (every, _) in steps.items()}
variance_mu = {s: summed_variance(mu_weights) for s, (_, mu_weights) in steps.items()}

# B variance = V_images + V_eps / S is a line in 1 / S: through its two ends, 1 and 10 draws
ends = [images_of[s] * variance_all[s].mean for s in (1, 10)]
v_eps = (ends[0] - ends[1]) / (1 - 1 / 10)
v_images = ends[0] - v_eps
error = np.hypot(*(images_of[s] * variance_all[s].standard_error for s in (1, 10)))

claim("5.5", "For the same work, one draw of each of 100 images has the least noise")
say(f"all weights: V_images = {v_images:.0f}, V_eps = {v_eps:.0f}; measured = by the formula")
for s in draws_of_each[1:-1]:
    formula = Estimate((v_images + v_eps / s) / images_of[s], error / images_of[s], REPEATS)
    check(f"{images_of[s]} x {s}", variance_all[s], formula, decimals=2)
say()
for s in draws_of_each[1:]:
    check_less(f"100 x 1, {images_of[s]} x {s}", variance_all[1], variance_all[s], decimals=2)

claim("5.6", "For mu's weights alone, three draws of each of 46 images are better")
check_less("mu.W: 46 x 3, 100 x 1", variance_mu[3], variance_mu[1], decimals=2)

# %%
figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
by_formula = [(v_images + v_eps / s) / images_of[s] for s in draws_of_each]
axes.plot(draws_of_each, by_formula, color=BLACK, linewidth=2)
axes.errorbar(
    draws_of_each,
    [v.mean for v in variance_all.values()],
    [2 * v.standard_error for v in variance_all.values()],
    fmt="s", color=BLUE, markersize=9, capsize=5,
)  # fmt: skip
for s, variance in variance_all.items():
    axes.annotate(f"{images_of[s]} x {s}", (s + 0.15, variance.mean - 0.35), color=BLUE)
axes.set(
    xlabel="draws of z for each image, for the same work a step",
    ylabel="variance of the gradient of all weights (nats$^2$)",
    ylim=(0, None),
)
best = min(draws_of_each, key=lambda s: variance_all[s].mean)
axes.set_title(
    f"For the same work, {images_of[best]} images x {best} draw has the least noise", weight="bold"
)
plt.show()

# %% [markdown]
# Both results come from one formula. A draw more costs only a decoder pass, an image more costs
# both; what is worth it depends on which noise is the larger. For $\mu$'s weights that is $V_{eps}$
# by far, for all weights together $V_{images}$ counts as well. One draw is never far from the best,
# and it is the simplest: that is why one $z$ for each $x$ is enough.
#
# ## Step 6: without the path there is no gradient
#
# Suppose that $z$ is drawn first, by a random number generator, and handed on as a number. Then
# $f(z)$ does not know of $\mu$, and a library for derivatives reports 0. If the generator is asked
# again after nudging $\mu$, the answer changes because of the *noise*: divided by a small step, it
# is anything. Only with the noise as an argument, held fixed, is there something to differentiate.
#
# Predict first: with fresh noise, is a smaller step better or worse?

# %%
one_eps = eps[:1]
path_one = gaussian.reparameterize_backward(df(z[:1]), LOGVAR, one_eps)
nudged_mu = central_difference(lambda mu: f(gaussian.reparameterize(mu, LOGVAR, one_eps))[0], MU)
nudged_logvar = central_difference(
    lambda logvar: f(gaussian.reparameterize(MU, logvar, one_eps))[0], LOGVAR
)
frozen_mu = central_difference(lambda mu: f(z[:1])[0], MU)

claim("5.7", "A draw has a gradient only as a function of its noise")
say("the same noise on both sides of the nudge = reparameterize_backward")
check("by mu", nudged_mu[0], path_one[0][0, 0], tolerance=1e-8)
check("by logvar", nudged_logvar[0], path_one[1][0, 0], tolerance=1e-8)
say()
say("z drawn first, as a number: the gradient gets lost")
check("by mu: lost", frozen_mu[0], 0)
check_differs("by mu: lost, exact", frozen_mu[0], exact_dmu)
say()
say("fresh noise on both sides: variance of the quotient = Var f / (2 step^2)")
for step in [0.1, 0.01, 0.001]:
    above = f(gaussian.reparameterize(MU + step, LOGVAR, rng.standard_normal((DRAWS, 1))))
    below = f(gaussian.reparameterize(MU - step, LOGVAR, rng.standard_normal((DRAWS, 1))))
    f_above = model.log_px_given_z(X, z_nodes + step)
    f_below = model.log_px_given_z(X, z_nodes - step)
    var_above = node_weights @ (f_above - node_weights @ f_above) ** 2
    var_below = node_weights @ (f_below - node_weights @ f_below) ** 2
    quotients = (above - below) / (2 * step)
    check(
        f"step {step}",
        estimate((quotients - exact_dmu) ** 2),
        (var_above + var_below) / (2 * step) ** 2,
    )

# %% [markdown]
# ## Step 7: exp(logvar) is not sigma
#
# A common mistake takes $e^{logvar}$ for $\sigma$; right is $e^{logvar / 2}$. Here its backward
# makes the same mistake. Two tests look at it: a gradient check (the backward against differences
# of the forward), and a moment test (draw many $z$: their variance must be $\sigma^2$).
#
# Predict first: which of the two tests sees the mistake, the gradient check or the variance of many
# draws?


# %%
def wrong_reparameterize(mu, logvar, eps):
    return mu + np.exp(logvar) * eps


def wrong_reparameterize_backward(dz, logvar, eps):
    return dz, dz * eps * np.exp(logvar)


z_wrong = wrong_reparameterize(MU, LOGVAR, eps)
path_wrong = wrong_reparameterize_backward(df(z_wrong[:1]), LOGVAR, one_eps)
nudged_wrong = central_difference(
    lambda logvar: f(wrong_reparameterize(MU, logvar, one_eps))[0], LOGVAR
)
two_points = gaussian.reparameterize(MU, LOGVAR, points(0.0, 1.0))  # eps = 1 and -1

claim("5.8", "A moment test tells exp(logvar) from sigma; a gradient check does not")
say("gradient check, by logvar")
check("exp(logvar)", nudged_wrong[0], path_wrong[1][0, 0], tolerance=1e-8)
say()
say("moment test: E (z - mu)^2 = exp(logvar)")
check("package", estimate((z[:, 0] - MU) ** 2), np.exp(LOGVAR[0]))
check("package, eps = 1, -1", np.mean((two_points - MU) ** 2), np.exp(LOGVAR[0]))
check_differs("exp(logvar)", estimate((z_wrong[:, 0] - MU) ** 2), np.exp(LOGVAR[0]))

# %% [markdown]
# A gradient check sees that a backward fits its forward, and nothing else. And the mistake does
# harm. For the posterior the ELBO is $\log p(x)$, and it is never above.
#
# Predict first: for a posterior with $\sigma < 1$, does the mistake make the ELBO look better or
# worse?

# %%
posterior_mean, posterior_cov = model.posterior(X)
posterior_logvar = np.log(np.diag(posterior_cov))
kl = gaussian.kl_to_standard_normal(posterior_mean, posterior_logvar)
elbo = f(gaussian.reparameterize(posterior_mean, posterior_logvar, eps)) - kl
wrong_elbo = f(wrong_reparameterize(posterior_mean, posterior_logvar, eps)) - kl

claim("5.9", "With exp(logvar) as sigma the lower bound is none")
check("ELBO, log p(x)", estimate(elbo), model.log_px(X))
check_less("log p(x), wrong ELBO", model.log_px(X), estimate(wrong_elbo))

# %% [markdown]
# With the wrong $\sigma$ the $z$ stay closer to $\mu$ than $q$ says, and the "ELBO" exceeds what it
# bounds.
#
# ## Try it
#
# Try it: DATA = (5.4, -1.0)
#
# $x$ is further away: $f$ is lower and steeper, but no more curved. Whose variance in 5.3 stays the
# same, and why? Whose explodes?
#
# Try it: NOISE_VAR = 0.05
#
# $f$ gets ten times as curved. How much do the three variances grow?
#
# Try it: LOG_VARIANCE = 0.0
#
# Now a row of 5.8 fails: $e^0 = e^{0/2}$. What does this say about a test that draws with
# $\sigma = 1$?
