# %% [markdown]
# # Lesson 5: Reparameterization
#
# One z a step is enough, if the gradient can pass through it: z = mu + sigma eps.
#
# The first term of the objective is $E_{z \sim Q} \log p(x|z)$. The article says that a good
# estimate of it "requires many $z$. Therefore, what we do is to sample". A *good* estimate does,
# but training can do without one: a single $z$ for each $x$ and step is right on average, and that
# is enough. What the article leaves out is how to draw it so that $Q$ can learn from it.
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
from tinyvae.classroom.lesson import check, check_at_most, check_differs, claim, say, title
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
W, B, NOISE_VAR = np.array([[1.5], [-0.8]]), np.array([0.2, 0.1]), 0.5
X = np.array([1.4, -1.0])
MU, LOGVAR = np.array([0.3]), np.array([-1.0])
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

claim("5.1", "The estimate of E_q log p(x|z) from one z is right on average, as from ten")
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
# - **score function**: draw $z$, and move $q$ towards it if $f(z)$ is high:
#   $\nabla E_q f = E_q [f(z) \, \nabla \log q(z)]$
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
# function with a *baseline*. As $E_q \nabla \log q(z) = 0$, a constant may be taken from $f(z)$;
# we take $f(\mu)$.
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
for name, draws in single_draws.items():
    check(name, estimate((draws - exact_dmu) ** 2), variances[name])
say()
for name in ["score function", "with a baseline"]:
    ratio = variances[name] / variances["pathwise"]
    say(f"{name}: {ratio:.1f} draws are worth one along the path")

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
    ylabel="variance of d E f / d mu (nats$^2$ per unit of mu$^2$)",
)
axes.legend(title="points drawn, with 2 standard errors;\nlines by quadrature")
axes.set_title(
    f"One draw along the path is worth {variances['score function'] / variances['pathwise']:.0f} "
    "of the score function",
    weight="bold",
)
plt.show()

# %% [markdown]
# The factor depends on the case. It usually grows with $|f|$ and with the dimensions of $z$. But
# the score function asks nothing of $f$, while the path needs a slope. Where $z$ is discrete, there
# is no path.
#
# ## Step 4: one z a step, in a VAE
#
# A small VAE, whose loss has no closed form: four pixels, three hidden units on either side, one
# latent number. `loss_and_grads` takes one `eps`. Quadrature over `eps` gives the average of its
# gradients over *all* draws. On the right is the gradient of the average loss, which we write out
# anew in plain NumPy and differentiate by the complex step.
#
# Predict first: is the average of the gradients the gradient of the average?

# %%
vae = VAE.create(4, (3,), 1, rng=rng, dtype=np.float64)
for name in vae.params:
    vae.params[name] = rng.normal(0, 0.7, vae.params[name].shape)
pixels = np.array([[1.0, 0.0, 1.0, 1.0]])


def average_loss(p):
    """E_eps [ -log p(x|z) ] + KL( q(z|x) || p(z) ) by quadrature, in plain NumPy."""
    h = np.tanh(pixels @ p["encoder.0.W"] + p["encoder.0.b"])
    mu, logvar = h @ p["mu.W"] + p["mu.b"], h @ p["logvar.W"] + p["logvar.b"]
    g = np.tanh((mu + np.exp(logvar / 2) * nodes) @ p["decoder.0.W"] + p["decoder.0.b"])
    logits = g @ p["logits.W"] + p["logits.b"]
    recon = np.sum(np.log(1 + np.exp(logits)) - pixels * logits, axis=1)
    return node_weights @ recon + np.sum(mu**2 + np.exp(logvar) - 1 - logvar) / 2


def gradient(noise):
    """The VAE's gradient for pixels, averaged over the rows of noise."""
    return vae.loss_and_grads(np.repeat(pixels, len(noise), axis=0), noise)[3]


exact = {
    name: complex_step(lambda v, name=name: average_loss(vae.params | {name: v}), value)
    for name, value in vae.params.items()
}
at_nodes = [gradient(node[None]) for node in nodes]
averaged = {
    name: sum(weight * grads[name] for weight, grads in zip(node_weights, at_nodes, strict=True))
    for name in exact
}
steps_of_1 = [gradient(rng.standard_normal((1, 1))) for _ in range(4000)]
steps_of_100 = [gradient(rng.standard_normal((100, 1))) for _ in range(400)]

claim("5.4", "The expected gradient from one draw is that from many: that of the expected loss")
say("averaged over all eps, for every parameter")
check(
    "quadrature",
    np.concatenate([averaged[name].ravel() for name in exact]),
    np.concatenate([exact[name].ravel() for name in exact]),
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
# $$\mathrm{variance} = \frac{1}{B} \left( V_{images} + \frac{1}{S} V_{eps} \right)$$
#
# The work is $B \cdot S$ passes through the network. A VAE that has seen the digits a few times
# measures it: the gradient of the encoder's weights to $\mu$, at 100 passes a step.
#
# Predict first: what is the best way to spend 100 passes?

# %%
REPEATS = 600

x_train = data.binarize(np.asarray(data.load("digits").x_train, dtype=np.float64), rng)
digit_vae = VAE.create(64, (32,), 2, rng=rng, dtype=np.float64)
history = fit(digit_vae, x_train, epochs=20, learning_rate=3e-3, rng=rng, report=lambda row: None)


def step_gradients(draws):
    """Gradients of REPEATS steps, each with 100 / draws images and so many draws of each."""
    rows = []
    for _ in range(REPEATS):
        chosen = np.repeat(rng.integers(len(x_train), size=100 // draws), draws)
        noise = rng.standard_normal((100, 2))
        rows.append(digit_vae.loss_and_grads(x_train[chosen], noise)[3]["mu.W"].ravel())
    return np.array(rows)


draws_of_each = [1, 2, 5, 10, 20, 50, 100]
steps = {draws: step_gradients(draws) for draws in draws_of_each}
mean_gradient = np.mean([steps[draws].mean(axis=0) for draws in (1, 2, 5)], axis=0)
step_variances = {
    draws: estimate(np.sum((gradients - mean_gradient) ** 2, axis=1))
    for draws, gradients in steps.items()
}

# At 100 passes the variance is (draws V_images + V_eps) / 100, a straight line in the draws.
one, hundred = step_variances[1], step_variances[100]
predicted = {
    draws: Estimate(
        one.mean + (draws - 1) / 99 * (hundred.mean - one.mean),
        np.hypot(
            (100 - draws) / 99 * one.standard_error, (draws - 1) / 99 * hundred.standard_error
        ),
        REPEATS,
    )
    for draws in draws_of_each
}

claim("5.5", "For the same work, one draw of each of 100 images is best")
say("variance of a step's gradient: measured = on the line through 1 and 100")
for draws in draws_of_each[1:-1]:
    images = 100 // draws
    check(f"{images} x {draws}", step_variances[draws], predicted[draws])
say()
check_at_most("100 x 1, 10 x 10", step_variances[1], step_variances[10], decimals=2)
check_at_most("10 x 10, 1 x 100", step_variances[10], step_variances[100], decimals=2)

figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
axes.plot(draws_of_each, [p.mean for p in predicted.values()], color=BLACK, linewidth=2)
axes.errorbar(
    draws_of_each,
    [v.mean for v in step_variances.values()],
    [2 * v.standard_error for v in step_variances.values()],
    fmt="s", color=BLUE, markersize=9, capsize=5,
)  # fmt: skip
axes.text(0, 0.5 * one.mean, "100 images, one draw of each", va="center")
axes.text(97, hundred.mean, "1 image, 100 draws", ha="right", va="center")
axes.set(
    xlabel="draws of z for each image, at 100 passes a step",
    ylabel="variance of the gradient (nats$^2$)",
    ylim=(0, None),
)
axes.set_title("For the same work, one draw of each of many images is best", weight="bold")
plt.show()

# %% [markdown]
# The line says more. $V_{eps}$ is large here, so more draws would help; but so would more images,
# and those bring their own draw along. That is why one $z$ for each $x$ is enough.
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

claim("5.6", "A draw has a gradient only as a function of its noise")
say("the same noise on both sides of the nudge = reparameterize_backward")
check("by mu", nudged_mu[0], path_one[0][0, 0], tolerance=1e-8)
check("by logvar", nudged_logvar[0], path_one[1][0, 0], tolerance=1e-8)
say()
say("z drawn first, as a number: the gradient gets lost")
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
# A common mistake takes $e^{logvar}$ for $\sigma$; right is $e^{logvar / 2}$. With a backward that
# makes the same mistake, a gradient check is content: it sees that the two agree, and nothing else.
# What finds it is the promise that $z$ has the variance $\sigma^2$.
#
# Predict first: for a posterior with $\sigma < 1$, does the mistake make the ELBO look better or
# worse?


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

claim("5.7", "A moment test tells exp(logvar) from sigma; a gradient check does not")
say("gradient check, by logvar")
check("exp(logvar)", nudged_wrong[0], path_wrong[1][0, 0], tolerance=1e-8)
say()
say("moment test: E (z - mu)^2 = exp(logvar)")
check("package", estimate((z[:, 0] - MU) ** 2), np.exp(LOGVAR[0]))
check("package, eps = 1, -1", np.mean((two_points - MU) ** 2), np.exp(LOGVAR[0]))
check_differs("exp(logvar)", estimate((z_wrong[:, 0] - MU) ** 2), np.exp(LOGVAR[0]))

# %% [markdown]
# The mistake does harm. For the posterior the ELBO is $\log p(x)$, and it is never above. With the
# wrong $\sigma$ the $z$ stay closer to $\mu$ than $q$ says, and the "ELBO" exceeds what it bounds.

# %%
posterior_mean, posterior_cov = model.posterior(X)
posterior_logvar = np.log(np.diag(posterior_cov))
kl = gaussian.kl_to_standard_normal(posterior_mean, posterior_logvar)
elbo = f(gaussian.reparameterize(posterior_mean, posterior_logvar, eps)) - kl
wrong_elbo = f(wrong_reparameterize(posterior_mean, posterior_logvar, eps)) - kl

claim("5.8", "With exp(logvar) as sigma the lower bound is none")
check("ELBO, log p(x)", estimate(elbo), model.log_px(X))
check_at_most("log p(x), wrong ELBO", model.log_px(X), estimate(wrong_elbo))
check_differs("not equal", estimate(wrong_elbo), model.log_px(X))

# %% [markdown]
# ## Try it
#
# - `X = np.array([5.4, -1.0])` puts $x$ further away: $f$ is lower and steeper, but no more curved.
#   Whose variance in 5.3 stays the same, and why? Whose explodes?
# - `NOISE_VAR = 0.05` makes $f$ ten times as curved. How much do the three variances grow?
# - `LOGVAR = np.array([0.0])`. Now row 5.7 stops the lesson: $e^0 = e^{0/2}$. What does this say
#   about a test that draws with $\sigma = 1$?
