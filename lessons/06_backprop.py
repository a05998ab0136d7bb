# %% [markdown]
# # Lesson 6: The backward pass
#
# The derivative of a VAE's loss by every weight, by hand, and checked without the chain rule.
#
# The final architecture has an encoder, a sample, a decoder and two losses. To train it we need
# the derivative of the loss by every weight. A library would give it at the press of a button;
# here it is derived, on the smallest VAE there is, and then checked.
#
# The network is 2-1-2: two pixels, one latent number, two pixels, with one hidden unit on either
# side. It has 13 parameters, so everything fits on the screen.
#
# 1. each scalar step on its own line, forward and backward
# 2. the same in pairs: a function and its backward, as in `tinyvae.layers`
# 3. the same in one call: `VAE.loss_and_grads`
#
# All three must agree with a witness that knows no chain rule.
#
# `dv` stands for "the derivative of the loss by `v`". The loss is in nats, and so is every `dv` per
# unit of `v`.

# %%
from itertools import product

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, bernoulli, gaussian, layers
from tinyvae.classroom.lesson import check, check_differs, check_less, claim, say, title
from tinyvae.oracles import (
    central_difference,
    complex_step,
    relative_error,
    vector_jacobian,
)

SEED = 6
X1 = 1.0  # the two pixels
X2 = 0.0
EPS = 0.7  # the noise
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe and Ito: distinct to every eye

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

title("Lesson 6: The backward pass")

# %% [markdown]
# ## Step 1: forward, one scalar a line
#
# The image is $x = (1, 0)$. The noise $\epsilon$ was drawn once and is held: it is an input, like
# $x$. No bias is zero, because zeros hide mistakes. The activation is tanh: smooth, so that its
# derivative can be checked everywhere (a relu has a kink).
#
# Predict first: at a logit of 0 a pixel costs $\log 2$, 0.69 nats. With the weights below, the
# logits are about 1.0 for the white pixel and -0.4 for the black one. Is recon more or less than
# $2 \log 2$?

# %%
x1, x2, eps = X1, X2, EPS
w1, w2, b_h = 0.8, -0.5, 0.1  # encoder
w_mu, b_mu = 0.9, 0.2  # head: mean
w_logvar, b_logvar = -0.7, 0.3  # head: log of the variance
v, b_g = 1.1, -0.2  # decoder
u1, c1, u2, c2 = 1.2, -0.1, -0.9, 0.4  # logits of the two pixels

a_h = x1 * w1 + x2 * w2 + b_h
h = np.tanh(a_h)
mu = h * w_mu + b_mu
logvar = h * w_logvar + b_logvar
std = np.exp(logvar / 2)
z = mu + std * eps
a_g = z * v + b_g
g = np.tanh(a_g)
logit1 = g * u1 + c1
logit2 = g * u2 + c2
nll1 = np.log(1 + np.exp(logit1)) - x1 * logit1  # -log p(x1|z)
nll2 = np.log(1 + np.exp(logit2)) - x2 * logit2
recon = nll1 + nll2
kl = 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)
loss = recon + kl

x = np.array([[x1, x2]])  # the same as arrays: a batch of one
noise = np.array([[eps]])
vae = VAE.create(data_dim=2, hidden_dims=1, latent_dim=1, rng=rng, dtype=np.float64)
vae.params.update(
    {
        "encoder.0.W": np.array([[w1], [w2]]),
        "encoder.0.b": np.array([b_h]),
        "mu.W": np.array([[w_mu]]),
        "mu.b": np.array([b_mu]),
        "logvar.W": np.array([[w_logvar]]),
        "logvar.b": np.array([b_logvar]),
        "decoder.0.W": np.array([[v]]),
        "decoder.0.b": np.array([b_g]),
        "logits.W": np.array([[u1, u2]]),
        "logits.b": np.array([c1, c2]),
    }
)
vae_recon, vae_kl = vae.loss(x, noise)

claim("6.1", "The scalar lines and VAE.loss are the same function")
check("recon", recon, vae_recon[0])
check("kl", kl, vae_kl[0])

# %% [markdown]
# ## Step 2: backward, one scalar a line
#
# Start with $d\,loss / d\,loss = 1$ and read the forward from its last line to its first. Each line
# `y = f(a, b)` gives `da = dy * (df/da)` and `db = dy * (df/db)`. Nothing else happens.
#
# One thing is new to whoever knows a plain network: $\mu$ and $\log\sigma^2$ are each used *twice*,
# in $z$ and in the KL. What is used twice gets two gradients, and they add.
#
# %%
# fmt: off
drecon, dkl = 1.0, 1.0                                # loss = recon + kl
dnll1, dnll2 = drecon, drecon                         # recon = nll1 + nll2
dlogit1 = dnll1 * (1 / (1 + np.exp(-logit1)) - x1)    # what the decoder says, less what is true
dlogit2 = dnll2 * (1 / (1 + np.exp(-logit2)) - x2)
du1, dc1 = dlogit1 * g, dlogit1                       # logit1 = g * u1 + c1
du2, dc2 = dlogit2 * g, dlogit2                       # logit2 = g * u2 + c2
dg = dlogit1 * u1 + dlogit2 * u2                      # g is used twice, too
da_g = dg * (1 - g * g)                               # g = tanh(a_g)
dv, db_g = da_g * z, da_g                             # a_g = z * v + b_g
dz = da_g * v
dmu_recon = dz                                        # z = mu + std * eps
dstd = dz * eps
dlogvar_recon = dstd * std / 2                        # std = exp(logvar / 2)
dmu_kl = dkl * mu                                     # kl = 1/2 (mu^2 + exp(logvar) - 1 - logvar)
dlogvar_kl = dkl * 0.5 * (np.exp(logvar) - 1)
dmu = dmu_recon + dmu_kl                              # the two sums that make it a VAE
dlogvar = dlogvar_recon + dlogvar_kl
dw_mu, db_mu = dmu * h, dmu                           # mu = h * w_mu + b_mu
dw_logvar, db_logvar = dlogvar * h, dlogvar           # logvar = h * w_logvar + b_logvar
dh = dmu * w_mu + dlogvar * w_logvar
da_h = dh * (1 - h * h)                               # h = tanh(a_h)
dw1, dw2, db_h = da_h * x1, da_h * x2, da_h           # a_h = x1 * w1 + x2 * w2 + b_h
# fmt: on

# %% [markdown]
# The witness: **the complex step**. For an analytic $f$,
# $f(v + i s) = f(v) + i s f'(v) - \ldots$, so $f'(v)$ is the imaginary part of $f(v + i s)$,
# divided by $s$. Nothing is subtracted, so the step $s$ can be $10^{-30}$. It needs the forward
# alone.
#
# For it the loss is written once more, as formulas for arrays: no line is shared with the above,
# none with the package.
#
# Predict first: which of the 13 derivatives is exactly 0?


# %%
def loss_of(params, x, eps):
    """mean(recon + kl) in nats; analytic, so that it can be fed complex numbers."""
    p = params
    h = np.tanh(x @ p["encoder.0.W"] + p["encoder.0.b"])
    mu = h @ p["mu.W"] + p["mu.b"]
    var = np.exp(h @ p["logvar.W"] + p["logvar.b"])
    g = np.tanh((mu + np.sqrt(var) * eps) @ p["decoder.0.W"] + p["decoder.0.b"])
    x_hat = 1 / (1 + np.exp(-(g @ p["logits.W"] + p["logits.b"])))
    recon = -np.sum(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat), axis=1)
    kl = np.sum(mu**2 + var - 1 - np.log(var), axis=1) / 2
    return np.mean(recon + kl)


def gradient(f, params, method, **options):
    """The gradient of f(params), parameter by parameter, from the values of f alone."""
    return {
        name: method(lambda p, name=name: f(params | {name: p}), value, **options)
        for name, value in params.items()
    }


by_witness = gradient(lambda params: loss_of(params, x, noise), vae.params, complex_step)
by_scalars = {
    "encoder.0.W": [[dw1], [dw2]],
    "encoder.0.b": [db_h],
    "mu.W": [[dw_mu]],
    "mu.b": [db_mu],
    "logvar.W": [[dw_logvar]],
    "logvar.b": [db_logvar],
    "decoder.0.W": [[dv]],
    "decoder.0.b": [db_g],
    "logits.W": [[du1, du2]],
    "logits.b": [dc1, dc2],
}

claim("6.2", "The derivative of the loss by every weight: scalar lines = complex step")
for name, witness in by_witness.items():
    for i, by_scalar in enumerate(np.ravel(by_scalars[name])):
        check(f"{name}[{i}]", by_scalar, np.ravel(witness)[i])
if x2 == 0:
    say("encoder.0.W[1] is multiplied by x2 = 0: the loss does not depend on it.")

# %% [markdown]
# The two sums, each part on its own. Cut the network at $\mu$ and $\log\sigma^2$: the loss from
# there on is a function of two numbers.
#
# Predict first: recon and kl each have a derivative by $\mu$. Which way does each want to move it?


# %%
def recon_of(mu, logvar):
    x_hat = 1 / (1 + np.exp(-(np.tanh((mu + np.exp(logvar / 2) * eps) * v + b_g) * u + c)))
    return -np.sum(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat))


def kl_of(mu, logvar):
    return (mu**2 + np.exp(logvar) - 1 - logvar) / 2


u, c = np.array([u1, u2]), np.array([c1, c2])

claim("6.3", "mu and logvar are used twice: two gradients, and their sum")
check("dmu_recon", dmu_recon, complex_step(lambda m: recon_of(m, logvar), mu))
check("dmu_kl", dmu_kl, complex_step(lambda m: kl_of(m, logvar), mu))
check("dmu", dmu, complex_step(lambda m: recon_of(m, logvar) + kl_of(m, logvar), mu))
check("dlogvar_recon", dlogvar_recon, complex_step(lambda s: recon_of(mu, s), logvar))
check("dlogvar_kl", dlogvar_kl, complex_step(lambda s: kl_of(mu, s), logvar))
check("dlogvar", dlogvar, complex_step(lambda s: recon_of(mu, s) + kl_of(mu, s), logvar))

# %%
nodes = {  # name: (column, row, value, derivative)
    "x1": (0, 1.0, x1, None),
    "x2": (0, -1.0, x2, None),
    "h": (1, 0.0, h, dh),
    "mu": (2, 1.0, mu, dmu),
    "logvar": (2, -1.0, logvar, dlogvar),
    "eps": (3, -1.9, eps, None),
    "z": (3, 0.0, z, dz),
    "g": (4, 0.0, g, dg),
    "logit1": (5, 0.9, logit1, dlogit1),
    "logit2": (5, -0.9, logit2, dlogit2),
    "recon": (6, 0.0, recon, drecon),
    "kl": (3.6, 2.3, kl, dkl),
    "loss": (7, 1.1, loss, 1.0),
}
arrows = "x1-h x2-h h-mu h-logvar mu-z logvar-z eps-z z-g g-logit1 g-logit2 logit1-recon"
arrows += " logit2-recon mu-kl logvar-kl recon-loss kl-loss"
twice = {"mu-z": dmu_recon, "mu-kl": dmu_kl, "logvar-z": dlogvar_recon, "logvar-kl": dlogvar_kl}

figure, axis = plt.subplots(figsize=(13, 7.5), layout="constrained")
for arrow in arrows.split():
    start, end = (nodes[name][:2] for name in arrow.split("-"))
    color = ORANGE if arrow in twice else "0.6"
    style = {"arrowstyle": "-|>", "color": color, "shrinkA": 34, "shrinkB": 34}
    axis.annotate("", end, start, arrowprops=style)
    if arrow in twice:
        along = 0.45 if arrow.endswith("z") else 0.6
        column, row = (1 - along) * np.array(start) + along * np.array(end)
        text = f"{twice[arrow]:+.2f}"
        axis.text(column, row, text, color=ORANGE, ha="center", backgroundcolor="white")
for name, (column, row, value, derivative) in nodes.items():
    axis.plot(column, row, "o", markersize=66, color="white", markeredgecolor=BLACK)
    axis.text(column, row + 0.17, name, ha="center", va="center", color="0.3")
    axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=BLACK, weight="bold")
    if derivative is not None:
        text = f"{derivative:+.2f}"
        axis.text(column, row - 0.17, text, ha="center", va="center", color=ORANGE)
axis.text(-0.4, 2.4, "bold: value", color=BLACK, weight="bold")
axis.text(-0.4, 2.1, "with a sign: d loss / d value, in nats per unit", color=ORANGE)
axis.set(
    title="Two paths lead from mu to the loss, and they add: "
    f"{dmu_recon:+.2f} by recon, {dmu_kl:+.2f} by kl, {dmu:+.2f} together",
    xlim=(-0.5, 7.5),
    ylim=(-2.4, 2.7),
)
axis.axis("off")
plt.show()

# %% [markdown]
# ## Step 3: the pairs
#
# Many scalar lines are one line for arrays. `layers.linear` stands for all multiplications and
# additions of a layer, and `layers.linear_backward` for all their derivatives: for any number of
# inputs, outputs and examples. Rows are examples.
#
# Predict first: $y = xW + b$, and $dy$ has a row per example. What is $db$: the mean of the rows,
# or their sum?

# %%
p = vae.params
h_row = layers.tanh(layers.linear(x, p["encoder.0.W"], p["encoder.0.b"]))
mu_row = layers.linear(h_row, p["mu.W"], p["mu.b"])
logvar_row = layers.linear(h_row, p["logvar.W"], p["logvar.b"])
z_row = gaussian.reparameterize(mu_row, logvar_row, noise)
g_row = layers.tanh(layers.linear(z_row, p["decoder.0.W"], p["decoder.0.b"]))
logits = layers.linear(g_row, p["logits.W"], p["logits.b"])

by_pairs = {}
ones = np.ones(1)
dlogits = bernoulli.nll_backward(ones, logits, x)
dg_row, by_pairs["logits.W"], by_pairs["logits.b"] = layers.linear_backward(
    dlogits, g_row, p["logits.W"]
)
dz_row, by_pairs["decoder.0.W"], by_pairs["decoder.0.b"] = layers.linear_backward(
    layers.tanh_backward(dg_row, g_row), z_row, p["decoder.0.W"]
)
dmu_z, dlogvar_z = gaussian.reparameterize_backward(dz_row, logvar_row, noise)
dmu_penalty, dlogvar_penalty = gaussian.kl_to_standard_normal_backward(ones, mu_row, logvar_row)
dh_mu, by_pairs["mu.W"], by_pairs["mu.b"] = layers.linear_backward(
    dmu_z + dmu_penalty, h_row, p["mu.W"]
)
dh_logvar, by_pairs["logvar.W"], by_pairs["logvar.b"] = layers.linear_backward(
    dlogvar_z + dlogvar_penalty, h_row, p["logvar.W"]
)
dx, by_pairs["encoder.0.W"], by_pairs["encoder.0.b"] = layers.linear_backward(
    layers.tanh_backward(dh_mu + dh_logvar, h_row), x, p["encoder.0.W"]
)

x_rows, dy_rows = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
W_rows, b_rows = rng.standard_normal((3, 2)), rng.standard_normal(2)
_, dW_rows, db_rows = layers.linear_backward(dy_rows, x_rows, W_rows)
db_witness = complex_step(lambda b: np.sum((x_rows @ W_rows + b) * dy_rows), b_rows)
dW_witness = complex_step(lambda W: np.sum((x_rows @ W + b_rows) * dy_rows), W_rows)

claim("6.4", "Each pair does the work of its scalar lines; db is the sum of the rows")
check("bernoulli.nll: 1", dlogits[0, 0], dlogit1)
check("bernoulli.nll: 2", dlogits[0, 1], dlogit2)
check("linear, logits", dg_row[0, 0], dg)
check("tanh, linear", dz_row[0, 0], dz)
check("reparameterize", dlogvar_z[0, 0], dlogvar_recon)
check("kl: dmu", dmu_penalty[0, 0], dmu_kl)
check("kl: dlogvar", dlogvar_penalty[0, 0], dlogvar_kl)
check("linear, two heads", (dh_mu + dh_logvar)[0, 0], dh)
say()
say("a batch of five rows, against the complex step")
check("linear: db", db_rows, db_witness)
check("linear: dW", dW_rows, dW_witness)
check("db, sum of the rows", db_rows, dy_rows.sum(axis=0))

# %% [markdown]
# ## Step 4: one call
#
# Each output of `linear` has the same $b$ in every row, so the rows' derivatives add up, as they
# did for $\mu$. The matrix product for $dW$ sums over the batch by itself.
#
# `VAE.loss_and_grads` is these pairs in this order; open `tinyvae/vae.py` and compare.
#
# Predict first: 13 derivatives by four roads: scalar lines, pairs, one call, complex step. In how
# many digits do they agree?

# %%
vae_loss, _, _, by_vae = vae.loss_and_grads(x, noise)


def flat(grads):
    """All gradients in one row, in the order of the network's parameters."""
    return np.concatenate([np.ravel(grads[name]) for name in vae.params])


claim("6.5", "Scalar lines, pairs, VAE.loss_and_grads: one gradient")
check("loss: scalars, VAE", loss, vae_loss)
check("scalars, pairs", flat(by_scalars), flat(by_pairs))
check("pairs, VAE", flat(by_pairs), flat(by_vae))
check("VAE, complex step", flat(by_vae), flat(by_witness))

# %% [markdown]
# Then the same call on a network that would not fit on the screen, with a batch. The loss is a mean
# over the batch, so the gradient is the mean of the examples' gradients.
#
# Predict first: must each example have an $\epsilon$ of its own for this to hold?

# %%
B, D, H, Z = 7, 6, 5, 3
wide = VAE.create(data_dim=D, hidden_dims=H, latent_dim=Z, rng=rng, dtype=np.float64)
for value in wide.params.values():
    value[...] = 0.5 * rng.standard_normal(value.shape)  # no bias stays at 0
x_batch = (rng.random((B, D)) < 0.5).astype(np.float64)
noise_batch = rng.standard_normal((B, Z))
_, _, _, wide_grads = wide.loss_and_grads(x_batch, noise_batch)
one_by_one = [wide.loss_and_grads(x_batch[n : n + 1], noise_batch[n : n + 1])[3] for n in range(B)]
exact = gradient(lambda params: loss_of(params, x_batch, noise_batch), wide.params, complex_step)

shared_noise = np.repeat(noise_batch[:1], B, axis=0)  # one eps for all examples
_, _, _, shared_grads = wide.loss_and_grads(x_batch, shared_noise)
shared_exact = gradient(
    lambda params: loss_of(params, x_batch, shared_noise), wide.params, complex_step
)

claim("6.6", f"The gradient of a batch of {B} is the mean of {B} gradients, and exact")
check("batch, mean", flat(wide_grads), np.mean([flat(grads) for grads in one_by_one], axis=0))
check("batch, complex step", flat(wide_grads), flat(exact))
check("one eps for all rows", flat(shared_grads), flat(shared_exact))

# %% [markdown]
# The calculus does not care where the noise comes from. (The *variance* does: with one $\epsilon$
# for all, the noise no longer averages out over the batch.)
#
# ## Step 5: how good are finite differences?
#
# The usual witness needs no complex numbers:
# $f'(v) \approx (f(v + s) - f(v - s)) / 2s$. Its error has two parts. A *large* step sees the
# curve bend: the error is about $s^2 f''' / 6$. A *small* step subtracts two nearly equal numbers,
# and their last digits are rounding: about $10^{-16} |f| / s$.
#
# Predict first: with which step are most digits right, $10^{-2}$, $10^{-5}$, $10^{-8}$ or
# $10^{-15}$? By what factor does the error shrink from a step of $10^{-2}$ to $10^{-3}$?


# %%
def package_loss(params):
    """The package's forward with other parameters."""
    model = VAE(params, wide.data_dim, wide.hidden_dims, wide.latent_dim, wide.activation)
    recon, kl = model.loss(x_batch, noise_batch)
    return np.mean(recon + kl)


def worst_error(step):
    """The largest relative error of the finite differences, over all parameters."""
    found = gradient(package_loss, wide.params, central_difference, step=step)
    return relative_error(flat(found), flat(exact)).max()


def error_to_first(step):
    found = gradient(package_loss, wide.params, central_difference, step=step)
    return np.abs(flat(found) - flat(exact)).sum()


differences = gradient(package_loss, wide.params, central_difference, step=1e-5)

steps = 10.0 ** np.arange(-14, -0.5, 0.5)
errors = np.array([worst_error(step) for step in steps])
best = errors.argmin()

claim("6.7", "Finite differences: a tenth of the step, a hundredth of the error ...")
shrinks = error_to_first(1e-2) / error_to_first(1e-3)
check("step 1e-2, 1e-3", shrinks, 100, tolerance=0.01, decimals=2)
check("step 1e-5", flat(differences), flat(exact), tolerance=1e-8)
say("... until rounding takes over")
digits_best, digits_smallest = (max(0, int(-np.log10(e))) for e in (errors[best], errors[0]))
check_less("right digits: 1e-14, best", digits_smallest, digits_best, decimals=0)
decade = 10.0 ** np.floor(np.log10(steps[best]) + 1e-9)  # which step is best depends on rounding
say(f"the best step is between {decade:.0e} and {10 * decade:.0e}")

# %%
complex_error = relative_error(flat(wide_grads), flat(exact)).max()

figure, axis = plt.subplots(figsize=(10, 6), layout="constrained")
axis.loglog(steps, errors, "o-", color=BLUE)
axis.loglog(steps[best], errors[best], "o", color=BLACK, markersize=11)
axis.axhline(complex_error, color=ORANGE, linestyle="--")
axis.text(1e-14, complex_error * 2, "complex step, 1e-30", color=ORANGE)
axis.text(3e-13, 3e-7, "rounding:\n1e-16 / step", color="0.3")
axis.text(1e-4, 3e-6, "truncation:\nstep squared", color="0.3", ha="right")
axis.set(
    title=f"The best step is near {decade:.0e}: smaller is not better",
    xlabel="step of the finite difference (units of a weight)",
    ylabel="largest relative error of the gradient",
)
plt.show()

# %% [markdown]
# ## Step 6: why the noise is an argument
#
# If the sampler drew its own noise, the two losses of a finite difference would have different
# $\epsilon$. Their difference would not be small, and dividing by the step makes it huge.
#
# Predict first: how far off, with a step of $10^{-6}$?


# %%
def loss_with_fresh_noise(b):
    fresh = rng.standard_normal((B, Z))
    return loss_of(wide.params | {"decoder.0.b": b}, x_batch, fresh)


claim("6.8", "With fresh noise in every call, finite differences say nothing")
useless = central_difference(loss_with_fresh_noise, wide.params["decoder.0.b"])[0]
check_differs("decoder.0.b[0]", useless, exact["decoder.0.b"][0], by=100, decimals=2)

# %% [markdown]
# ## Step 7: what a gradient check cannot see
#
# Here is a loss with a mistake that is in real code: the *mean* over the pixels where
# $-\log p(x|z)$ is their sum. Its backward is derived from it, without a slip.
#
# Predict first: does the gradient check find it?


# %%
def wrong_nll(logits, x):
    return bernoulli.nll(logits, x) / x.shape[-1]


def wrong_nll_backward(dnll, logits, x):
    # forward:  nll = sum over pixels / number of pixels
    return bernoulli.nll_backward(dnll, logits, x) / x.shape[-1]


logits_batch = rng.standard_normal((B, D))
upstream = rng.standard_normal(B)
losses = {
    "sum": (bernoulli.nll, bernoulli.nll_backward),
    "mean": (wrong_nll, wrong_nll_backward),
}
by_differences = {
    name: vector_jacobian(
        lambda a, loss=loss: loss(a, x_batch), logits_batch, upstream, method=central_difference
    )
    for name, (loss, _) in losses.items()
}

claim("6.9", "The gradient check: backward = derivative of forward.  Both losses pass")
for name, (_, backward) in losses.items():
    by_backward = backward(upstream, logits_batch, x_batch)
    check(f"{name} over pixels", by_backward, by_differences[name], tolerance=1e-8)

# %% [markdown]
# A gradient check holds the backward against the forward. Whether the forward is *right*, it does
# not ask. So ask: it claims to be $-\log p(x|z)$. Then the probabilities of all images at one $z$
# add up to 1.
#
# Predict first: what do they add up to with the mean, for images of 6 pixels? (At logits of 0, each
# of the 64 images costs $\log 2$.)

# %%
every_image = np.array(list(product([0.0, 1.0], repeat=D)))
one_z = np.repeat(logits_batch[:1], len(every_image), axis=0)

claim("6.10", "The images' probabilities add up to 1.  One loss passes")
check("sum over pixels", np.exp(-bernoulli.nll(one_z, every_image)).sum(), 1)
check_differs("mean over pixels", np.exp(-wrong_nll(one_z, every_image)).sum(), 1)
say("Hold a backward against its forward, a forward against the mathematics.")

# %% [markdown]
# Lesson 5 did the same to a sampler that takes `exp(logvar)` for the standard deviation.
#
# ## Try it
#
# Spoil one line of step 2: a sign, a forgotten factor. Row 6.2 names the parameters that are wrong.
# Which must be wrong, too? Follow the arrows of the figure backwards.
#
# Try it: X2 = 1.0
#
# The second pixel is white. Which derivative is no longer 0, and which change their sign?
#
# Try it: EPS = 0.0
#
# No noise. Which part of which derivative is 0 now, and what does it have to do with lesson 8?
