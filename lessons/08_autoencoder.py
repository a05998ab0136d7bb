# %% [markdown]
# # Lesson 8: The autoencoder
#
# The same network without KL and noise: what it does better, what it cannot do, in numbers.
#
# The article starts with "forget about autoencoders first", and ends with them: an autoencoder has
# "exactly the same architecture to that of VAE, except the KL loss term and the sampling process.
# This makes a huge difference." The difference is not shown there. Here it is, and it is huge in
# one place and small in another.
#
# An autoencoder minimises $-\log p(x | z = \text{code}(x))$, and nothing else. It has no
# $p(z)$, no $q(z|x)$, no ELBO, and so no $\log p(x)$. To compare it as a generative model we lend
# it the VAE's prior: draw $z \sim N(0, I)$ and decode.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Circle

from tinyvae import VAE, Autoencoder, data, evaluate, fit, gaussian, plot
from tinyvae.classroom.lesson import check, check_at_most, check_less, claim, say, title
from tinyvae.layers import sigmoid
from tinyvae.oracles import (
    cubature,
    estimate,
    log_density,
    log_integral,
    log_mean_exp,
    plane_grid,
)
from tinyvae.train import silent

SEED = 8
EPOCHS = 15  # on 28 x 28
RATE = 2e-3
SMALL_EPOCHS = 40  # on 8 x 8
SMALL_RATE = 5e-3
TRAININGS = 6  # of each kind on 8 x 8 with 2 dimensions; with 10 dimensions half as many
MANY = 10  # latent dimensions of the second pair
VAE_BETA = 1.0  # the weight of the KL when a VAE is trained
DRAWN = 2000  # pictures invented by each

rng = np.random.default_rng(SEED)
mnist = data.load("mnist5k")
x_train, grey_test = (np.asarray(grey, dtype=np.float64) for grey in (mnist.x_train, mnist.x_test))
x_test = data.binarize(grey_test, rng)  # black and white, the same for all models

title("Lesson 8: The autoencoder")


def created(model_class, latent_dim, activation="relu"):
    """A new VAE or Autoencoder for 28 x 28 pixels, float64, with random weights."""
    sizes = {"data_dim": 784, "hidden_dims": (128, 64), "latent_dim": latent_dim}
    return model_class.create(**sizes, rng=rng, activation=activation, dtype=np.float64)


# %% [markdown]
# ## Step 1: the same, but for two terms
#
# Take a VAE. Set $\epsilon = 0$, so that $z = \mu$, and give the KL the weight $\beta = 0$. Give
# the autoencoder the same weights; its code is the VAE's $\mu$.
#
# Predict first: what is then the gradient by the head that makes $\log\sigma^2$?


# %%
def recon_at_code(model, x):
    """-log p(x|z) of each row of x at its code, or at mu, in nats: written out, no noise."""
    code = model.encode(x)
    logits = model.decode(code[0] if isinstance(code, tuple) else code)
    return np.sum(np.logaddexp(0, logits) - x * logits, axis=1)


twin = created(VAE, 2, "tanh")  # smooth: the differences below could straddle a relu's kink
plain = created(Autoencoder, 2, "tanh")
for key in plain.params:
    plain.params[key] = twin.params[key.replace("z.", "mu.")]
few = x_test[:20]
no_noise = np.zeros((len(few), 2))
twin_loss, twin_recon, _, twin_grads = twin.loss_and_grads(few, no_noise, beta=0.0)
plain_loss, plain_recon, _, plain_grads = plain.loss_and_grads(few)

claim("8.1", "VAE with eps = 0 and beta = 0  =  autoencoder, number by number")
check("recon, written out", plain_recon, recon_at_code(plain, few))
check("recon of 20 digits", twin_recon, plain_recon)
check("loss", twin_loss, plain_loss)
flat_twin = [twin_grads[key.replace("z.", "mu.")].ravel() for key in plain_grads]
flat_plain = [grad.ravel() for grad in plain_grads.values()]
check("gradients", np.concatenate(flat_twin), np.concatenate(flat_plain))
check("by the logvar head", twin_grads["logvar.W"], np.zeros_like(twin_grads["logvar.W"]))

direction = {key: rng.standard_normal(p.shape) for key, p in plain.params.items()}
nearby = []
for step in (1e-6, -1e-6):
    moved = {key: p + step * direction[key] for key, p in plain.params.items()}
    there = Autoencoder(moved, 784, plain.hidden_dims, 2, "tanh")
    nearby.append(there.loss(few)[0].mean())
slope = sum(np.sum(plain_grads[key] * direction[key]) for key in direction)
check("slope, differences", slope, (nearby[0] - nearby[1]) / 2e-6, tolerance=1e-5, decimals=4)

# %% [markdown]
# ## Step 2: train
#
# Two kinds, with 2 and with 10 latent dimensions: one of each on 28 x 28 pixels, for the pictures,
# and several of each on 8 x 8, because a claim on *kinds* of models needs an error bar over
# trainings, not over digits. Same data, same number of steps.
#
# Predict first: which kind redraws an unseen digit better? Does the answer depend on the number of
# dimensions?

# %%
# takes about 15 s
kinds = [("AE", 2), ("VAE", 2), ("AE", MANY), ("VAE", MANY)]
models = {}
for kind, latent_dim in kinds:
    model = created(VAE if kind == "VAE" else Autoencoder, latent_dim)
    beta = {"beta": VAE_BETA} if kind == "VAE" else {}
    fit(model, x_train, epochs=EPOCHS, learning_rate=RATE, rng=rng, report=silent, **beta)
    models[kind, latent_dim] = model

digits = data.load("digits")
small_train = np.asarray(digits.x_train, dtype=np.float64)
small_test = data.binarize(np.asarray(digits.x_test, dtype=np.float64), rng)
small_models = {key: [] for key in kinds}
for n in range(TRAININGS):
    for kind, latent_dim in kinds if n % 2 else kinds[:2]:
        model = (VAE if kind == "VAE" else Autoencoder).create(
            64, (64,), latent_dim, rng=rng, dtype=np.float64
        )
        beta = {"beta": VAE_BETA} if kind == "VAE" else {}
        fit(
            model, small_train, epochs=SMALL_EPOCHS, learning_rate=SMALL_RATE, rng=rng,
            report=silent, **beta,
        )  # fmt: skip
        small_models[kind, latent_dim].append(model)

recon = {key: recon_at_code(model, x_test) for key, model in models.items()}
small_recon = {
    key: np.array([recon_at_code(model, small_test).mean() for model in trained])
    for key, trained in small_models.items()
}

claim("8.2", "The autoencoder redraws better: -log p(x|z) of the test digits, in nats")
for latent_dim in (2, MANY):
    say(f"{latent_dim} dimensions")
    small_difference = small_recon["AE", latent_dim] - small_recon["VAE", latent_dim]
    difference = recon["AE", latent_dim] - recon["VAE", latent_dim]
    check_less("8 x 8: AE - VAE, 0", estimate(small_difference), 0, decimals=2)
    check_less("28 x 28: AE - VAE, 0", estimate(difference), 0, decimals=2)
say("The errors are over trainings (8 x 8), and over digits (28 x 28, one pair).")

# %% [markdown]
# It may put each code where it likes, as exactly as it likes. The VAE pays for both.
#
# ## Step 3: where the codes are
#
# Draws from $N(0, I)$ are what a VAE's decoder learned to decode: the KL pulls each $q(z|x)$
# towards it. Nobody pulls the autoencoder's codes anywhere.
#
# Take the mean $m$ and the covariance $S$ of all training codes (for the VAE: of draws from all
# $q(z|x)$ together) and compute $\mathrm{KL}(N(m, S) \| N(0, I))$.
#
# Predict first: for which kind is it larger? Is the VAE's exactly 0?


# %%
def code_moments(model, x):
    """Mean and covariance of the digits' codes; a VAE's spread is part of it."""
    code = model.encode(x)
    if isinstance(code, tuple):
        mu, logvar = code
        return mu.mean(axis=0), np.cov(mu.T) + np.diag(np.exp(logvar).mean(axis=0))
    return code.mean(axis=0), np.cov(code.T)


x_train_once = data.binarize(x_train, rng)
moments = {key: code_moments(model, x_train_once) for key, model in models.items()}
codes_ae, (codes_vae, _) = models["AE", 2].encode(x_test), models["VAE", 2].encode(x_test)
inside_ae, inside_vae = (
    np.mean(np.linalg.norm(codes, axis=1) < plot.PRIOR_95) for codes in (codes_ae, codes_vae)
)
gaps = {}
claim("8.3", "KL( N(m, S) of the codes || N(0, I) ), in nats: formula = cubature")
for (kind, latent_dim), (mean, cov) in moments.items():
    standard = np.zeros(len(mean)), np.eye(len(mean))
    gaps[kind, latent_dim] = gaussian.kl(mean, cov, *standard)
    by_cubature = cubature.gaussian_kl(mean, cov, *standard)
    check(f"{kind}, {latent_dim} dims", gaps[kind, latent_dim], by_cubature, decimals=3)
check_less("2 dims: VAE, AE", gaps["VAE", 2], gaps["AE", 2], by=1, decimals=3)
check_less(f"{MANY} dims: VAE, AE", gaps["VAE", MANY], gaps["AE", MANY], by=1, decimals=3)

# %% [markdown]
# What do these numbers mean? For the autoencoder, nothing that it could be blamed for: shift,
# stretch and turn the codes in the encoder's last layer, and undo it in the decoder's first. For
# the VAE, not all that there is to say: two moments do not see a hole. $q(z)$, the mixture of all
# $q(z|x)$, is no Gaussian, and its own KL to $N(0, I)$ can be drawn.
#
# Predict first: can that change of the codes make the autoencoder's KL 0, and what do its redrawn
# digits become? Is the VAE's true KL larger or smaller than that of its two moments?

# %%
mean, cov = moments["AE", 2]
root = np.linalg.cholesky(cov)
undo = np.linalg.inv(root).T
params = dict(models["AE", 2].params)
params["z.W"], params["z.b"] = params["z.W"] @ undo, (params["z.b"] - mean) @ undo
params["decoder.0.b"] = params["decoder.0.b"] + mean @ params["decoder.0.W"]
params["decoder.0.W"] = root.T @ params["decoder.0.W"]
moved_ae = Autoencoder(params, 784, (128, 64), 2, "relu")

mu, logvar = models["VAE", 2].encode(x_train_once)
chosen = rng.integers(len(mu), size=2000)
z = gaussian.reparameterize(mu[chosen], logvar[chosen], rng.standard_normal((2000, 2)))
log_q_z = np.array([log_mean_exp(gaussian.log_density_diagonal(point, mu, logvar)) for point in z])
kl_of_all = estimate(log_q_z - log_density(z, np.zeros(2), np.eye(2)))

claim("8.4", "For the autoencoder that KL is arbitrary, for the VAE a lower bound")
kl_moved = gaussian.kl(*code_moments(moved_ae, x_train_once), np.zeros(2), np.eye(2))
check("AE, codes moved: KL", kl_moved, 0, tolerance=1e-9, decimals=3)
moved_recon = recon_at_code(moved_ae, x_test)
check("AE, moved: same recon", moved_recon, recon["AE", 2], tolerance=1e-9)
check_less("VAE: two moments, q(z)", gaps["VAE", 2], kl_of_all, decimals=3)
say(f"in the circle that holds 95% of N(0, I): {inside_vae:.0%} of the VAE's codes")

# %% [markdown]
# The KL pulls at each $q(z|x)$, not at their sum: the VAE's codes do not fill the circle quite as
# $N(0, I)$ would, either.
#
# ## Step 4: as generative models
#
# With $z \sim N(0, I)$ both decoders define $p(x) = \int p(x|z) p(z) dz$. Two dimensions can be
# summed up on a grid. Higher is better.
#
# Predict first: order the two, and a coin for each pixel.


# %%
# takes about 5 s
def log_px(model, x, mean, cov, points_per_axis=200):
    """log p(x) for z ~ N(mean, cov), by a sum over a grid of u, z = mean + root u."""
    u, log_area = plane_grid(points_per_axis, half_width=5)
    z = mean + u @ np.linalg.cholesky(cov).T
    log_joint = np.empty((len(x), len(u)))
    for start in range(0, len(u), 5000):  # all logits at once would fill the memory
        rows = slice(start, start + 5000)
        logits = model.decode(z[rows])
        log_joint[:, rows] = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_integral(log_joint + log_density(u, np.zeros(2), np.eye(2)), log_area)


some = x_test[:150]
prior = np.zeros(2), np.eye(2)
ink = (x_train.sum(axis=0) + 1) / (len(x_train) + 2)
coins = some @ np.log(ink) + (1 - some) @ np.log(1 - ink)
log_px_ae = log_px(models["AE", 2], some, *prior)
log_px_vae = log_px(models["VAE", 2], some, *prior)
elbo_vae = estimate([evaluate.elbo(models["VAE", 2], some, rng).mean() for _ in range(50)])
small_px_ae, small_px_vae = (
    np.array(
        [log_px(model, small_test[:150], *prior, 80).mean() for model in small_models[kind, 2]]
    )
    for kind in ("AE", "VAE")
)

claim("8.5", "log p(x) of test digits, z ~ N(0, I): the VAE explains them better")
check_less("28 x 28: coins, AE", estimate(coins - log_px_ae), 0, decimals=2)
check_less("8 x 8: AE - VAE, 0", estimate(small_px_ae - small_px_vae), 0, decimals=2)
check_at_most("VAE: ELBO, log p(x)", elbo_vae, log_px_vae.mean(), decimals=2)
say(f"28 x 28: coins {coins.mean():.1f}, AE {log_px_ae.mean():.1f}, VAE {log_px_vae.mean():.1f}")
say("These two differ as two trainings do: for kinds of models look at 8 x 8.")

# %% [markdown]
# In the plane the autoencoder is no useless generative model: it is far better than coins.
#
# And be fair to it: let it have a prior of its own, the Gaussian $N(m, S)$ fitted to its codes.
#
# Predict first: how far does that bring it, half way to the VAE, level, beyond?

# %%
# takes about 3 s
log_px_ae_fitted = log_px(models["AE", 2], some, *moments["AE", 2])
log_px_vae_fitted = log_px(models["VAE", 2], some[:50], *moments["VAE", 2])
small_px_fitted = np.array(
    [
        log_px(model, small_test[:150], *code_moments(model, small_train), 80).mean()
        for model in small_models["AE", 2]
    ]
)
finer = log_px(models["AE", 2], some[:20], *moments["AE", 2], points_per_axis=250)

claim("8.6", "With a Gaussian fitted to its codes the AE does as well or better")
fitted_gain = estimate(log_px_ae - log_px_ae_fitted)
check_less("28 x 28: gain by it", fitted_gain, 0, decimals=2)
behind = estimate(log_px_vae - log_px_ae_fitted)
check_at_most("28 x 28: VAE - AE, 0", behind, 0, decimals=2)
small_behind = estimate(small_px_vae - small_px_fitted)
check_at_most("8 x 8: VAE - AE, 0", small_behind, 0, decimals=2)
coarse = log_px_ae_fitted[:20].mean()
check("200, 250 grid points", coarse, finer.mean(), tolerance=0.1 / 150, decimals=1)
vae_gain = np.mean(log_px_vae_fitted - log_px_vae[:50])
say(f"The VAE with a Gaussian of its own gains {vae_gain:.1f} nats.")

# %%
with plot.style():
    figure, axes = plt.subplots(2, 2, figsize=(14, 14.5), layout="constrained")
    for column, (name, codes, inside, nats) in enumerate(
        [
            ("Autoencoder", codes_ae, inside_ae, log_px_ae.mean()),
            ("VAE", codes_vae, inside_vae, log_px_vae.mean()),
        ]
    ):
        above, below = axes[:, column]
        plot.latent_plane(above, codes, mnist.y_test, prior=False)
        above.add_patch(Circle((0, 0), plot.PRIOR_95, fill=False, linewidth=3))
        above.set_title(f"{name}: {inside:.0%} of the codes\nlie in the prior's 95% circle")
        plot.decoded_grid(below, models["AE" if column == 0 else "VAE", 2], mnist.image_shape)
        below.set_title(f"The prior's plane, decoded. A test digit\nhas log p(x) = {nats:.0f} nats")
    plt.show()

# %% [markdown]
# ## Step 5: ten dimensions
#
# Few problems fit into a plane. With 10 dimensions both models redraw far better. But now there
# is ten-dimensional room around the codes, and the autoencoder's decoder never saw it.
#
# How many of the draws decode to something like a digit? For each picture take the best correlation
# of its pixels with any of the 4,000 training digits. Call it *near* if that is as good as for 95%
# of the same model's redrawn test digits.
#
# Predict first: what share of each model's draws is near? Does a fitted Gaussian help here, too?


# %%
# takes about 3 s
def nearness(pictures):
    """The largest correlation of each picture with a training digit."""

    def normed(x):
        deviations = x - x.mean(axis=1, keepdims=True)
        return deviations / np.linalg.norm(deviations, axis=1, keepdims=True)

    return np.max(normed(pictures) @ normed(x_train).T, axis=1)


def near(model, pictures):
    """Which pictures are as near to a digit as 95% of the model's redrawn test digits."""
    return nearness(pictures) >= np.quantile(nearness(model.reconstruct(x_test)), 0.05)


mean_10, cov_10 = moments["AE", MANY]
z_fitted = gaussian.sample(mean_10, cov_10, DRAWN, rng)
invented = {
    "AE, N(0, I)": models["AE", MANY].generate(DRAWN, rng),
    "AE, N(m, S)": sigmoid(models["AE", MANY].decode(z_fitted)),
    "VAE, N(0, I)": models["VAE", MANY].generate(DRAWN, rng),
}
shares = {}
for name, pictures in invented.items():
    kind = name.split(",")[0]
    shares[name] = near(models[kind, MANY], pictures)

claim("8.7", f"{MANY} dimensions: the share of draws that decode to near any digit")
for name, share in shares.items():
    say(f"{name:14} {share.mean():6.1%}")
share_ae, share_fitted, share_vae = (estimate(share) for share in shares.values())
check_less("AE, AE fitted", share_ae, share_fitted, decimals=3)
check_less("AE, VAE", share_ae, share_vae, decimals=3)
say()
say("generate draws from N(0, I), for both: the mean share of ink")
for kind in ("AE", "VAE"):
    drawn = sigmoid(models[kind, MANY].decode(rng.standard_normal((DRAWN, MANY))))
    generated = invented[f"{kind}, N(0, I)"]
    check(kind, estimate(generated.mean(axis=1)), estimate(drawn.mean(axis=1)))

# %%
with plot.style():
    figure, axes = plt.subplots(1, 3, figsize=(18, 7), layout="constrained")
    for axis, (name, pictures) in zip(axes, invented.items(), strict=True):
        plot.images(axis, pictures[:100], mnist.image_shape)
        axis.set_title(f"{name}: {shares[name].mean():.0%} of the draws\nare near any digit")
    figure.suptitle(
        f"In {MANY} dimensions a prior that fits the codes decides what is invented, "
        "not the kind of model"
    )
    plt.show()

# %% [markdown]
# So what is exactly true of the "huge difference":
#
# - Redrawing: the autoencoder is better, for it optimises nothing else.
# - Inventing from $N(0, I)$: the VAE is better, a little in the plane, by far in ten dimensions. To
#   make that prior fit is what its KL is for.
# - A Gaussian fitted to the codes *after* the training closes that gap: with it the autoencoder
#   invents about as well as the VAE, in $\log p(x)$ even a little better.
#
# Why a VAE, then? Not because its pictures are better. It is a model that can be *asked*: how
# probable is this $x$ (the ELBO, a bound in any number of dimensions, where no grid helps); which
# $z$ are possible for it, and how sure is that ($q(z|x)$, not one code); which of two models, or
# two numbers of dimensions, explains unseen data better (their ELBOs, in the same nats). And it was
# trained for that number. An autoencoder has to be turned into a generative model afterwards, by a
# density of its codes that somebody must choose, and without a grid nobody can say what it lost.
#
# ## Try it
#
# Try it: EPOCHS = 40
#
# The autoencoder redraws still better. What do 8.3 and 8.5 do meanwhile?
#
# Try it: MANY = 5
#
# Does the fitted Gaussian help more or less? And with 20?
#
# Try it: VAE_BETA = 0.0
#
# Only the KL is switched off: the VAE may choose its own noise now. What does it do with
# $\log\sigma^2$, and to which of the two is it closer?
