# %% [markdown]
# # Lesson 1: The generative model
#
# What p(x) is: a sum over topics, an integral over z, a density, and what is maximised.
#
# Forget autoencoders for a while. A variational autoencoder looks like one, but its purpose is
# another: it is a *generative model*. It states how data come about, and so gives every $x$ a
# probability $p(x)$. Lesson 8 trains both and measures what tells them apart.
#
# The story has two acts. First a hidden cause $z$ is drawn from $p(z)$, then the data $x$ from
# $p(x|z)$. We only ever see $x$. To get $p(x)$ we add up every way in which $x$ could have come
# about:
#
# $$p(x) = \int p(x|z) \, p(z) \, dz$$
#
# This lesson computes that one line for four models: a table of topics, a linear model, a neural
# network and a ring. A claim is followed by rows: each compares two numbers that were computed in
# different ways, and is marked FAILS if they do not agree. (`docs/glossary.md` explains the words,
# and how to read a row.)

# %%
from itertools import product
from math import exp, log, pi, prod, sqrt

import matplotlib.pyplot as plt
import numpy as np

from tinyvae import VAE, bernoulli, data, gaussian
from tinyvae.classroom.lesson import check, check_at_most, check_less, claim, say, title
from tinyvae.oracles import (
    Estimate,
    LinearGaussian,
    estimate,
    log_integral,
    plane_grid,
    standard_normal_grid,
)

SEED = 1
P_TOPIC = (0.30, 0.20, 0.30, 0.20)  # how often each topic is chosen
BLUE, ORANGE, BLACK = "#0072B2", "#D55E00", "#000000"  # Okabe and Ito
STRETCH = 0.1  # of the ring: how far z is from 0 counts for so much
NOISE_STD = 0.05  # of the ring
HOLE = 1.0  # its radius: without noise, no x is nearer to the centre
DISTANCES = 40  # of the polar grid: its circles
DIRECTIONS = 400  # and its rays

rng = np.random.default_rng(SEED)
plt.rcParams.update({"font.size": 13, "axes.spines.top": False, "axes.spines.right": False})

title("Lesson 1: The generative model")

# %% [markdown]
# ## Step 1: news and topics
#
# $x$ is a piece of news, $z$ is its topic. Our newspaper has four topics. All that we note of a
# piece of news is which of four words it has. A row of the table is a topic: how often it is
# chosen, and how often each word then turns up.

# %%
WORDS = ["Messi", "goal", "home run", "vote"]
TOPICS = ["football", "baseball", "politics", "cooking"]
P_WORD = np.array(
    [
        [0.25, 0.60, 0.01, 0.02],
        [0.01, 0.05, 0.40, 0.02],
        [0.02, 0.10, 0.01, 0.60],
        [0.01, 0.02, 0.01, 0.01],
    ]
)

say()
say(f"{'topic':<10}{'p(z)':>6}   " + "".join(f"{word:>10}" for word in WORDS))
for topic, p_z, p_words in zip(TOPICS, P_TOPIC, P_WORD, strict=True):
    say(f"{topic:<10}{p_z:6.2f}   " + "".join(f"{p:10.2f}" for p in p_words))

# %% [markdown]
# Today's news: Messi hits a home run. It has the words *Messi* and *home run* and no other. With
# topics, the integral is a sum of four terms:
#
# $$p(x) = \sum_z p(x|z) \, p(z)$$
#
# How often a topic is chosen, $p(z)$, is called the *prior*: it is known before any news is read.
# (The package wants the words' probabilities as *logits*, $\log(p / (1 - p))$: a logit may be any
# number, which suits a network.)
#
# Predict first: which topic has the largest share in the sum? Football, for Messi?

# %%
messi_home_run = np.array([1.0, 0.0, 1.0, 0.0])
logits_of_words = np.log(P_WORD / (1 - P_WORD))

p_news_given_topic = np.exp(-bernoulli.nll(logits_of_words, messi_home_run))
p_news = np.sum(p_news_given_topic * P_TOPIC)

terms_by_hand = [
    p_z * prod(p if word else 1 - p for p, word in zip(p_words, messi_home_run, strict=True))
    for p_z, p_words in zip(P_TOPIC, P_WORD, strict=True)
]

claim("1.1", "p(x) = sum over z of p(x|z) p(z)")
for topic, term in zip(TOPICS, terms_by_hand, strict=True):
    say(f"{topic:<10} p(x|z) p(z) = {term:.6f}, {term / sum(terms_by_hand):5.1%} of the sum")
say()
check("sum, by hand", p_news, sum(terms_by_hand))

# %% [markdown]
# A topic's share in the sum has a name, too: $p(z|x) = p(x|z) \, p(z) / p(x)$, the *posterior*. It
# says which topic this news probably has, after it was read. From lesson 2 on everything turns on
# it.
#
# $p(x)$ is the probability that the model, left to itself, writes just this piece of news. (The
# article calls it the probability that a generated $x$ is in the training set. It is simpler: the
# training set does not enter into it.) So we can also let the model write and count.
#
# Predict first: how often among 400,000 pieces of news? And which share of those has the topic
# baseball?

# %%
topics_drawn = rng.choice(len(TOPICS), size=400_000, p=P_TOPIC)
news_drawn = data.binarize(P_WORD[topics_drawn], rng)
is_todays = np.all(news_drawn == messi_home_run, axis=1)

topics_of_todays = topics_drawn[is_todays]
p_baseball = terms_by_hand[1] / sum(terms_by_hand)  # p(z|x) by Bayes' rule

p_of_all_news = [
    np.exp(-bernoulli.nll(logits_of_words, np.array(news))) @ P_TOPIC
    for news in product([0.0, 1.0], repeat=len(WORDS))
]

claim("1.2", "p(x) is the share of x in all that is written, p(z|x) that of z among those")
say(f"{is_todays.sum()} of {len(is_todays)} pieces of news are today's")
check("share written", estimate(is_todays), sum(terms_by_hand))
check("p(baseball|x)", estimate(topics_of_todays == 1), p_baseball)
check("all 16 possible news", sum(p_of_all_news), 1)

# %% [markdown]
# ## Step 2: a continuous z
#
# Now let $z$ be two numbers, drawn from the standard normal $p(z) = N(0, I)$, and $x$ three:
#
# $$x = W z + b + \text{noise}, \qquad p(x|z) = N(W z + b, \, \sigma^2 I)$$
#
# There is a topic for every point of the plane, so the sum becomes an integral. Three ways to
# compute it:
#
# - **closed form**: a sum of Gaussians is Gaussian, so $p(x) = N(b, \, W W^T + \sigma^2 I)$
# - **quadrature**: lay a grid over the plane. That makes it a sum over topics again
# - **sampling**: draw $z$ from $p(z)$ and average $p(x|z)$
#
# Predict first: which of the three would still work if $W z + b$ were a neural network?

# %%
W = np.array([[1.0, 0.3], [-0.4, 0.8], [0.6, -1.1]])
b = np.array([0.5, -1.0, 0.2])
NOISE_VAR = 0.5
x = np.array([1.2, -0.7, -0.5])
linear_model = LinearGaussian(W, b, NOISE_VAR)

log_px_closed = gaussian.log_density(x, b, W @ W.T + NOISE_VAR * np.eye(3))

grid, log_grid_weights = standard_normal_grid(60)
log_px_quadrature = log_integral(linear_model.log_px_given_z(x, grid), log_grid_weights)

z_drawn = gaussian.sample(np.zeros(2), np.eye(2), 200_000, rng)
log_px_given_drawn = gaussian.log_density_diagonal(x, z_drawn @ W.T + b, np.full(3, log(NOISE_VAR)))

claim("1.3", "p(x) = integral of p(x|z) p(z) dz, for a linear model")
say(f"the grid has {len(grid)} points: a table of {len(grid)} topics")
check("closed form, quadrature", log_px_closed, log_px_quadrature)
check("p(x) by sampling", estimate(np.exp(log_px_given_drawn)), np.exp(log_px_quadrature))

# %% [markdown]
# ## Step 3: a neural network for p(x|z)
#
# A VAE says $p(x|z)$ with a network, its *decoder*. This one is new and knows nothing yet: two
# numbers in, the probabilities of eight black and white pixels out. No closed form is known for its
# $p(x)$. Two different grids still find it, and it is a proper distribution from the first day.
#
# Predict first: there are $2^8 = 256$ images. What do their 256 probabilities add up to?

# %%
vae = VAE.create(8, (6,), 2, rng=rng, dtype=np.float64)
all_images = np.array(list(product([0.0, 1.0], repeat=8)))
wide_grid, log_cell_areas = plane_grid(60, 8.0)
log_p_z = -0.5 * np.sum(wide_grid**2, axis=1) - log(2 * pi)

logits_on_grid, logits_on_wide_grid = vae.decode(grid), vae.decode(wide_grid)
p_images = np.exp(
    [log_integral(-bernoulli.nll(logits_on_grid, image), log_grid_weights) for image in all_images]
)
p_image = np.exp(
    log_integral(log_p_z - bernoulli.nll(logits_on_wide_grid, all_images[77]), log_cell_areas)
)
images_drawn = data.binarize(vae.generate(200_000, rng), rng)
is_image = np.all(images_drawn == all_images[77], axis=1)

counts = np.bincount((images_drawn @ 2 ** np.arange(7, -1, -1)).astype(int), minlength=256)
expected_counts = len(images_drawn) * p_images
chi_squared = np.sum((counts - expected_counts) ** 2 / expected_counts)

claim("1.4", "p(x) = integral of p(x|z) p(z) dz, for a neural network")
say(f"the image is {all_images[77].astype(int)}")
check("two grids", p_images[77], p_image, tolerance=1e-9)
check("share drawn", estimate(is_image), p_image)
say()
say("all 256 images: their sum, and the counts of 200,000 draws (chi squared)")
check("sum of p(x)", p_images.sum(), 1)
check("chi squared, 255", Estimate(chi_squared, sqrt(2 * 255), 256), 255)

# %% [markdown]
# The sum alone proves little: at every $z$ the $p(x|z)$ of all images add up to 1, so any weights
# that add up to 1 would do. The counts prove more: all 256 are as frequent as computed.
#
# ## Step 4: a ring from a Gaussian
#
# Is it not a poor choice to let every $z$ come from the same round Gaussian? No: the network that
# follows can bend it. One line of algebra is enough to make a ring:
#
# $$g(z) = z/10 + z/\|z\|$$
#
# Predict first: where do points near $z = 0$ go? What becomes of the circle $\|z\| = 2.5$?

# %%


def g(z):
    return STRETCH * z + z / np.linalg.norm(z, axis=-1, keepdims=True)


z_cloud = gaussian.sample(np.zeros(2), np.eye(2), 100_000, rng)
ring = g(z_cloud)
ring_radius = np.linalg.norm(ring, axis=1)

angle = np.linspace(0, 2 * pi, 200)
unit_circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
g_name = f"z/{1 / STRETCH:g} + z/|z|"

claim("1.5", f"g(z) = {g_name} turns a Gaussian into a ring, all of it beyond 1")
check("mean of r = |x|", estimate(ring_radius), 1 + sqrt(pi / 2) * STRETCH)
check("mean of (r-1)^2", estimate((ring_radius - 1) ** 2), 2 * STRETCH**2)
check_at_most("1, smallest r drawn", 1, ring_radius.min())
image_of_circle = np.linalg.norm(g(2.5 * unit_circle), axis=1)
check("circle |z| = 2.5", image_of_circle, 1 + 2.5 * STRETCH, decimals=2)
say(f"A circle of radius 2.5 becomes one of radius {image_of_circle[0]:.2f}; no x lies within 1.")

# %%
figure, (before, after) = plt.subplots(1, 2, figsize=(11, 6), layout="constrained")
figure.suptitle("One line of algebra bends a Gaussian into a ring", weight="bold")
for axes, points, bend, name in [
    (before, z_cloud, lambda circle: circle, "z"),
    (after, ring, g, "x"),
]:
    axes.scatter(*points[:2000].T, s=5, color="0.6", linewidths=0)
    for radius, color, style in [(0.5, ORANGE, "-"), (1.5, BLUE, "--"), (2.5, BLACK, ":")]:
        circle = bend(radius * unit_circle)
        axes.plot(*circle.T, style, color=color, linewidth=3, label=f"|z| = {radius}")
    axes.set(xlabel=f"{name}$_1$", ylabel=f"{name}$_2$", box_aspect=1)
before.set(title="2000 draws of z from N(0, I)", xlim=(-3.5, 3.5), ylim=(-3.5, 3.5))
edge = 1 + 5 * STRETCH
after.set(title=f"the same draws: x = {g_name}", xlim=(-edge, edge), ylim=(-edge, edge))
after.legend(loc="center", frameon=False)
plt.show()

# %% [markdown]
# At $z = 0$ this $g$ jumps from one side of the ring to the other. A network is continuous: it can
# make such a hole nearly empty, not empty.
#
# ## Step 5: the density of the ring
#
# With a little noise, $p(x|z) = N(g(z), \, 0.05^2 I)$, the ring has a density $p(x)$. It is the
# same integral again, on a polar grid this time. The ring looks the same from all sides, so the
# density along one ray tells it all.
#
# Beside it stands the best that one Gaussian can do, with the ring's own mean and covariance:
#
# $$c = \tfrac{1}{2} E\|x\|^2 = \tfrac{1}{2} \left(1 + 2 \cdot \tfrac{1}{10} \sqrt{\tfrac{\pi}{2}} +
# \tfrac{2}{100}\right) + 0.05^2, \qquad N(0, c I)$$
#
# Predict first: where is that Gaussian's peak? How many $x$ of the ring lie there?

# %%
nodes, node_weights = np.polynomial.legendre.leggauss(DISTANCES)  # on [-1, 1]
z_radius, z_radius_weights = 4 * (nodes + 1), 4 * node_weights  # on [0, 8]
z_angle = 2 * pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
z_polar = np.stack(
    [np.outer(z_radius, np.cos(z_angle)).ravel(), np.outer(z_radius, np.sin(z_angle)).ravel()],
    axis=1,
)
log_areas = np.repeat(np.log(z_radius_weights * z_radius * 2 * pi / DIRECTIONS), DIRECTIONS)
log_p_z_polar = gaussian.log_density_diagonal(z_polar, np.zeros(2), np.zeros(2))
x_polar = g(z_polar)
log_noise_var = np.full(2, 2 * log(NOISE_STD))


def log_p_ring(points):
    """log p(x) of the ring with noise, in nats.    points (N, 2)  ->  (N,)"""
    return np.array(
        [
            log_integral(
                gaussian.log_density_diagonal(point, x_polar, log_noise_var) + log_p_z_polar,
                log_areas,
            )
            for point in points
        ]
    )


def on_ray(radius):
    """The points (radius, 0)."""
    return np.stack([radius, np.zeros_like(radius)], axis=1)


ring_var = (1 + 2 * sqrt(pi / 2) * STRETCH + 2 * STRETCH**2) / 2 + NOISE_STD**2
eps = rng.standard_normal(ring.shape)
x_ring = gaussian.reparameterize(ring, np.full_like(ring, 2 * log(NOISE_STD)), eps)
x_gaussian = gaussian.sample(np.zeros(2), ring_var * np.eye(2), 100_000, rng)

inside = HOLE * (nodes + 1) / 2  # radii from 0 to HOLE
ring_inside = np.sum(HOLE / 2 * node_weights * 2 * pi * inside * np.exp(log_p_ring(on_ray(inside))))
gaussian_inside = 1 - exp(-(HOLE**2) / (2 * ring_var))

across = np.linspace(-3, 3, 601)
p_ring_across = np.exp(log_p_ring(on_ray(across)))
p_gaussian_across = np.exp(gaussian.log_density(on_ray(across), np.zeros(2), ring_var * np.eye(2)))
ring_mass = np.sum(pi * np.abs(across) * p_ring_across) * (across[1] - across[0])

claim("1.6", "The ring has little in its hole, where the best Gaussian has its peak")
check("integral of p(x)", ring_mass, 1, tolerance=1e-6)
say()
say(f"share of x in the hole, nearer than {HOLE} to the centre")
check("ring", estimate(np.linalg.norm(x_ring, axis=1) < HOLE), ring_inside)
check("Gaussian", estimate(np.linalg.norm(x_gaussian, axis=1) < HOLE), gaussian_inside)
check_less("ring, Gaussian", ring_inside, gaussian_inside)

# %%
figure, axes = plt.subplots(figsize=(10, 5.5), layout="constrained")
axes.plot(across, p_gaussian_across, "--", color=ORANGE, linewidth=3)
axes.plot(across, p_ring_across, color=BLUE, linewidth=3)
axes.fill_between(across, p_ring_across, color=BLUE, alpha=0.2, linewidth=0)
axes.text(0, 0.27, "the best Gaussian", color=ORANGE, ha="center")
axes.text(-0.92, 0.55, "the ring", color=BLUE)
axes.set(
    xlabel="x$_1$, on a line through the centre",
    ylabel="density at (x$_1$, 0), per unit of area",
    xlim=(-2.2, 2.2),
    ylim=(0, None),
)
axes.set_title(
    f"The ring keeps {ring_inside:.0%} of its mass in the hole, the best Gaussian "
    f"{gaussian_inside:.0%}",
    weight="bold",
)
plt.show()

# %% [markdown]
# ## Step 6: a density may exceed 1
#
# $p(x)$ of news is a probability. For continuous $x$, $p(x)$ is a *density*: probability per unit
# of $x$. Its integral is 1; its values know no such limit, and $\log p(x)$ may be positive. It also
# depends on the unit: with $x$ in millimetres in place of metres, each dimension takes
# $\log 1000$ off.
#
# Predict first: how high is the density of $N(0, 0.1^2)$ at 0?

# %%
line = np.linspace(-2, 2, 4001)[:, None]
narrow = gaussian.log_density(line, [0.0], [[0.01]])
point_in_m = np.array([0.9, 0.4])
log_p_in_m = gaussian.log_density(point_in_m, np.zeros(2), ring_var * np.eye(2))
log_p_in_mm = gaussian.log_density(1e3 * point_in_m, np.zeros(2), 1e6 * ring_var * np.eye(2))

claim("1.7", "A density may exceed 1: only its integral is 1")
check("highest of N(0, 0.01)", np.exp(narrow.max()), 10 / sqrt(2 * pi))
check("its integral", np.sum(np.exp(narrow)) * 0.001, 1)
check("log p(x), x in mm", log_p_in_mm, log_p_in_m - 2 * log(1000))

# %% [markdown]
# ## Step 7: the objective
#
# The article says: maximise $P(X)$. Of which $x$? Of all in the training set, together. They were
# drawn one by one, so their probabilities multiply and their logarithms add:
#
# $$\max \; \sum_i \log p(x_i)$$
#
# A natural logarithm of a probability or density is measured in *nats*; 1 nat is a factor of 2.7.
#
# Take 300 points of the ring as the training set, and four models: one that puts everything it
# has on the first point, the best Gaussian for these points, the ring, and a mixture: half of it is
# the ring, half a spike on the first point, of a width of $10^{-150}$.
#
# Predict first: which one gives $x_1$ the highest density? Which one wins the sum?

# %%
x_train = x_ring[:300]
mean_train = x_train.mean(axis=0)
cov_train = (x_train - mean_train).T @ (x_train - mean_train) / len(x_train)

log_p_models = {
    "all on x_1": gaussian.log_density(x_train, x_train[0], 0.001**2 * np.eye(2)),
    "best Gaussian": gaussian.log_density(x_train, mean_train, cov_train),
    "ring": log_p_ring(x_train),
}
spike = gaussian.log_density_diagonal(x_train, x_train[0], np.full(2, 2 * log(1e-150)))
log_p_models["ring and spike"] = np.logaddexp(log_p_models["ring"], spike) - log(2)

(cov_11, cov_12), (_, cov_22) = cov_train
best_possible = -len(x_train) * (log(2 * pi) + 1 + log(cov_11 * cov_22 - cov_12**2) / 2)
wider = gaussian.log_density(x_train, mean_train, 1.1 * cov_train)
shifted = gaussian.log_density(x_train, mean_train + 0.1, cov_train)

claim("1.8", "The objective is the sum of log p(x_i) over the training set, in nats")
say(f"{'model':<16}{'log p(x_1)':>12}{'sum of log p(x_i)':>20}")
for name, log_p in log_p_models.items():
    say(f"{name:<16}{log_p[0]:12.2f}{log_p.sum():20,.1f}")
say()
check("best Gaussian, by hand", log_p_models["best Gaussian"].sum(), best_possible)
check_at_most("a wider one, the best", wider.sum(), best_possible)
check_at_most("a shifted one, the best", shifted.sum(), best_possible)
say()
say("for x_1 alone, best Gaussian <= all on x_1")
check_less("log p(x_1)", log_p_models["best Gaussian"][0], log_p_models["all on x_1"][0])
say()
say("for the training set, best Gaussian < ring < ring and spike")
check_less("sum: Gaussian, ring", best_possible, log_p_models["ring"].sum(), decimals=1)
sums = log_p_models["ring"].sum(), log_p_models["ring and spike"].sum()
check_less("sum: ring, and spike", *sums, decimals=1)
by_hand = sums[0] - len(x_train) * log(2) + log(1 + exp(spike[0] - log_p_models["ring"][0]))
check("ring and spike, by hand", sums[1], by_hand, decimals=1)

# %% [markdown]
# "Maximise $p(x)$" for one $x$ has no maximum: shrink the first model further and $\log p(x_1)$
# grows without end, while the other 299 pay for it. The sum over all of them cures that within
# one Gaussian. It is no cure for a model that can do both: the mixture pays $\log 2$ a point,
# once, and its spike may get as high as it likes. So a flexible density needs a floor under its
# noise, or $x$ that are discrete: a probability is at most 1 (Mattei and Frellsen, 2018). The VAEs
# of the coming lessons have black and white pixels.
#
# To train a model, we need $\log p(x)$. Here a grid over $z$ did it. Lesson 2 asks what to do when
# $z$ has more than a few dimensions.
#
# ## Try it
#
# Try it: P_TOPIC = (0.30, 0.01, 0.49, 0.20)
#
# The newspaper drops baseball. Which topic now explains the news? What happens to $p(x)$?
#
# Try it: STRETCH = 0.25
#
# The ring gets thicker. By how much does it still win in 1.8?
#
# Try it: NOISE_STD = 0.01
#
# The ring gets thin, and the integral in 1.6 is no longer 1, though the mathematics has not
# changed: the grid is too coarse for so narrow a $p(x|z)$.
#
# Try it: NOISE_STD = 0.01; DISTANCES = 80; DIRECTIONS = 1000
#
# (In the file, all three.) A finer grid mends it, at five times the work. What would a grid in ten
# dimensions cost?
