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
from tinyvae.classroom.lesson import check, check_at_most, claim, say, title
from tinyvae.layers import sigmoid
from tinyvae.oracles import cubature, estimate, log_density, log_integral, plane_grid
from tinyvae.train import silent

SEED = 8
EPOCHS, RATE = 25, 2e-3  # faster or longer, and rounding grows to whole nats
HIDDEN, ACTIVATION = (128, 64), "relu"
MANY = 10  # latent dimensions of the second pair
DRAWN = 2000  # pictures invented by each

rng = np.random.default_rng(SEED)
mnist = data.load("mnist5k")
x_train, grey_test = (np.asarray(grey, dtype=np.float64) for grey in (mnist.x_train, mnist.x_test))
x_test = data.binarize(grey_test, rng)  # black and white, the same for all models

title("Lesson 8: The autoencoder")


def created(model_class, latent_dim):
    """A new VAE or Autoencoder, float64, with random weights."""
    sizes = {"data_dim": 784, "hidden_dims": HIDDEN, "latent_dim": latent_dim}
    return model_class.create(**sizes, rng=rng, activation=ACTIVATION, dtype=np.float64)


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


twin = created(VAE, 2)
plain = created(Autoencoder, 2)
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
    there = Autoencoder(moved, 784, HIDDEN, 2, ACTIVATION)
    nearby.append(there.loss(few)[0].mean())
slope = sum(np.sum(plain_grads[key] * direction[key]) for key in direction)
check("slope, differences", slope, (nearby[0] - nearby[1]) / 2e-6, tolerance=1e-5, decimals=4)

# %% [markdown]
# ## Step 2: train four
#
# One of each kind with 2 latent dimensions, one of each with 10. Same data, same number of steps.
#
# Predict first: which kind redraws an unseen digit better? Does the answer depend on the number of
# dimensions?

# %%
models = {}
for kind, latent_dim in [("AE", 2), ("VAE", 2), ("AE", MANY), ("VAE", MANY)]:
    model = created(VAE if kind == "VAE" else Autoencoder, latent_dim)
    fit(model, x_train, epochs=EPOCHS, learning_rate=RATE, rng=rng, report=silent)
    models[kind, latent_dim] = model


recon = {key: recon_at_code(model, x_test) for key, model in models.items()}

claim("8.2", "The autoencoder redraws better: -log p(x|z) of the test digits, in nats")
for latent_dim in (2, MANY):
    ae, vae = recon["AE", latent_dim], recon["VAE", latent_dim]
    check_at_most(f"{latent_dim} dims: AE, VAE", ae.mean(), vae.mean(), decimals=2)
    check_at_most("AE - VAE, 0", estimate(ae - vae), 0, decimals=2)
say("It may put each code where it likes, as exactly as it likes.")
say("The VAE pays for both.")

# %% [markdown]
# ## Step 3: where the codes are
#
# Draws from $N(0, I)$ are what a VAE's decoder learned to decode: the KL pulls each $q(z|x)$
# towards it. Nobody pulls the autoencoder's codes anywhere.
#
# Measure it with the mean $m$ and the covariance $S$ of all training codes (for the VAE: of draws
# from all $q(z|x)$ together): $D[N(m, S) \| N(0, I)]$.
#
# Predict first: is the VAE's exactly 0?


# %%
def code_moments(model):
    """Mean and covariance of the training digits' codes; a VAE's spread is part of it."""
    code = model.encode(data.binarize(x_train, np.random.default_rng(SEED)))
    if isinstance(code, tuple):
        mu, logvar = code
        return mu.mean(axis=0), np.cov(mu.T) + np.diag(np.exp(logvar).mean(axis=0))
    return code.mean(axis=0), np.cov(code.T)


moments = {key: code_moments(model) for key, model in models.items()}
codes_ae, (codes_vae, _) = models["AE", 2].encode(x_test), models["VAE", 2].encode(x_test)
inside_ae, inside_vae = (
    np.mean(np.linalg.norm(codes, axis=1) < plot.PRIOR_95) for codes in (codes_ae, codes_vae)
)
gaps = {}
claim("8.3", "KL( N(m, S) of the codes || N(0, I) ), in nats: formula, cubature")
for (kind, latent_dim), (mean, cov) in moments.items():
    standard = np.zeros(len(mean)), np.eye(len(mean))
    gaps[kind, latent_dim] = gaussian.kl(mean, cov, *standard)
    by_cubature = cubature.gaussian_kl(mean, cov, *standard)
    check(f"{kind}, {latent_dim} dims", gaps[kind, latent_dim], by_cubature, decimals=3)
check_at_most("2 dims: VAE, AE", gaps["VAE", 2], gaps["AE", 2], decimals=3)
check_at_most(f"{MANY} dims: VAE, AE", gaps["VAE", MANY], gaps["AE", MANY], decimals=3)
check_at_most("in the circle: AE, VAE", inside_ae, inside_vae, decimals=3)
say("The circle holds 95% of N(0, I). The KL pulls at each q(z|x), not at their")
say("sum: the VAE's codes do not fill it quite as N(0, I) would, either.")

# %% [markdown]
# ## Step 4: as generative models
#
# With $z \sim N(0, I)$ both decoders define $p(x) = \int p(x|z) p(z) dz$. Two dimensions can be
# summed up on a grid. Higher is better.
#
# And be fair to the autoencoder: let it have a prior of its own, the Gaussian $N(m, S)$ fitted to
# its codes.
#
# Predict first: order the three, and a coin for each pixel. By how many nats do they differ?


# %%
def log_px(model, x, mean, cov, points_per_axis=250):
    """log p(x) for z ~ N(mean, cov), by a sum over a grid of u, z = mean + root u."""
    u, log_area = plane_grid(points_per_axis, half_width=5)
    z = mean + u @ np.linalg.cholesky(cov).T
    log_joint = np.empty((len(x), len(u)))
    for start in range(0, len(u), 5000):  # all logits at once would fill the memory
        rows = slice(start, start + 5000)
        logits = model.decode(z[rows])
        log_joint[:, rows] = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_integral(log_joint + log_density(u, np.zeros(2), np.eye(2)), log_area)


some = x_test[:250]
prior = np.zeros(2), np.eye(2)
ink = (x_train.sum(axis=0) + 1) / (len(x_train) + 2)
coins = some @ np.log(ink) + (1 - some) @ np.log(1 - ink)
log_px_ae = log_px(models["AE", 2], some, *prior)
log_px_vae = log_px(models["VAE", 2], some, *prior)
log_px_ae_fitted = log_px(models["AE", 2], some, *moments["AE", 2])
elbo_vae = estimate([evaluate.elbo(models["VAE", 2], some, rng).mean() for _ in range(50)])

claim("8.4", "log p(x) of 250 test digits in nats, z ~ N(0, I): the VAE explains them better")
check_at_most("coins, AE", coins.mean(), log_px_ae.mean(), decimals=2)
check_at_most("AE, VAE", log_px_ae.mean(), log_px_vae.mean(), decimals=2)
check_at_most("AE - VAE, 0", estimate(log_px_ae - log_px_vae), 0, decimals=2)
check_at_most("VAE: ELBO, log p(x)", elbo_vae, log_px_vae.mean(), decimals=2)
coarse = log_px(models["AE", 2], some[:20], *moments["AE", 2], points_per_axis=200)
fine = log_px_ae_fitted[:20].mean()
check("200, 250 grid points", coarse.mean(), fine, tolerance=0.005, decimals=2)

claim(
    "8.5", "With a Gaussian fitted to its codes as prior, the autoencoder catches up with the VAE"
)
check_at_most("AE: N(0, I), N(m, S)", log_px_ae.mean(), log_px_ae_fitted.mean(), decimals=2)
check_at_most("VAE, AE with N(m, S)", log_px_vae.mean(), log_px_ae_fitted.mean(), decimals=2)
say("In the plane the difference is not huge: what was missing is where to draw.")

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
        below.set_title(f"Decoded draws of the prior: log p(x)\nof a test digit is {nats:.0f} nats")
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

claim("8.6", f"{MANY} dimensions: the share of draws that decode to something near any digit")
for name, share in shares.items():
    say(f"{name:14} {share.mean():6.1%}")
share_ae, share_fitted, share_vae = (estimate(share) for share in shares.values())
check_at_most("AE, AE fitted", share_ae, share_fitted, decimals=3)
check_at_most("half of all, VAE - AE", 0.5, share_vae.mean - share_ae.mean, decimals=3)
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
        f"Redrawing a test digit costs {recon['AE', MANY].mean():.0f} nats (AE) or "
        f"{recon['VAE', MANY].mean():.0f} (VAE); inventing one is another matter"
    )
    plt.show()

# %% [markdown]
# So what is exactly true of the "huge difference":
#
# - Redrawing: the autoencoder is better, for it optimises nothing else.
# - Inventing: its draws from $N(0, I)$ are of no use; to make that prior fit is what the KL is for.
#   A Gaussian fitted to the codes *after* the training repairs most of it, here in ten dimensions
#   as in two.
# - Knowing: the VAE comes with the ELBO, a bound on $\log p(x)$ in any number of dimensions. The
#   autoencoder comes with no bound at all.
#
# ## Try it
#
# - `EPOCHS = 60`. The autoencoder redraws still better. What do 8.3 and 8.4 do meanwhile?
# - `MANY = 5`, then 20. Does the fitted Gaussian help more or less?
# - Switch off only one of the two: train a VAE with `beta=0.0` in `fit`. It may choose its own
#   noise now. What does it do with $\log\sigma^2$, and to which of the two is it closer?
