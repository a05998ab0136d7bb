# %% [markdown]
# # Lesson 7: The final architecture
#
# The whole VAE, trained: what it costs, what it redraws, what it invents, and where it keeps it.
#
# All parts are on the table now. The *encoder* gives $\mu$ and $\log\sigma^2$ of $q(z|x)$. The
# *sampler* gives $z = \mu + \sigma\epsilon$. The *decoder* gives the logits of $p(x|z)$. The loss
# is the negative ELBO,
#
# $$E_q[-\log p(x|z)] + \mathrm{KL}(q(z|x) \| p(z))$$
#
# with one draw of $z$ in place of $E_q$. The first term, *recon*, is summed over pixels, the
# second, *kl*, over latent dimensions. Both are averaged over digits, in nats. Lesson 6 gave the
# gradient.
# What is left is to run it: first on digits of 8 x 8 pixels, then on 28 x 28. The latent space has
# two dimensions, so that we can look at it, and so that $\log p(x)$ can be had by a sum over a fine
# grid, to hold the ELBO against.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, data, evaluate, fit, plot
from tinyvae.classroom.lesson import check, check_at_most, check_less, claim, say, title
from tinyvae.layers import sigmoid
from tinyvae.oracles import Estimate, estimate, log_density, log_integral, plane_grid
from tinyvae.train import silent

SEED = 7
SMALL_EPOCHS, SMALL_RATE = 200, 5e-3  # 8 x 8
LARGE_EPOCHS = 40  # 28 x 28
LARGE_RATE = 3e-3
BETA = 1.0  # the weight of kl in the loss on 28 x 28
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
# `loss_and_grads`, and takes a step. The step is Adam's: each weight moves against the running mean
# of its gradients, divided by the root of the running mean of their squares, so that all weights
# move at a similar speed (exercise 7).
#
# Predict first: both terms are to be made small together. Will each of them fall?

# %%
# takes about 3 s
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
check_less("recon: last, first", last["recon"], first["recon"], by=1, decimals=2)
check_less("kl: first, last", first["kl"], last["kl"], by=0.1, decimals=2)
check_less("elbo: first, last", first["elbo"], last["elbo"], by=1, decimals=2)

# %% [markdown]
# ## Step 3: the ladder
#
# Is a test ELBO of so many nats good? Five numbers, each for the same black and white test digits,
# and each at most the next:
#
# - *pixel means*: each pixel a coin of its own, with the share of ink that the pixel has in the
#   training digits. The best that pixels can do that know nothing of each other.
# - the *ELBO*
# - *importance weights*: $\log [ (1/S) \sum_s p(x|z_s) \, p(z_s) / q(z_s|x) ]$ with $S = 10$ draws
#   from $q$, then with $S = 1000$. A lower bound on average, which rises with $S$; at $S = 1$ it
#   is the ELBO.
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
check_less("pixel means, ELBO", coins, elbo_small, decimals=3)
check_less("ELBO, 10 weights", elbo_small, bound_10, decimals=3)
check_less("10, 1000 weights", bound_10, bound_1000, decimals=3)
check_at_most("1000 weights, grid", bound_1000, log_px_small.mean(), decimals=3)
check("1000 weights: near", bound_1000, log_px_small.mean(), tolerance=0.002, decimals=3)

# %% [markdown]
# (7.2 printed another number for the same model: there the grey test digits were made black and
# white by other draws, which moves the mean of 297 digits by about 0.2 nats.)
#
# The gap is $\mathrm{KL}(q(z|x) \| p(z|x))$, as in lesson 3. The grid gives the posterior of each
# digit by Bayes' rule, so the gap can be summed up on the plane.
#
# Predict first: ELBO and gap, each computed alone. What is their sum?

# %%
mu_small, logvar_small = small.encode(x_small)
log_q = np.array(
    [log_density(plane, m, np.diag(np.exp(s))) for m, s in zip(mu_small, logvar_small, strict=True)]
)
gap = np.sum(np.exp(log_q + log_area) * (log_q - log_joint + log_px_small[:, None]), axis=1)

claim("7.4", "ELBO  =  log p(x) - KL(q || p(z|x)), the mean of 297 test digits")
check("drawn, grid", elbo_small, np.mean(log_px_small - gap), decimals=3)

# %% [markdown]
# The ladder says how good a model *with* a $z$ is. A $z$ is one way to let pixels know of each
# other. Another: each pixel given its left, upper and upper right neighbour, by counting in the
# training digits how often it is white for each of the $2^3$ cases. No network, no training.
#
# Predict first: does the counting beat the pixel means? Does it come near the VAE?


# %%
def log_px_of_neighbours(x_train, x, side):
    """Mean log p(x), each pixel given three neighbours, from counts in x_train."""

    def cases(pixels):
        image = np.pad(pixels.reshape(-1, side, side), [(0, 0), (1, 0), (1, 1)]).astype(int)
        left, upper, right = image[:, 1:, :-2], image[:, :-1, 1:-1], image[:, :-1, 2:]
        return (4 * left + 2 * upper + right).reshape(len(pixels), -1)

    known, asked, places = cases(x_train), cases(x), np.arange(side * side)
    white, seen = np.ones((side * side, 8)), np.full((side * side, 8), 2.0)  # never impossible
    for pixels, case in zip(x_train, known, strict=True):
        white[places, case] += pixels
        seen[places, case] += 1
    p = (white / seen)[places, asked]
    return np.mean(np.sum(np.log(np.where(x == 1, p, 1 - p)), axis=1))


ten_times = np.concatenate([data.binarize(small_train, rng) for _ in range(10)])
neighbours = log_px_of_neighbours(ten_times, x_small, side=8)

claim("7.5", "Three neighbours, by counting, beat pixels that know of no other")
check_less("pixel means, neighbours", coins, neighbours, by=1, decimals=3)
say(f"neighbours {neighbours:.2f}, the VAE at least {elbo_small.mean:.2f} nats")

# %% [markdown]
# So a number of nats is good or bad only next to other models'. What the counting cannot do is to
# say what a digit *is*: it has no $z$.
#
# ## Step 4: a weight for the KL
#
# Many people train with $\text{recon} + \beta \, \text{kl}$. Its negative is compared below with
# the $\log p(x)$ of the same trained model, from the grid, for $\beta = 4$ and $\beta = 0.5$.
#
# Predict first: for which $\beta$ is it still a lower bound on $\log p(x)$?

# %%
# takes about 4 s
beta_terms = {}
for beta in (4.0, 0.5):
    weighted = VAE.create(64, (64,), 2, rng=rng, dtype=np.float64)
    fit(
        weighted, small_train, epochs=60, learning_rate=SMALL_RATE, beta=beta, rng=rng,
        report=silent,
    )  # fmt: skip
    terms = [weighted.loss(x_small, rng.standard_normal((len(x_small), 2))) for _ in range(100)]
    recon_then, kl_then = np.mean(terms, axis=0)
    log_px_then = log_integral(log_px_given_plane(weighted, x_small, plane) + log_prior, log_area)
    beta_terms[beta] = recon_then, kl_then, log_px_then

claim("7.6", "-(recon + beta kl): below log p(x) at beta 4, above it at beta 0.5")
for beta, (recon_then, kl_then, log_px_then) in beta_terms.items():
    bound, elbo = -(recon_then + beta * kl_then), -(recon_then + kl_then)
    say(f"beta = {beta:g}: kl {kl_then.mean():.2f}, weighted {bound.mean():.2f}, "
        f"ELBO {elbo.mean():.2f}, log p(x) {log_px_then.mean():.2f}")  # fmt: skip
    check_at_most("ELBO - log p(x), 0", estimate(elbo - log_px_then), 0, decimals=2)
    if beta > 1:
        check_at_most("weighted, ELBO", bound.mean(), elbo.mean(), decimals=2)
    else:
        check_less("log p(x) - weighted, 0", estimate(log_px_then - bound), 0, decimals=2)

# %% [markdown]
# A KL is never negative, so a larger weight can only lower the bound; with a weight below 1 the
# loss promises more than it has. (At $\beta = 4$ the model gives up $z$ altogether: lesson 12.)
#
# ## Step 5: larger digits
#
# The same code, 28 x 28 pixels, 4,000 digits to learn from, twice as many hidden units.
#
# Predict first: 12 times as many pixels. About 12 times as many nats for recon? And for kl?

# %%
# takes about 10 s
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
    beta=BETA,
    rng=rng,
    report=silent,
    x_test=large_test,
)
final = history[-1]

claim("7.7", "28 x 28: kl is not 12 times what it was")
say("epoch    recon      kl    -elbo    test -elbo")
for epoch in [1, 5, 20, LARGE_EPOCHS]:
    row = history[epoch - 1]
    nats = f"{row['recon']:9.2f}{row['kl']:8.2f}{-row['elbo']:9.2f}{-row['test_elbo']:14.2f}"
    say(f"{epoch:5d}{nats}")
check_less("kl: 28 x 28, 12 times", final["kl"], 12 * last["kl"], by=1, decimals=2)
check_less("elbo: first, last", history[0]["elbo"], final["elbo"], by=10, decimals=2)
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
        f"kl {'rises' if final['test_kl'] > history[0]['test_kl'] else 'falls'} from "
        f"{history[0]['test_kl']:.1f} to {final['test_kl']:.1f} nats:\n"
        "the price of saying where it lies"
    )
    right.set(xlabel="epoch", ylabel="KL, nats per image", ylim=(0, None))
    plt.show()

# %% [markdown]
# Where a stroke is takes about as much to say as on 8 x 8; the pixels beside it follow.
#
# The ladder again, for a hundred test digits. The posteriors are narrower than before, so the grid
# is finer.
#
# Predict first: on 8 x 8, ten weights came within 0.2 nats of the grid. Here, with a hundred?

# %%
# takes about 8 s
hundred = x_large[:100]
fine_plane, log_fine_area = plane_grid(points_per_axis=250, half_width=5)
log_fine_prior = log_density(fine_plane, np.zeros(2), np.eye(2))
log_fine_joint = log_px_given_plane(vae, hundred, fine_plane) + log_fine_prior
log_px_large = log_integral(log_fine_joint, log_fine_area)
best_z = fine_plane[log_fine_joint.argmax(axis=1)]
elsewhere = np.linalg.norm(best_z - vae.encode(hundred)[0], axis=1) > 0.5
elbos = np.array([evaluate.elbo(vae, hundred, rng) for _ in range(100)])
elbo_large = estimate(elbos.mean(axis=1))
bound_large = estimate([evaluate.log_likelihood(vae, hundred, rng, 100).mean() for _ in range(8)])
coins_large = log_px_of_pixel_means(large_train, hundred)
gap_large = log_px_large - elbos.mean(axis=0)

claim("7.8", "pixel means  <=  ELBO  <=  100 weights  <=  log p(x)")
check_less("pixel means, ELBO", coins_large, elbo_large, decimals=2)
check_less("ELBO, 100 weights", elbo_large, bound_large, decimals=2)
check_at_most("100 weights, grid", bound_large, log_px_large.mean(), decimals=2)
say(f"For {elsewhere.sum()} of the 100 digits, the best z on the grid is more than 0.5 from mu.")
say(f"Their gap is {gap_large[elsewhere].mean():.1f} nats, that of the others "
    f"{gap_large[~elsewhere].mean():.1f}.")  # fmt: skip
gap_others, gap_these = gap_large[~elsewhere].mean(), gap_large[elsewhere].mean()
check_less("gap: others, these", gap_others, gap_these, by=1, decimals=1)

# %% [markdown]
# There $q$ looks in the wrong place, and all weights drawn from it miss the same region. The plane
# has a good $z$ for such a digit; the encoder, one network for all digits, does not find it. (That
# part of the gap is called the amortisation gap; lesson 12 measures it.)
#
# ## Step 6: what it redraws
#
# `reconstruct` sends a digit through two numbers and back. The yardstick is the best *linear* map
# through two numbers, principal components, by a singular value decomposition.
#
# Predict first: which of the two keeps more of the pixels' variance? By how much?

# %%
mean_digit = large_train.mean(axis=0)
_, _, directions = np.linalg.svd(large_train - mean_digit, full_matrices=False)
centred = large_test - mean_digit
linear = centred @ directions[:2].T @ directions[:2]
x_hat = vae.reconstruct(large_test)
kept_linear = 1 - np.sum((centred - linear) ** 2) / np.sum(centred**2)
kept_vae = 1 - np.sum((large_test - x_hat) ** 2) / np.sum(centred**2)
lost_linear, lost_vae = (
    np.sum((large_test - redrawn) ** 2, axis=1) for redrawn in (mean_digit + linear, x_hat)
)

claim("7.9", "Two numbers from the encoder keep more of a digit than two linear ones")
check_less("share of variance", kept_linear, kept_vae, by=0.05, decimals=3)
check_less("lost: VAE - linear, 0", estimate(lost_vae - lost_linear), 0, decimals=3)

# %% [markdown]
# ## Step 7: what it invents
#
# A redrawn digit is soft. It shows $E[x|z]$, the mean of every $x$ that this $z$ could have made:
# two numbers do not tell whether a hook is here or one pixel further, so the mean is grey in
# between. One *draw* from $p(x|z)$ is black and white, but each pixel is drawn alone: it is noisy,
# not sharp.
# The next figure shows both.
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

claim("7.10", "generate draws z ~ N(0, I) and decodes: the mean ink of a picture")
check("10,000 draws, grid", estimate(invented.mean(axis=1)), ink_of_prior, decimals=4)

# %%
labels = np.bincount(mnist.y_train[nearest_digits(invented[:100])[1]], minlength=10)
with plot.style():
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(19, 7), layout="constrained")
    plot.pairs(left, large_test[:40], x_hat[:40], mnist.image_shape, columns=8)
    drawn = data.binarize(x_hat[:20], rng)
    plot.pairs(middle, x_hat[:20], drawn, mnist.image_shape, columns=5)
    middle.set_title("Soft: the mean of all x that z may mean.\nBelow it one draw of the pixels")
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
# ## Step 8: where it keeps them
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

claim("7.11", "Neighbours in the plane are the same digit more often than by chance")
share_same = estimate(same_label)  # two digits may be each other's neighbour: error up to sqrt 2
share_same = Estimate(share_same.mean, np.sqrt(2) * share_same.standard_error, share_same.n)
check_less("chance, neighbours", by_chance, share_same, decimals=3)

# %% [markdown]
# ## Step 9: a walk
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

claim("7.12", "Halfway in the plane is nearer a digit than halfway between pictures")
check_less("walk - fade, 0", estimate(walked - faded), 0, decimals=3)
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
# Try it: BETA = 4.0
#
# What happens to kl, to the latent plane, to the test ELBO?
#
# Try it: LARGE_EPOCHS = 10
#
# How many nats did the other 30 epochs bring? For how many digits does $q$ look in the wrong place?
#
# Try it: WALK = 3, 4, 9
#
# Find a walk that crosses a third digit, and one that crosses a place where there is none.
