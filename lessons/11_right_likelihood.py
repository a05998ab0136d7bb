# %% [markdown]
# # Lesson 11: The right likelihood
#
# Grey pixels, squared errors, learned variances: what the nats of each are, and are not.
#
# Until now pixels were black or white. Real pictures are grey, and there are three popular ways to
# go on: put grey pixels into the Bernoulli formula, use the squared error, or learn a variance.
# Each prints a loss that falls. Which of these numbers is $-\log p(x)$ of something?
#
# A likelihood is a likelihood if it adds up to 1 over all $x$, or integrates to 1. That is all, and
# it can be computed.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, bernoulli, data, fit, gaussian, plot
from tinyvae.beyond import likelihoods
from tinyvae.beyond.likelihoods import ContinuousBernoulliVAE, GaussianVAE
from tinyvae.classroom.lesson import (
    check,
    check_at_most,
    check_differs,
    check_less,
    claim,
    say,
    title,
)
from tinyvae.oracles import central_difference, complex_step, estimate, principal
from tinyvae.train import mean_loss, silent

SEED = 11
EPOCHS = 40  # of each training
RATE = 3e-3
BETA = 0.05  # of step 5
LEVELS = 17  # grey levels of the small digits: 0 to 16

rng = np.random.default_rng(SEED)
digits = data.load("digits")
x_train, x_test = (np.asarray(x, dtype=np.float64) for x in (digits.x_train, digits.x_test))
mnist = np.asarray(data.load("mnist5k").x_test, dtype=np.float64)
nodes, node_weights = np.polynomial.legendre.leggauss(60)
nodes, node_weights = (nodes + 1) / 2, node_weights / 2  # integrals over [0, 1]

title("Lesson 11: The right likelihood")

# %% [markdown]
# ## Step 1: does it integrate to one?
#
# For a grey pixel $x$ and a probability $p$ the Bernoulli formula says $p^x (1 - p)^{1 - x}$. Over
# $x = 0$ and $x = 1$ it adds up to 1. Over all greys it has an integral, and a closed form:
#
# $$\int_0^1 p^x (1 - p)^{1 - x} \, dx = \frac{2 p - 1}{\log p - \log (1 - p)}$$
#
# Predict first: is the integral 1 anywhere? What is it for a pixel of $p = 0.5$?

# %%
claim("11.1", "The Bernoulli formula integrates to less than 1 over grey pixels")
for p in [0.01, 0.2, 0.49, 0.9]:
    logit = np.log(p / (1 - p))
    formula = np.exp(-bernoulli.nll(np.full((60, 1), logit), nodes[:, None]))
    check(f"integral, p = {p}", node_weights @ formula, (2 * p - 1) / logit)
half = np.exp(-bernoulli.nll(np.zeros((60, 1)), nodes[:, None]))
check("integral, p = 0.5", node_weights @ half, 0.5)
check("sum, p = 0.2", np.exp(-bernoulli.nll(np.full((2, 1), np.log(0.25)),
      np.array([[0.0], [1.0]]))).sum(), 1)  # fmt: skip

# %% [markdown]
# Never more than 1, and 1/2 at $p = 1/2$. Over 784 pixels it may be $2^{-784}$: whatever the loss
# says, it is no $-\log p(x)$ of grey pictures.
#
# ## Step 2: the floor
#
# Suppose that a model redraws every grey pixel *perfectly*, $p = x$. It still pays
# $H(x) = -x \log x - (1 - x) \log (1 - x)$ for each.
#
# Predict first: about a fifth of the pixels of a 28 x 28 digit are neither black nor white. How
# many nats does a perfect model pay for a digit?


# %%
def entropy(x):
    """-x log x - (1 - x) log(1 - x), summed over pixels; 0 log 0 is 0.    x (N, D)  ->  (N,)"""
    inside = np.where((x > 0) & (x < 1), x, 0.5)
    each = -inside * np.log(inside) - (1 - inside) * np.log(1 - inside)
    return np.where((x > 0) & (x < 1), each, 0).sum(axis=1)


perfect = np.log(np.clip(mnist, 1e-15, 1)) - np.log(np.clip(1 - mnist, 1e-15, 1))
floor = bernoulli.nll(perfect, mnist)
grey = np.mean((mnist > 0) & (mnist < 1))

claim("11.2", "A perfect reconstruction of a grey digit costs its entropy")
say(f"{grey:.1%} of the pixels of {len(mnist):,} test digits are grey")
check("floor, entropy", floor.mean(), entropy(mnist).mean(), tolerance=1e-10, decimals=2)
worse = bernoulli.nll(perfect + 0.1 * rng.standard_normal(mnist.shape), mnist)
check_less("perfect, nearly so", floor, worse)

# %% [markdown]
# (With the 10,000 test digits of full MNIST the floor is 45.5 nats.) The PyTorch example's test
# loss of 105.6 is of this kind: 45.5 of it no model can save. What *is* that loss? The formula is
# linear in $x$. So it is the mean over black and white pictures $b$, drawn with the greys as
# probabilities.
#
# Predict first: draw black and white pixels a thousand times and average the loss. What do you get?

# %%
logits = np.log((x_train.mean(axis=0) + 0.01) / (1.01 - x_train.mean(axis=0)))
one_digit = x_test[0]
drawn = data.binarize(np.tile(one_digit, (20_000, 1)), rng)

claim("11.3", "The formula for grey x = the mean of -log p(b) over black and white b")
check("one digit of 8 x 8", estimate(bernoulli.nll(np.tile(logits, (20_000, 1)), drawn)),
      bernoulli.nll(logits, one_digit), decimals=4)  # fmt: skip

# %% [markdown]
# So grey pixels in the formula are an *average* of right answers to another question. That is why
# training on them works, and why the number is the likelihood of no picture. (The encoder sees
# grey in the one case and black and white in the other: the ELBOs differ all the same.)
#
# ## Step 3: make it integrate to one
#
# Divide by the integral: the *continuous Bernoulli* (Loaiza-Ganem and Cunningham, 2019). With the
# logit $a$ its constant is
#
# $$C = \frac{2 \, \mathrm{artanh} (1 - 2 p)}{1 - 2 p} = \frac{a}{\tanh (a / 2)}$$
#
# and $\log C \geq \log 2$. Its mean is *not* $p$, but $1/2 + 1 / (2 \tanh (a/2)) - 1 / a$. At
# $p = 1/2$ both are 0/0.
#
# Predict first: close to $p = 1/2$, which loses its digits: $\log C$, or the mean?

# %%
claim("11.4", "Continuous Bernoulli: density, mean and gradient")
for logit in [-6.0, 0.3, 2.0]:
    many = np.full((60, 1), logit)
    density = np.exp(-likelihoods.continuous_bernoulli_nll(many, nodes[:, None]))
    check(f"integral, a = {logit}", node_weights @ density, 1)
    check("  mean", node_weights @ (nodes * density), likelihoods.mean(many)[0, 0])
three, some_x = np.array([[-6.0, 0.3, 2.0]]), np.array([[0.1, 0.5, 0.9]])
slope = complex_step(
    lambda a: np.sum(np.log((np.exp(a) - 1) / a) - some_x * a), three
)  # from the definition: log of the integral of exp(a x)
check("gradient",
      likelihoods.continuous_bernoulli_nll_backward(np.ones(1), three, some_x), slope)  # fmt: skip
say()
say("close to p = 1/2, a = 1e-6: the definitions, and the package")
tiny = 1e-6
p = 1 / (1 + np.exp(-tiny))
definition = np.log(2 * np.arctanh(1 - 2 * p) / (1 - 2 * p))
log_C, mean = likelihoods.log_normalizer(np.array([tiny]))[0], likelihoods.mean(np.array([tiny]))[0]
check("log C", definition, log_C, tolerance=1e-9)
check("log 2 + a^2 / 12", np.log(2) + tiny**2 / 12, log_C)
check("mean: 1/2 + a / 12", 0.5 + tiny / 12, mean, tolerance=1e-15)
check_differs("mean, definition", 0.5 + 0.5 / np.tanh(tiny / 2) - 1 / tiny, mean, by=1e-12)

# %% [markdown]
# $\log C$ is fine: numerator and denominator have the same error. The mean is a difference of two
# numbers near $10^6$, so there the package takes the series $1/2 + a/12 - a^3/720 + \ldots$
#
# ## Step 4: a Gaussian, and what its variance wants to be
#
# $p(x|z) = N(\hat x, s^2 I)$ costs $|x - \hat x|^2 / 2 s^2 + \frac D2 \log 2 \pi s^2$. For given
# pictures $\hat x$ the best $s^2$ makes the derivative 0.
#
# Predict first: which $s^2$ is it? And what is left of the squared error in the loss?

# %%
x_hat = np.broadcast_to(x_train.mean(axis=0), x_train.shape)  # any picture will do
mse = np.mean((x_train - x_hat) ** 2)
at_mse = np.log(np.array([mse]))


def mean_nll(logvar):
    return likelihoods.gaussian_nll(x_hat, logvar, x_train).mean()


_, dlogvar = likelihoods.gaussian_nll_backward(np.full(1500, 1 / 1500), x_hat, at_mse, x_train)

claim("11.5", "The best variance is the mean squared error; the loss is its logarithm")
check("slope there", dlogvar[0], 0, tolerance=1e-9)
check("slope, by differences", central_difference(mean_nll, at_mse)[0], 0, tolerance=1e-7)
check("32 log(2 pi e mse)", mean_nll(at_mse), 32 * np.log(2 * np.pi * np.e * mse))
for factor in [0.5, 2]:
    check_less(f"best, {factor} times that", mean_nll(at_mse), mean_nll(at_mse + np.log(factor)))

# %% [markdown]
# ## Step 5: the squared error has a hidden sigma
#
# "We use the squared error, so there is no variance to choose." Take
# $\frac12 |x - \hat x|^2 + \beta \, KL$ and divide by $\beta$. That is a Gaussian's loss with
# $s^2 = \beta$. So the gradients are the same but for a factor, and Adam does not see a factor.
#
# Predict first: a loss averages the squared error over 64 pixels, and adds the KL, summed. Which
# $s^2$ did it choose? The digits' largest eigenvalue is 0.7 (lesson 10): what will the KL be?

# %%
# takes about 2 s
vae = GaussianVAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
eps = rng.standard_normal((100, 2))
squared = vae.loss_and_grads(x_train[:100], eps, beta=BETA)[3]  # s^2 = 1: half the squared error
vae.noise_logvar = np.log(np.array([BETA]))
with_sigma = vae.loss_and_grads(x_train[:100], eps)[3]
collapsed = GaussianVAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
collapsed.noise_logvar = np.log(np.array([64 / 2]))  # mean over 64 pixels, not half their sum
fit(collapsed, x_train, epochs=EPOCHS, learning_rate=RATE, rng=rng, binarize=False, report=silent)
kl = gaussian.kl_to_standard_normal(*collapsed.encode(x_test))

claim("11.6", "Half the squared error with beta = a Gaussian of variance beta")
for name in ["mu.W", "logvar.b", "logits.W"]:
    check(f"d by {name}", squared[name], BETA * with_sigma[name])
check_at_most("mean over pixels: KL", kl.mean(), 0.01)

# %% [markdown]
# A mean over $D$ pixels is $s^2 = D / 2$: 32 here, 392 for a 28 x 28 digit, where grey pixels vary
# by less than 1. Everything is noise, and $z$ is not worth a nat. It is the most reported "bug" of
# VAEs, and the loss did what it was told.
#
# ## Step 6: through the floor
#
# A density may exceed 1, so $-\log p(x)$ may be negative. That is no mistake. But how far down does
# it go? Three of the 64 pixels are black in every training digit. Give each pixel a variance of
# its own and let those of the three shrink.
#
# Predict first: every time their $s$ shrinks by a factor of $e$, how many nats are gained? When
# does it end?

# %%
dead = x_train.var(axis=0) == 0
logvars = np.log(np.where(dead, 1, x_train.var(axis=0) + 1e-3))


def shrunk(factor):
    """Mean -log p(x) with the dead pixels' s shrunk by exp(-factor)."""
    return likelihoods.gaussian_nll(x_hat, logvars - 2 * factor * dead, x_train).mean()


claim("11.7", "Black pixels pay for every factor e of their s: there is no best loss")
check("always black", np.sum(dead), 3, decimals=1)
for factor in [1, 10, 100]:
    check(f"gained, e^{factor}", shrunk(0) - shrunk(factor), factor * np.sum(dead),
          tolerance=1e-9)  # fmt: skip
check_less("loss, 0", shrunk(100), 0, decimals=2)
say("lesson 10: every latent shrinks the noise; mean log p(x), training digits")
fits = {latents: principal(x_train, latents) for latents in (10, 40, 60)}
for fewer, more in [(10, 40), (40, 60)]:
    check_less(f"{fewer}, {more} latents", fits[fewer].log_px(x_train).mean(),
               fits[more].log_px(x_train).mean(), decimals=1)  # fmt: skip
say("a Bernoulli pixel pays, however sure it is")
sure = bernoulli.nll(np.array([[-3.0], [-9.0], [-27.0]]), np.zeros((3, 1)))
check_less("0, nll at logits -3, -9, -27", 0, sure, by=0)

# %% [markdown]
# There is no end. Where data lie in fewer dimensions than they have pixels, a learned variance
# falls without limit (Mattei and Frellsen, 2018), and the loss is a race to 0 variance. Bound the
# variance from below, say so, and do not call the result a maximum. Black or white pixels are safe:
# a probability is at most 1.
#
# ## Step 7: grey levels are whole numbers
#
# A scan has levels $0, \ldots, 16$. A density on them is an idealisation, and the remedy is to undo
# the rounding: $y = (level + u) / 17$, $u$ uniform. Then
#
# $$E_u \log p(y) - \log 17 \leq \log \int_{bin} p(y) \, dy = \log P(level)$$
#
# by Jensen: a *density* of dequantised pixels becomes a bound on a *probability* of levels. For the
# continuous Bernoulli both sides are closed.
#
# Predict first: when is nothing lost?

# %%
claim("11.8", "A density of dequantised pixels bounds the probability of the levels")
level = np.arange(LEVELS)
for logit in [-20.0, -2.0, 0.01]:
    edges = np.exp(logit * np.arange(LEVELS + 1) / LEVELS)
    log_P = np.log(np.diff(edges) / (np.exp(logit) - 1))
    centre = ((level + 0.5) / LEVELS)[:, None]  # log p(y) is linear in y
    log_p = -likelihoods.continuous_bernoulli_nll(np.full((LEVELS, 1), logit), centre)
    check(f"a = {logit}: sum of P", np.exp(log_P).sum(), 1)
    check_less("  bound, log P", log_p - np.log(LEVELS), log_P, by=1e-12)

# %% [markdown]
# Where the density is flat within a bin. At $a = 0.01$ next to nothing is lost.
#
# ## Step 8: one table
#
# The same digits under five likelihoods, each a VAE with the same layers and two latents. All but
# the first see dequantised pixels $y$, so the last three are densities of the same thing.
#
# Predict first: which of the five numbers may be compared with each other?

# %%
# takes about 6 s
y_train, y_test = (((LEVELS - 1) * x + rng.random(x.shape)) / LEVELS for x in (x_train, x_test))
table = {}
for name, kind, grey_pixels in [
    ("Bernoulli, black and white", VAE, False),
    ("Bernoulli formula, grey", VAE, True),
    ("Gaussian, s = 1", GaussianVAE, True),
    ("Gaussian, s learned", GaussianVAE, True),
    ("continuous Bernoulli", ContinuousBernoulliVAE, True),
]:
    vae = kind.create(64, (64,), 2, rng=rng, dtype=np.float64)
    if name.endswith("learned"):
        vae.params["noise_logvar"] = np.array([-2.0])
    train, test = (y_train, y_test) if grey_pixels else (x_train, x_test)
    fit(vae, train, epochs=EPOCHS, learning_rate=RATE, rng=rng, binarize=not grey_pixels,
        report=silent)  # fmt: skip
    recon, kl = mean_loss(vae, test, rng, binarize=not grey_pixels)
    table[name] = recon, kl, np.mean((vae.reconstruct(test) - test) ** 2)

claim("11.9", "The same digits under five likelihoods: nats of what?")
say("                                recon      kl  -(recon + kl)")
for name, (recon, kl, _) in table.items():
    what = {"Bernoulli, black and white": "log P of pictures",
            "Bernoulli formula, grey": "nothing"}.get(name, "log density of y")  # fmt: skip
    say(f"{name:27}{recon:10.2f}{kl:8.2f}{-(recon + kl):10.2f}   {what}")
density = {name: -(row[0] + row[1]) for name, row in table.items()}
say()
say("densities of the same y may be compared")
check_less("s = 1, s learned", density["Gaussian, s = 1"], density["Gaussian, s learned"],
           by=1, decimals=2)  # fmt: skip
check_less("s = 1, continuous B.", density["Gaussian, s = 1"], density["continuous Bernoulli"],
           by=1, decimals=2)  # fmt: skip
say("but only in one unit: the same Gaussian for pixels from 0 to 255")
nll = likelihoods.gaussian_nll(x_hat, at_mse, x_train).mean()
in_bytes = likelihoods.gaussian_nll(255 * x_hat, at_mse + 2 * np.log(255), 255 * x_train).mean()
check("64 log 255", in_bytes - nll, 64 * np.log(255))

# %%
with plot.style():
    figure, axes = plt.subplots(figsize=(11, 6), layout="constrained")
    names = list(table)
    for row, name in enumerate(names):
        compared = row >= 2
        axes.barh(row, density[name], color=plot.COLOURS["blue" if compared else "grey"],
                  hatch="" if compared else "//")  # fmt: skip
        axes.text(max(density[name], 0) + 1, row, f"{density[name]:.1f}", va="center")
    axes.axvline(0, color="black", linewidth=1)
    axes.set(yticks=range(5), yticklabels=names, xlabel="-(recon + kl), nats per digit",
             xlim=(None, max(density.values()) + 12))  # fmt: skip
    axes.invert_yaxis()
    axes.set_title("Five losses of the same digits, and only the blue ones may be compared")
    plt.show()

# %% [markdown]
# May be compared: two densities of the same $y$ in the same unit; or probabilities of the same
# levels, after subtracting $64 \log 17$. May not: black and white against grey, a density against
# a probability, pixels to 1 against pixels to 255, and the formula of line 2 against anything.
#
# Slips that are often seen: the cross-entropy of grey pixels reported as $-\log p(x)$; a mean over
# pixels with a KL that is a sum; $\log s^2$ left out of the loss, so that $s$ grows for ever; the
# clip that keeps $s$ away from 0 reported as "learned"; $p$ shown as the mean of a continuous
# Bernoulli.
#
# ## Try it
#
# Try it: BETA = 1.0
#
# Which of the two gradients of step 5 changes?
#
# Try it: EPOCHS = 200
#
# Which lines of 11.9 keep rising? Which one has a floor?
#
# Try it: LEVELS = 256
#
# The bound of 11.8 gets tighter. Why?
