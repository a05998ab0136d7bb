# %% [markdown]
# # Lesson 10: The linear VAE
#
# With linear maps a VAE is principal components, and collapse is known before training.
#
# Take everything nonlinear out of a VAE:
#
# $$q(z|x) = N(x V + c, \, \mathrm{diag} \, v), \quad p(x|z) = N(z W + b, \, s^2 I)$$
#
# This is *probabilistic principal components* (Tipping and Bishop, 1999), and its best parameters
# are known. With $l_1 \geq l_2 \geq \ldots$ the eigenvalues of the data's covariance and $u_i$ its
# eigenvectors, row $i$ of the best $W$ is $\sqrt{l_i - s^2} \, u_i$, and the best $s^2$ is the mean
# of the eigenvalues that are left out. The oracle `principal` computes that, and the exact
# $\log p(x)$. `beyond.linear` knows nothing of eigenvalues: it is a forward, a backward, and `fit`
# trains it.
#
# So for once we know what training should find: how many nats, how many units in use, and why some
# are not. The data are the digits of 8 x 8 pixels, grey, in $[0, 1]$.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import data, fit, gaussian, plot
from tinyvae.beyond.likelihoods import GaussianVAE
from tinyvae.beyond.linear import LinearVAE
from tinyvae.classroom.lesson import check, check_at_most, check_less, claim, say, title
from tinyvae.optim import Adam
from tinyvae.oracles import LinearGaussian, central_difference, principal
from tinyvae.train import mean_loss, silent

SEED = 10
LATENTS = 2  # what is trained in step 3
NOISE_VARS = 1.0, 0.5, 0.3, 0.25  # s^2 in step 4; at 1, the loss is half the squared error
WIDE = 10  # latent dimensions where units may collapse

rng = np.random.default_rng(SEED)
digits = data.load("digits")
x_train, x_test = (np.asarray(x, dtype=np.float64) for x in (digits.x_train, digits.x_test))
eigenvalues, eigenvectors = np.linalg.eigh(np.cov(x_train.T, bias=True))
eigenvalues, eigenvectors = eigenvalues[::-1], eigenvectors[:, ::-1]  # largest first


def linear_vae(W, b, noise_var):
    """The LinearVAE with this decoder (W (Z, D)) and the best encoder that it can have."""
    best_q = LinearGaussian(W.T, b, noise_var)
    means, cov = best_q.posterior(np.concatenate([b[None], b + np.eye(len(b))]))
    V = means[1:] - means[0]  # the posterior's mean is linear in x
    var = 1 / np.diag(np.linalg.inv(cov))  # lesson 12 says why not diag(cov)
    params = {"V": V, "c": -b @ V, "logvar": np.log(var), "W": W, "b": b}
    return LinearVAE(params, np.log(np.array([noise_var])))


def units(vae, x):
    """KL of each latent dimension, averaged over x, and the variance of its mu."""
    mu, logvar = vae.encode(x)
    kl = gaussian.kl_to_standard_normal(mu[..., None], logvar[..., None]).mean(axis=0)
    return kl, mu.var(axis=0)


title("Lesson 10: The linear VAE")
say("eigenvalues of the digits' covariance")
say("  ".join(f"{value:.3f}" for value in eigenvalues[:8]) + "  ...")

# %% [markdown]
# ## Step 1: at the optimum nothing is lost
#
# The ELBO falls short of $\log p(x)$ by $D[q \| p(z|x)]$. For a linear decoder the posterior is
# Gaussian, with the same covariance for every $x$: the inverse of $I + W W' / s^2$. (Our $W$ has
# one row for each latent.) At the closed form the rows of $W$ are orthogonal.
#
# Predict first: how many nats does a *diagonal* $q$ lose at the best $W$?

# %%
best = principal(x_train, WIDE)
vae_at_best = linear_vae(best.W.T, best.b, best.noise_var)
recon, kl = vae_at_best.loss(x_test)

claim("10.1", "At the closed form the ELBO is log p(x), for every digit")
check("ELBO, log p(x)", -(recon + kl), best.log_px(x_test))
check("mean of test digits", -np.mean(recon + kl), best.log_px(x_test).mean())

# %% [markdown]
# Orthogonal rows make $W W'$ diagonal, so the posterior is diagonal and the encoder hits it.
#
# ## Step 2: a rotation that costs nothing, and one that does
#
# Turn the latent space: $R W$ in the place of $W$, $R$ a rotation. As $z$ and $z R$ have the same
# $N(0, I)$, $p(x)$ is the same. But the rows are no longer orthogonal and the posterior is no
# longer diagonal. With $P = I + R W W' R' / s^2$ its inverse covariance, the best diagonal $q$ has
# variances $1 / P_{ii}$ and loses
#
# $$\frac12 \, [\, \log \prod_i P_{ii} - \log \det P \,]$$
#
# On the left that number, from $W$ alone, before any digit is seen. On the right the ELBO of the
# digits.
#
# Turn the first and the last of the ten into each other.
#
# Predict first: which angle is the worst? And would the first and the second cost more, or less?


# %%
def turned(degrees, i, j):
    """The rotated decoder, (10, D)"""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    W = best.W.T.copy()
    W[[i, j]] = np.array([[cos, sin], [-sin, cos]]) @ W[[i, j]]
    return W


def rotation_costs(W):
    """Nats that the best diagonal q loses, from W alone."""
    precision = np.eye(WIDE) + W @ W.T / best.noise_var
    return 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])


def rotation_loses(W):
    """log p(x) - ELBO, the mean over the test digits."""
    elbo = -np.add(*linear_vae(W, best.b, best.noise_var).loss(x_test))
    return np.mean(best.log_px(x_test) - elbo)


claim("10.2", "A rotated W has the same log p(x), and a diagonal q pays for the angle")
for degrees in [15, 45, 90]:
    rotated = LinearGaussian(turned(degrees, 0, WIDE - 1).T, best.b, best.noise_var)
    check(f"log p(x), {degrees} deg", rotated.log_px(x_test), best.log_px(x_test))
say()
say("nats lost: predicted from W = measured on digits")
for degrees in [0, 15, 45, 90]:
    W = turned(degrees, 0, WIDE - 1)
    check(f"first, last: {degrees} deg", rotation_costs(W), rotation_loses(W))
W = turned(45, 0, 1)
check("first, second: 45 deg", rotation_costs(W), rotation_loses(W))

# %% [markdown]
# Rows of nearly equal length may be turned almost for free. So the ELBO prefers the principal
# axes, but among neighbours only just, and training is slow to find them. A $W$ that has been
# trained is compared by $W' W$, which no rotation changes.
#
# ## Step 3: train it
#
# Our own `fit`, with Adam, from small random weights, $s^2$ learned as well. The noise of $z$ is
# not drawn: $E_q |x - z W - b|^2$ has a closed form, so the loss is exact.
#
# Predict first: the digits have 64 eigenvalues and the model two latents. What will $s^2$ be?

# %%
target = -principal(x_train, LATENTS).log_px(x_train).mean()
trained = LinearVAE.create(64, LATENTS, rng=rng)
optimizer = Adam(trained.params)
for epochs, rate in [(200, 3e-2), (200, 1e-2), (200, 2e-3), (100, 3e-4)]:
    optimizer.learning_rate = rate
    fit(trained, x_train, epochs=epochs, batch_size=500, rng=rng, binarize=False, report=silent,
        optimizer=optimizer)  # fmt: skip

reached = trained.loss_and_grads(x_train)[0]
learned = trained.params["W"].T @ trained.params["W"]
best_W = principal(x_train, LATENTS).W
learned_noise_var = np.exp(trained.params["noise_logvar"][0])

claim("10.3", "Training finds the closed form: to a thousandth of a nat")
check_at_most("closed form, -ELBO", target, reached, decimals=6)
check("nats above it", reached - target, 0, tolerance=1e-3, decimals=6)
check("s^2, mean left out", learned_noise_var, eigenvalues[LATENTS:].mean(),
      tolerance=1e-4, decimals=5)  # fmt: skip
check("W'W, all entries", learned, best_W @ best_W.T, tolerance=5e-3)

# %% [markdown]
# $s^2$ is the mean of the eigenvalues that are left out: what two latents cannot explain is noise.
# It comes out as the mean squared error of a pixel, once $q$'s own spread is counted.
#
# ## Step 4: collapse, predicted
#
# Now $s^2$ is given, not learned. Unit $i$ pays $\frac12 \log (l_i / s^2)$ nats if $l_i > s^2$. If
# $l_i \leq s^2$ the best row of $W$ is 0: the decoder ignores $z_i$, $q(z_i|x)$ is the prior, its
# KL is 0. That is *posterior collapse*, and the eigenvalues above tell how many units will go.
#
# Predict first: with $s^2 = 1$ (the loss is then half the squared error, plus the KL), how many of
# ten units survive?

# %%
# takes about 4 s
found = {}
for noise_var in NOISE_VARS:
    vae = LinearVAE.create(64, WIDE, rng=rng, noise_var=noise_var)
    optimizer = Adam(vae.params)
    for rate in [3e-2, 1e-2, 2e-3]:
        optimizer.learning_rate = rate
        fit(vae, x_train, epochs=150, batch_size=500, rng=rng, binarize=False, report=silent,
            optimizer=optimizer)  # fmt: skip
    found[noise_var] = units(vae, x_train)

claim("10.4", "Units in use after training = eigenvalues above s^2")
for noise_var, (_, spread) in found.items():
    check(f"s^2 = {noise_var:g}: units", np.sum(spread > 0.01), np.sum(eigenvalues > noise_var),
          decimals=1)  # fmt: skip
say()
say("KL of all units together, after training = from the eigenvalues")
for noise_var, (kl, _) in found.items():
    predicted = 0.5 * np.log(np.maximum(eigenvalues[:WIDE] / noise_var, 1)).sum()
    check(f"s^2 = {noise_var:g}: nats", kl.sum(), predicted, tolerance=1e-2, decimals=3)

# %%
with plot.style():
    figure, axes = plt.subplots(figsize=(10, 6), layout="constrained")
    kl = np.sort(found[NOISE_VARS[2]][0])[::-1]
    predicted = 0.5 * np.log(np.maximum(eigenvalues[:WIDE] / NOISE_VARS[2], 1))
    axes.bar(range(1, WIDE + 1), predicted, color=plot.COLOURS["sky"], label="from eigenvalues")
    axes.plot(range(1, WIDE + 1), kl, "o", color="black", markersize=9, label="after training")
    axes.set(xlabel="unit, largest first", ylabel="KL (nats)", xticks=range(1, WIDE + 1))
    axes.legend(frameon=False)
    axes.set_title(
        f"{np.sum(eigenvalues > NOISE_VARS[2])} units stay and {np.sum(kl < 0.005)} collapse, "
        f"as {np.sum(eigenvalues > NOISE_VARS[2])} eigenvalues exceed $s^2$ = {NOISE_VARS[2]:g}"
    )
    plt.show()

# %% [markdown]
# With $s^2 = 1$ none survives: the largest eigenvalue is below. Who trains with half the squared
# error has chosen $s = 1$, for pixels between 0 and 1, and told the model that everything is noise.
# "My KL goes to 0 after two epochs" is the right answer to that question.
#
# ## Step 5: who is to blame
#
# Is it the ELBO that collapses a unit, with its KL term? Ask $\log p(x)$ itself, which knows no
# $q$. Give the model one row $W = 0.1 \, u_i$ and look whether the mean $\log p(x)$ of the digits
# rises above that of $W = 0$.
#
# Predict first: for an eigenvalue below $s^2$, which is better?


# %%
def log_px_with(row, noise_var):
    """Mean log p(x) of the training digits under a decoder of one row, exactly."""
    return LinearGaussian(row[:, None], x_train.mean(axis=0), noise_var).log_px(x_train).mean()


NOISE_VAR = NOISE_VARS[2]
active = int(np.sum(eigenvalues > NOISE_VAR))
nothing = log_px_with(np.zeros(64), NOISE_VAR)

claim("10.5", f"log p(x) itself drops a direction whose eigenvalue is below s^2 = {NOISE_VAR:g}")
for i in [0, active - 1]:
    label = f"l = {eigenvalues[i]:.3f}: 0, 0.1 u"
    check_less(label, nothing, log_px_with(0.1 * eigenvectors[:, i], NOISE_VAR))
for i in [active, 20]:
    label = f"l = {eigenvalues[i]:.3f}: 0.1 u, 0"
    check_less(label, log_px_with(0.1 * eigenvectors[:, i], NOISE_VAR), nothing)

# %% [markdown]
# The best likelihood of all drops the same units: "Don't blame the ELBO!" (Lucas and others, 2019).
#
# ## Step 6: a collapse that is the optimiser's
#
# Start with all weights 0, which is full collapse. Is that a place where training can stay? Move
# one unit a little along $u_i$: $w$ in the decoder, $v$ in the encoder. The matrix of the loss's
# second derivatives by $(w, v)$ is
#
# $$[[1 / s^2, \; -l / s^2], \; [-l / s^2, \; l]], \quad \text{determinant} \;
# (l / s^2) (1 - l / s^2)$$
#
# Negative means a saddle: the loss falls in some direction, but its slope is 0.
#
# Predict first: `fit` starts exactly there, with eigenvalues above $s^2$. What does it do?


# %%
def second_derivatives(i):
    """Of the loss by (w, v), for the unit at rest, from the hand-written gradient."""
    u = eigenvectors[:, i]

    def slopes(point):
        w, v = point
        params = {"V": v * u[:, None], "c": -x_train.mean(axis=0) @ (v * u[:, None])}
        params |= {"logvar": np.zeros(1), "W": w * u[None], "b": x_train.mean(axis=0)}
        grads = LinearVAE(params, np.log(np.array([NOISE_VAR]))).loss_and_grads(x_train)[3]
        centre = np.outer(x_train.mean(axis=0), grads["c"])  # c moves with v
        return np.array([grads["W"][0] @ u, (grads["V"] - centre)[:, 0] @ u])

    return np.array([central_difference(lambda p, k=k: slopes(p)[k], np.zeros(2)) for k in (0, 1)])


asleep = LinearVAE.create(64, WIDE, rng=rng, noise_var=NOISE_VAR, scale=0.0)
asleep.params["b"] += x_train.mean(axis=0)
woken = LinearVAE.create(64, WIDE, rng=rng, noise_var=NOISE_VAR, scale=1e-6)
for vae in [asleep, woken]:
    fit(vae, x_train, epochs=150, batch_size=500, learning_rate=1e-2, rng=rng, binarize=False,
        report=silent)  # fmt: skip

claim("10.6", "All weights 0 is a saddle: training stays, though it is better elsewhere")
say("determinant of second derivatives = (l / s^2) (1 - l / s^2)")
for i in [0, active - 1, active]:
    ratio = eigenvalues[i] / NOISE_VAR
    check(f"l = {eigenvalues[i]:.3f}", np.linalg.det(second_derivatives(i)), ratio * (1 - ratio),
          tolerance=1e-6)  # fmt: skip
say()
check("units in use, start at 0", np.sum(units(asleep, x_train)[1] > 0.01), 0, decimals=1)
check_at_most(
    "needed, start at 0.000001", active, np.sum(units(woken, x_train)[1] > 0.01), decimals=1
)
check_less("awake, asleep: -ELBO", *(v.loss_and_grads(x_train)[0] for v in (woken, asleep)),
           decimals=3)  # fmt: skip

# %% [markdown]
# Same model, same objective: one of the two collapses is the objective's answer, the other an
# accident of the start. What tells them apart is a second training from another start, and
# whether $-$ELBO falls.
#
# ## Step 7: what a nonlinear decoder adds
#
# The same Gaussian pixels with learned $s^2$, the same number of latents, but a hidden layer of 64
# on each side. Both give a density of the same grey digits, so their nats may be compared.
#
# Predict first: the linear model is at its optimum, the other is trained for a second. Which wins?

# %%
# takes about 4 s
nonlinear = {}
for latents in [2, WIDE]:
    vae = GaussianVAE.create(64, (64,), latents, rng=rng, dtype=np.float64)
    vae.params["noise_logvar"] = np.array([-2.0])
    fit(vae, x_train, epochs=120, learning_rate=3e-3, rng=rng, binarize=False, report=silent)
    nonlinear[latents] = vae

claim("10.7", "Test digits, nats of density: linear log p(x)  <  nonlinear ELBO")
for latents, vae in nonlinear.items():
    elbo = -sum(mean_loss(vae, x_test, rng, binarize=False))
    linear_log_px = principal(x_train, latents).log_px(x_test).mean()
    check_less(f"{latents} latents", linear_log_px, elbo, by=1, decimals=2)
    check_less("  s^2: curved, linear", np.exp(vae.params["noise_logvar"][0]),
               principal(x_train, latents).noise_var, decimals=4)  # fmt: skip

# %% [markdown]
# A curved decoder leaves less to the noise. Does it collapse, too? Train ten units with a KL that
# counts `beta` = 300 times, then go on with the same weights and `beta` = 1. A unit is *active* if
# the variance of its $\mu$ over the digits is above 0.01 (Burda and others, 2016).
#
# Predict first: how many units are active after the first training, how many after the second?

# %%
# takes about 2 s
vae = GaussianVAE.create(64, (64,), WIDE, rng=rng, dtype=np.float64)  # s^2 = 1, not learned
vae.noise_logvar = np.log(np.array([0.05]))
fit(vae, x_train, epochs=60, learning_rate=3e-3, rng=rng, binarize=False, report=silent, beta=300)
crushed = units(vae, x_test)
fit(vae, x_train, epochs=60, learning_rate=3e-3, rng=rng, binarize=False, report=silent)
risen = units(vae, x_test)

claim("10.8", "The objective's collapse goes when the objective does")
check("active, beta = 300", np.sum(crushed[1] > 0.01), 0, decimals=1)
check_less("kl: 300, then 1", crushed[0].sum(), risen[0].sum(), by=1, decimals=3)
check_less(
    "active: 300, then 1", np.sum(crushed[1] > 0.01), np.sum(risen[1] > 0.01), by=2, decimals=1
)
say("KL of each unit, then: " + " ".join(f"{value:.2f}" for value in np.sort(risen[0])[::-1]))

# %% [markdown]
# Step 4 says why 300 was enough: `beta` times $s^2$ was 15, far above every eigenvalue. Lesson 12
# makes a theory of that product.
#
# Slips that are often seen: blaming the ELBO for a collapse that $\log p(x)$ wants as well;
# $s = 1$ taken for "no choice"; the covariance divided by $N - 1$, so that nothing agrees to more
# than three digits; two $W$ compared entry by entry; a unit called dead because *this* training
# left it at 0.
#
# ## Try it
#
# Try it: NOISE_VARS = 1.0, 0.6, 0.35, 0.21
#
# How many units will each leave? Count in the eigenvalues printed at the top, then run.
#
# Try it: LATENTS = 5
#
# Row 10.3 fails by a few thousandths of a nat. Which of step 2's numbers says why?
#
# Try it: WIDE = 3
#
# Which numbers of 10.4 cannot change, and which must?
