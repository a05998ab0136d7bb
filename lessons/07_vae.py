# %% [markdown]
# # Lesson 7: The final architecture
#
# The whole VAE, trained: what it costs, what it redraws, what it invents, and where it keeps it.
#
# All parts are on the table now. The *encoder* gives $\mu$ and $\log\sigma^2$ of $q(z|x)$. The
# *sampler* gives $z = \mu + \sigma\epsilon$. The *decoder* gives the logits of $p(x|z)$. The loss
# is the negative ELBO,
#
# $$-\log p(x|z) + D[q(z|x) \| p(z)]$$
#
# The first term, *recon*, is summed over pixels, the second, *kl*, over latent dimensions. Both are
# averaged over digits, in nats. Lesson 6 gave the gradient. What is left is to run it: first on
# digits of 8 x 8 pixels, in seconds, then on 28 x 28, in less than a minute. The latent space has
# two dimensions, so that we can look at it, and so that $\log p(x)$ can be had by a sum over a fine
# grid, to hold the ELBO against.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, plot
from tinyvae.classroom.lesson import check, check_at_most, claim, say, title
from tinyvae.layers import sigmoid
from tinyvae.oracles import estimate, log_density, log_integral, plane_grid
from tinyvae.train import silent

SEED = 7
SMALL_EPOCHS, SMALL_RATE = 200, 5e-3  # 8 x 8
LARGE_EPOCHS, LARGE_RATE = 60, 3e-3  # 28 x 28; one layer: with two, rounding grows to nats
WALK = 9, 16, 9  # test digits of the walk's start and end, and its number of steps

rng = np.random.default_rng(SEED)
title("Lesson 7: The final architecture")

# %% [markdown]
# ## Step 1: a network that knows nothing
#
# Before anything is trained, know the scale. Pixels are black or white. Grey levels are taken as
# probabilities, and black and white is drawn from them.
#
# Predict first: a decoder whose weights are all 0 says "half" of each of the 64 pixels. How many
# nats does a digit cost it? And what is its KL, if the encoder's weights are all 0, too?

# %%
digits = data.load("digits")
small_train, small_test = (
    np.asarray(grey, dtype=np.float64) for grey in (digits.x_train, digits.x_test)
)
x_small = data.binarize(small_test, rng)  # the test digits, black and white, from here on

small = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
nothing = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
for weights in nothing.params.values():
    weights[...] = 0
recon_of_nothing, kl_of_nothing = nothing.loss(x_small, rng.standard_normal((len(x_small), 2)))

claim("7.1", "All weights 0: each pixel costs log 2, and z costs nothing")
check("recon", recon_of_nothing.mean(), 64 * np.log(2))
check("kl", kl_of_nothing.mean(), 0)

# %% [markdown]
# ## Step 2: train
#
# `fit` shuffles, draws fresh black and white pixels and one fresh $\epsilon$ per digit, asks
# `loss_and_grads`, and takes a step.
#
# Predict first: both terms are to be made small together. Will each of them fall?

# %%
small_history = fit(
    small,
    small_train,
    epochs=SMALL_EPOCHS,
    learning_rate=SMALL_RATE,
    rng=rng,
    report=silent,
    x_test=small_test,
)
first, last = small_history[0], small_history[-1]

claim("7.2", "Training lowers recon + kl, but kl rises: using z has its price")
say("epoch    recon      kl    -elbo    test -elbo")
for epoch in [1, 5, 20, 50, 100, SMALL_EPOCHS]:
    row = small_history[epoch - 1]
    nats = f"{row['recon']:9.2f}{row['kl']:8.2f}{-row['elbo']:9.2f}{-row['test_elbo']:14.2f}"
    say(f"{epoch:5d}{nats}")
check_at_most("recon: last, first", last["recon"], first["recon"], decimals=2)
check_at_most("kl: first, last", first["kl"], last["kl"], decimals=2)
check_at_most("elbo: first, last", first["elbo"], last["elbo"], decimals=2)

# %% [markdown]
# ## Step 3: the ladder
#
# Is a test ELBO of so many nats good? Five numbers, each for the same black and white test digits,
# and each at most the next:
#
# - *pixel means*: each pixel a coin of its own, with the share of ink that the pixel has in the
#   training digits. The best that can be done without a $z$.
# - the *ELBO*
# - *importance weights*: $\log \frac1S \sum_s p(x|z_s) p(z_s) / q(z_s|x)$ with $S = 10$ draws
#   from $q$, then with $S = 1000$. A bound that rises with $S$; at $S = 1$ it is the ELBO.
# - $\log p(x)$ itself, by a sum over a grid on the plane: no $q$, no draws
#
# Predict first: the gap between the ELBO and the last number has a name. Which?


# %%
def log_px_given_plane(vae, x, z):
    """log p(x|z) for every row of x and of z: sum_d x_d a_d - log(1 + exp(a_d)), logits a."""
    values = np.empty((len(x), len(z)))
    for start in range(0, len(z), 5000):  # all logits at once would fill the memory
        rows = slice(start, start + 5000)
        logits = vae.decode(z[rows])
        values[:, rows] = x @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return values


def log_px_of_pixel_means(x_train, x):
    ink = (x_train.sum(axis=0) + 1) / (len(x_train) + 2)  # + 1: no pixel is ever impossible
    return np.mean(x @ np.log(ink) + (1 - x) @ np.log(1 - ink))


plane, log_area = plane_grid(points_per_axis=150, half_width=6)
log_prior = log_density(plane, np.zeros(2), np.eye(2))
log_joint = log_px_given_plane(small, x_small, plane) + log_prior  # (N, G)
log_px_small = log_integral(log_joint, log_area)  # (N,)

mean_elbos = [evaluate.elbo(small, x_small, rng).mean() for _ in range(100)]
mean_bounds = {
    samples: [evaluate.log_likelihood(small, x_small, rng, samples).mean() for _ in range(8)]
    for samples in (10, 1000)
}
elbo_small = estimate(mean_elbos)
bound_10, bound_1000 = estimate(mean_bounds[10]), estimate(mean_bounds[1000])
coins = log_px_of_pixel_means(small_train, x_small)

claim("7.3", "pixel means  <=  ELBO  <=  10 weights  <=  1000 weights  <=  log p(x)")
check_at_most("pixel means, ELBO", coins, elbo_small, decimals=3)
check_at_most("ELBO, 10 weights", elbo_small, bound_10, decimals=3)
check_at_most("10, 1000 weights", bound_10, bound_1000, decimals=3)
check_at_most("1000 weights, grid", bound_1000, log_px_small.mean(), decimals=3)
check("1000 weights: near", bound_1000, log_px_small.mean(), tolerance=0.002, decimals=3)

# %% [markdown]
# The gap is $D[q(z|x) \| p(z|x)]$, as in lesson 3. The grid gives the posterior of each digit by
# Bayes' rule, so the gap can be summed up on the plane and the circle closes.

# %%
mu_small, logvar_small = small.encode(x_small)
log_q = np.array(
    [log_density(plane, m, np.diag(np.exp(s))) for m, s in zip(mu_small, logvar_small, strict=True)]
)
gap = np.sum(np.exp(log_q + log_area) * (log_q - log_joint + log_px_small[:, None]), axis=1)

claim("7.4", "ELBO  =  log p(x) - KL(q || p(z|x)), the mean of 297 test digits")
check("drawn, grid", elbo_small, np.mean(log_px_small - gap), decimals=3)

# %% [markdown]
# ## Step 4: larger digits
#
# The same code, 28 x 28 pixels, 4,000 digits to learn from, twice as many hidden units.
#
# Predict first: 12 times as many pixels. About 12 times as many nats for recon? And for kl?

# %%
mnist = data.load("mnist5k")
large_train, large_test = (
    np.asarray(grey, dtype=np.float64) for grey in (mnist.x_train, mnist.x_test)
)
x_large = data.binarize(large_test, rng)

vae = VAE.create(784, (128,), 2, rng=rng, dtype=np.float64)
history = fit(
    vae,
    large_train,
    epochs=LARGE_EPOCHS,
    learning_rate=LARGE_RATE,
    rng=rng,
    report=silent,
    x_test=large_test,
)
final = history[-1]

claim("7.5", "28 x 28: the same story, other numbers")
say("epoch    recon      kl    -elbo    test -elbo")
for epoch in [1, 5, 20, LARGE_EPOCHS]:
    row = history[epoch - 1]
    nats = f"{row['recon']:9.2f}{row['kl']:8.2f}{-row['elbo']:9.2f}{-row['test_elbo']:14.2f}"
    say(f"{epoch:5d}{nats}")
check_at_most("kl: first, last", history[0]["kl"], final["kl"], decimals=2)
say(f"per pixel: {last['recon'] / 64:.2f} nats of recon on 8 x 8, {final['recon'] / 784:.2f} here")

# %%
epochs = [row["epoch"] for row in history]
blue = plot.COLOURS["blue"]
with plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 5.4), layout="constrained")
    plot.learning_curve(left, history)
    left.set_title(
        f"recon falls: a test digit costs {-final['test_elbo']:.0f} nats,\n"
        f"{final['test_recon']:.0f} of them to redraw it"
    )
    right.plot(epochs, [row["kl"] for row in history], color=blue)
    right.plot(epochs, [row["test_kl"] for row in history], "--", color=blue)
    right.set_title(
        f"kl rises from {history[0]['test_kl']:.1f} to {final['test_kl']:.1f} nats:\n"
        "the price of saying where it lies"
    )
    right.set(xlabel="epoch", ylabel="KL, nats per image", ylim=(0, None))
    plt.show()

# %% [markdown]
# The ladder again, for a hundred test digits. The posteriors are narrower than before, so the grid
# is finer.
#
# Predict first: on 8 x 8, a thousand weights came close to the grid. Here, too?

# %%
hundred = x_large[:100]
fine_plane, log_fine_area = plane_grid(points_per_axis=250, half_width=5)
log_fine_prior = log_density(fine_plane, np.zeros(2), np.eye(2))
log_fine_joint = log_px_given_plane(vae, hundred, fine_plane) + log_fine_prior
log_px_large = log_integral(log_fine_joint, log_fine_area)
best_z = fine_plane[log_fine_joint.argmax(axis=1)]
elsewhere = np.linalg.norm(best_z - vae.encode(hundred)[0], axis=1) > 0.5
elbo_large = estimate([evaluate.elbo(vae, hundred, rng).mean() for _ in range(100)])
bound_large = estimate([evaluate.log_likelihood(vae, hundred, rng, 100).mean() for _ in range(8)])
coins_large = log_px_of_pixel_means(large_train, hundred)

claim("7.6", "pixel means  <=  ELBO  <=  100 weights  <=  log p(x)")
check_at_most("pixel means, ELBO", coins_large, elbo_large, decimals=2)
check_at_most("ELBO, 100 weights", elbo_large, bound_large, decimals=2)
check_at_most("100 weights, grid", bound_large, log_px_large.mean(), decimals=2)
say(f"For {elsewhere.sum()} of the 100 digits, the best z on the grid is more than 0.5 from mu:")
say("there q looks in the wrong place, and so do its weights.")

# %% [markdown]
# ## Step 5: what it redraws
#
# `reconstruct` sends a digit through two numbers and back. The yardstick is the best *linear* map
# through two numbers, principal components, by a singular value decomposition.
#
# Predict first: what is lost, the place of a stroke or its slant, its thickness, its small hooks?

# %%
mean_digit = large_train.mean(axis=0)
_, _, directions = np.linalg.svd(large_train - mean_digit, full_matrices=False)
centred = large_test - mean_digit
linear = centred @ directions[:2].T @ directions[:2]
x_hat = vae.reconstruct(large_test)
kept_linear = 1 - np.sum((centred - linear) ** 2) / np.sum(centred**2)
kept_vae = 1 - np.sum((large_test - x_hat) ** 2) / np.sum(centred**2)

claim("7.7", "Two numbers from the encoder keep more of a digit than two linear ones")
check_at_most("share of variance", kept_linear, kept_vae, decimals=3)

# %% [markdown]
# ## Step 6: what it invents
#
# To generate, the encoder is thrown away: draw $z \sim N(0, I)$, decode. `generate` shall do just
# that. So the mean ink of its pictures must be the integral of the decoder's ink over the prior.
#
# Predict first: will the invented digits look better or worse than the redrawn ones?


# %%
def nearest_digits(pictures):
    """The nearest training digit of each picture: its distance, and which it is.

    The distance is the root of the summed squares over the pixels.
    """
    squares = np.sum(pictures**2, axis=1)[:, None] + np.sum(large_train**2, axis=1)
    squares -= 2 * pictures @ large_train.T
    return np.sqrt(squares.min(axis=1)), squares.argmin(axis=1)


ink_on_plane = np.concatenate(
    [sigmoid(vae.decode(part)).mean(axis=1) for part in np.split(fine_plane, 25)]
)
ink_of_prior = np.sum(ink_on_plane * np.exp(log_fine_prior + log_fine_area))
invented = vae.generate(10_000, rng)

claim("7.8", "generate draws z ~ N(0, I) and decodes: the mean share of ink in a picture")
check("10,000 draws, grid", estimate(invented.mean(axis=1)), ink_of_prior, decimals=4)

# %%
labels = np.bincount(mnist.y_train[nearest_digits(invented[:100])[1]], minlength=10)
with plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 7), layout="constrained")
    plot.pairs(left, large_test[:40], x_hat[:40], mnist.image_shape, columns=8)
    plot.images(right, invented[:100], mnist.image_shape)
    left.set_title(
        "Test digits over what two numbers keep of them:\n"
        f"{kept_vae:.0%} of the variance (linear: {kept_linear:.0%})"
    )
    right.set_title(
        "100 draws from the prior, decoded:\n"
        f"the nearest training digits have {np.sum(labels > 0)} of the 10 labels"
    )
    plt.show()

# %% [markdown]
# ## Step 7: where it keeps them
#
# The encoder never saw a label. Is the plane in order all the same? Ask each test digit's nearest
# neighbour in the plane for *its* label.
#
# Predict first: how often would it be the same by chance?

# %%
mu, logvar = vae.encode(large_test)
distances = np.sum((mu[:, None] - mu[None]) ** 2, axis=2)
np.fill_diagonal(distances, np.inf)
same_label = mnist.y_test[distances.argmin(axis=1)] == mnist.y_test
by_chance = np.sum((np.bincount(mnist.y_test) / len(mnist.y_test)) ** 2)

claim("7.9", "Neighbours in the plane are the same digit more often than by chance")
check_at_most("chance, neighbours", by_chance, estimate(same_label), decimals=3)

# %% [markdown]
# ## Step 8: a walk
#
# Go from one digit to another. In the plane: along a straight line between their means, decoding on
# the way. In the pictures: fade one out and the other in. Halfway, which one looks like a digit?
# Measure it: the distance to the nearest of the 4,000 training digits, for 500 pairs of test digits
# with different labels.
#
# Predict first: what does the fade show halfway?

# %%
start, end = rng.integers(len(mu), size=(2, 600))
differ = mnist.y_test[start] != mnist.y_test[end]
start, end = start[differ][:500], end[differ][:500]
halfway_walk = sigmoid(vae.decode((mu[start] + mu[end]) / 2))
halfway_fade = (sigmoid(vae.decode(mu[start])) + sigmoid(vae.decode(mu[end]))) / 2
walked, faded = nearest_digits(halfway_walk)[0], nearest_digits(halfway_fade)[0]

claim("7.10", "Halfway in the plane is nearer to a digit than halfway between two pictures")
check_at_most("walk - fade, 0", estimate(walked - faded), 0, decimals=3)
say(f"to the nearest training digit: walk {walked.mean():.2f}, fade {faded.mean():.2f}")

# %%
walk_from, walk_to, steps = WALK
along = np.linspace(0, 1, steps)[:, None]
path = (1 - along) * mu[walk_from] + along * mu[walk_to]
walk = sigmoid(vae.decode(path))
fade = (1 - along) * walk[0] + along * walk[-1]

nearest_on_plane = nearest_digits(sigmoid(vae.decode(rng.standard_normal((1000, 2)))))[1]
labels_on_plane = len(np.unique(mnist.y_train[nearest_on_plane]))

with plot.style():
    figure = plt.figure(figsize=(14, 11), layout="constrained")
    axes = figure.subplot_mosaic([["plane", "grid"], ["walk", "walk"]], height_ratios=[3, 1.3])
    plot.latent_plane(axes["plane"], mu, mnist.y_test)
    axes["plane"].plot(*path.T, "o-", color="black", markerfacecolor="white", markersize=9)
    axes["plane"].set_title(
        f"The nearest neighbour is the same digit in {same_label.mean():.0%}\n"
        f"(by chance {by_chance:.0%}). The line is the walk below"
    )
    plot.decoded_grid(axes["grid"], vae, mnist.image_shape)
    axes["grid"].set_title(
        f"{labels_on_plane} of the 10 labels are nearest to some\npart of the plane, decoded"
    )
    plot.images(axes["walk"], np.concatenate([walk, fade]), mnist.image_shape, columns=steps)
    axes["walk"].set_title(
        "Above the walk, below the fade. Over 500 such pairs, halfway is "
        f"{walked.mean():.2f} and {faded.mean():.2f} from the nearest digit"
    )
    plt.show()

# %% [markdown]
# ## Try it
#
# - `VAE.create(784, (128,), 10, ...)`, and stop after 7.5: the grid needs a plane. How many nats
#   do the eight extra dimensions buy, and how do recon and kl share them?
# - Give `fit` a `beta=4`. What happens to kl, to the latent plane, to the test ELBO? (The loss is
#   no bound any more; the ELBO in the history still is one.)
# - Change `WALK`. Find a walk that crosses a third digit, and one that crosses a place where there
#   is none.
