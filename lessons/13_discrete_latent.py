# %% [markdown]
# # Lesson 13: No path: a discrete z
#
# When z is a class there is no path through the draw: three ways round it, against the truth.
#
# Lesson 5 wrote $z = \mu + \sigma \epsilon$ and let the gradient pass through it. A topic, a word
# or a digit's class is no such number: move $q$ a little and the class that was drawn stays the
# same, or jumps. Here $z$ is one of ten classes:
#
# $$p(z = k) = \tfrac{1}{10}, \qquad q(z = k|x) = \mathrm{softmax}(a)_k, \qquad
# p(x|z = k) = \mathrm{Bernoulli}(\mathrm{sigmoid}(W_k + b))$$
#
# where $a$ is what the encoder says about $x$. With ten classes every expectation is a sum of ten
# terms, so here everything is known exactly, and each estimate can be held against it. With a
# million classes, or ten classes in each of twenty places, only the estimates are left.

# %%
import matplotlib.pyplot as plt
import numpy as np
import scipy.special
import scipy.stats

from tinyvae import data, fit
from tinyvae.beyond import discrete
from tinyvae.beyond.discrete import ClassVAE
from tinyvae.classroom.lesson import check, check_differs, check_less, claim, say, title
from tinyvae.layers import sigmoid
from tinyvae.optim import Adam
from tinyvae.oracles import central_difference, complex_step, estimate
from tinyvae.train import silent

SEED = 13
CLASSES = 10
EPOCHS = 40
DRAWS = 100_000
LABELS = 3  # of each digit, in the last step
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"  # Okabe and Ito

rng = np.random.default_rng(SEED)
digits = data.load("digits")
x_train = data.binarize(digits.x_train, rng).astype(float)
x_test = data.binarize(digits.x_test, rng).astype(float)

model = ClassVAE.create(64, CLASSES, rng=rng)
optimizer = Adam(model.params, 0.03)
fit(model, x_train, epochs=EPOCHS, optimizer=optimizer, rng=rng, report=silent)

title("Lesson 13: No path: a discrete z")

# %% [markdown]
# ## Step 1: ten terms
#
# The identity of lesson 3 never asked what kind of thing $z$ is:
#
# $$\log p(x) - \mathrm{KL}(q \| p(z|x)) = E_q[\log p(x|z)] - \mathrm{KL}(q \| p(z))$$
#
# Each of its four terms is a sum over the ten classes. On the left, SciPy's Bernoulli, Bayes'
# rule and a sum; on the right, the model's own two terms.
#
# Predict first: at most how many nats can $\mathrm{KL}(q \| p(z))$ be, if $z$ has ten classes?

# %%
logits = model.params["decoder.W"] + model.params["decoder.b"]
log_joint = scipy.stats.bernoulli.logpmf(x_test[:, None], scipy.special.expit(logits))
log_joint = log_joint.sum(axis=-1) - np.log(CLASSES)
log_px = scipy.special.logsumexp(log_joint, axis=-1)
posterior = np.exp(log_joint - log_px[:, None])
q_test = model.encode(x_test)
gap = scipy.special.rel_entr(q_test, posterior).sum(axis=-1)
recon, kl = model.loss(x_test)

claim("13.1", "log p(x) - KL(q || p(z|x))  =  E_q[log p(x|z)] - KL(q || p(z))")
check("the first digit", log_px[0] - gap[0], -(recon + kl)[0], tolerance=1e-10)
check("mean of 297", np.mean(log_px - gap), np.mean(-(recon + kl)), tolerance=1e-10)
check("known: log 10", discrete.kl_to_uniform(np.eye(10)[0]), np.log(10))
say()
say(f"log p(x) {log_px.mean():.2f}, gap {gap.mean():.2f}, KL to the prior {kl.mean():.2f} nats")

# %% [markdown]
# A class tells at most $\log 10 = 2.30$ nats about a digit, and this one tells nearly all of
# them: it hardly ever doubts.
#
# ## Step 2: the exact gradient
#
# The encoder's $a$ sits in $q$. For one digit, with $f_k = \log p(x|k) + \log p(k) - \log q_k$,
#
# $$\frac{d \, \mathrm{ELBO}}{d a_k} = q_k \, ( f_k - \sum_j q_j f_j )$$
#
# A class becomes more probable if it does better than the average class.
#
# Predict first: what do the ten derivatives add up to?

# %%
one = x_test[[3]]
a = 0.3 * (one @ model.params["encoder.W"] + model.params["encoder.b"])[0]  # a q that doubts
q = discrete.softmax(a)
nll = discrete.nll_each(one, model.params["decoder.W"], model.params["decoder.b"])[0]
f = -nll - np.log(CLASSES) - np.log(q)
exact = q * (f - q @ f)


def elbo_of(a):
    """The ELBO of the digit as a function of the encoder's ten numbers, written anew."""
    probability = np.exp(a) / np.exp(a).sum()
    return (probability * (-nll - np.log(CLASSES) - np.log(probability))).sum()


claim("13.2", "d ELBO / d a_k  =  q_k (f_k - the average of f)")
check("complex step", complex_step(elbo_of, a), exact, tolerance=1e-10)
dq = -nll - discrete.kl_to_uniform_backward(np.ones(1), q[None])[0]
check("the pairs of tinyvae", discrete.softmax_backward(dq, q), exact, tolerance=1e-10)
check("their sum", exact.sum(), 0.0, tolerance=1e-10)

# %% [markdown]
# Add the same number to all ten $a_k$ and $q$ stays as it is, so they sum to 0.
#
# ## Step 3: the score function needs no path
#
# $f(z) \, \nabla \log q(z)$, with $z$ drawn from $q$, is right on average (lesson 5), whatever
# $z$ is. So it is with any constant taken from $f$, a *baseline*. Its variance here is a sum of
# ten terms, too.
#
# Predict first: $f$ is about -40 at the better classes. What does the gradient look like for
# *every* class that is drawn, without a baseline?

# %%
z = np.eye(CLASSES)[rng.choice(CLASSES, size=DRAWS, p=q)]
variances, drawn = {}, {}
for name, baseline in (("no baseline", 0.0), ("baseline E f", q @ f)):
    each = discrete.score_gradient(f, np.eye(CLASSES), q, baseline)  # (K, K): of each class
    variances[name] = q @ ((each - exact) ** 2).sum(axis=-1)
    drawn[name] = discrete.score_gradient(z @ f, z, q, baseline)

k = int(np.argmax(np.abs(exact)))
claim("13.3", "E f(z) d log q(z) / da  =  the exact gradient, with and without a baseline")
for name, gradients in drawn.items():
    check(f"{name}, class {k}", estimate(gradients[:, k]), exact[k])
say()
say("its variance, over all ten entries: drawn = summed over the classes")
spread = {name: ((g - exact) ** 2).sum(axis=-1) for name, g in drawn.items()}
for name in drawn:
    check(name, estimate(spread[name]), variances[name])
check_less("with it < without", variances["baseline E f"], variances["no baseline"])

# %% [markdown]
# Without a baseline every drawn class is pushed *down*, by some 40 times its score, and only the
# difference of the pushes is the gradient.
#
# ## Step 4: a draw as a function of its noise
#
# A class can be drawn as a function of noise: add $g_k = -\log(-\log u_k)$, with uniform $u_k$,
# to each $a_k$ and take the largest. Hold the noise, as in lesson 5, and differentiate.
#
# Predict first: the same noise on both sides of a nudge of $a$. What is the difference quotient?

# %%
gumbel = rng.gumbel(size=(DRAWS, CLASSES))
chosen = np.argmax(a + gumbel, axis=-1)
nudge = 1e-6 * np.eye(CLASSES)[k]
quotient = (f[np.argmax(a + nudge + gumbel, axis=-1)] - f[chosen]) / 1e-6

claim("13.4", "argmax(a + g) is a draw from q, and has no slope")
for kind in np.argsort(-q)[:3]:
    check(f"share of class {kind}", estimate((chosen == kind).astype(float)), q[kind])
say()
say(f"{np.mean(quotient == 0):.3%} of the quotients are 0")
check("their median, 0", np.median(quotient), 0.0)
check_differs("0, exact", 0.0, exact[k])

# %% [markdown]
# ## Step 5: soften it
#
# Replace the largest by the softmax, $y = \mathrm{softmax}((a + g) / t)$, and give the decoder
# this mixture of classes, $y W + b$. Now there is a path. But the decoder is asked something
# else: it sees blends that no $q$ ever draws. We look at $f(y) = \log p(x|y)$, and at the two
# likeliest classes alone: then one logistic number is all the noise there is, and a sum over its
# quantiles gives the exact mean.
#
# Predict first: what happens to the bias, and what to the variance, as the temperature falls?

# %%
two = np.argsort(-q)[[1, 0]]  # the two likeliest classes
W2, b2 = model.params["decoder.W"][two], model.params["decoder.b"]
a2 = np.array([0.0, 0.4])
q2 = discrete.softmax(a2)


def slopes(noise, temperature):
    """d log p(x|y) / d a_1 along the path, one for each logistic number"""
    g = np.stack([np.zeros_like(noise), noise], axis=-1)  # only the difference counts
    y = discrete.gumbel_softmax(a2, g, temperature)
    dy = (one - sigmoid(y @ W2 + b2)) @ W2.T
    return discrete.gumbel_softmax_backward(dy, y, temperature)[:, 1]


log_px_given = -discrete.nll_each(one, W2, b2)[0]
truth = discrete.softmax_backward(log_px_given, q2)[1]
quantiles = (np.arange(400_000) + 0.5) / 400_000
every_noise = np.log(quantiles) - np.log1p(-quantiles)  # logistic: the difference of two Gumbels
noise = rng.logistic(size=DRAWS)
temperatures = (2.0, 1.0, 0.5, 0.2, 0.1)
mean = {t: slopes(every_noise, t).mean() for t in temperatures}
variance = {t: slopes(every_noise, t).var() for t in temperatures}

claim("13.5", "The soft gradient is biased; its bias falls with the temperature")
for t in (2.0, 0.5):
    check(f"t = {t}: drawn = quantiles", estimate(slopes(noise, t)), mean[t])
say()
say(f"exact {truth:9.4f}")
for t in temperatures:
    bias = mean[t] - truth
    say(f"t = {t:3}  mean {mean[t]:9.4f}   bias {bias:9.4f}   variance {variance[t]:9.3f}")
check_less("|bias| 0.1 < 2.0", abs(mean[0.1] - truth), abs(mean[2.0] - truth))
check_less("variance 2.0 < 0.1", variance[2.0], variance[0.1])

# %% [markdown]
# There is no temperature that is right: the bias is small where the variance is large.
#
# ## Step 6: straight through
#
# The boldest way: give the decoder the one-hot class, and in the backward pass pretend that it was
# $q$ itself: $da = J_q^T \, \nabla f(z)$. No temperature, little variance, no excuse.
#
# Predict first: for which $f$ is that exact?

# %%
slope_at = np.array([(one[0] - sigmoid(w + b2)) @ W2.T for w in W2])  # (2, 2): at each class
straight = np.array([discrete.softmax_backward(slope, q2)[1] for slope in slope_at])
line = np.array([1.3, -0.4])  # f(z) = line . z: its slope is the same at every z

claim("13.6", "Straight-through is exact for a linear f, and biased otherwise")
expected = complex_step(lambda a: (np.exp(a) / np.exp(a).sum() * line).sum(), a2)[1]
check("linear f", discrete.softmax_backward(line, q2)[1], expected)
check_differs("log p(x|z)", q2 @ straight, truth)
finite = central_difference(lambda a: discrete.softmax(a) @ log_px_given, a2)[1]
check("that truth, by differences", finite, truth, tolerance=1e-6)
say(f"straight-through {q2 @ straight:.4f}, exact {truth:.4f}")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
grid = np.geomspace(0.08, 3, 25)
of_grid = [slopes(every_noise[::20], t) for t in grid]
left.plot(grid, [s.mean() - truth for s in of_grid], color=BLUE, marker="o", markersize=3)
left.axhline(q2 @ straight - truth, color=ORANGE, linestyle="--")
left.axhline(0, color="0.6", linewidth=1)
left.text(0.085, q2 @ straight - truth, "straight-through", color=ORANGE, va="bottom", fontsize=12)
left.set(xscale="log", xlabel="temperature", ylabel="bias of the gradient (nats)")
right.plot(grid, [s.var() for s in of_grid], color=BLUE, marker="o", markersize=3)
score_two = q2 @ ((log_px_given - q2 @ log_px_given) * (np.eye(2)[:, 1] - q2[1]) - truth) ** 2
right.axhline(score_two, color=GREEN, linestyle=":")
right.text(0.085, score_two, "score function, baseline", color=GREEN, va="bottom", fontsize=12)
right.set(xscale="log", yscale="log", xlabel="temperature", ylabel="variance (nats squared)")
figure.suptitle("Softening a class trades bias against variance: no temperature has neither")
plt.show()

# %% [markdown]
# ## Step 7: labels for a few
#
# A class has a use that a number has not: sometimes it is known. For a digit with a label $y$ the
# model has $\log p(x, y)$, and the encoder can be taught by $-\log q(y|x)$; for all others, the
# ELBO. Three labels of each digit, 30 of 1,500: once alone, once with the other 1,470 digits,
# unlabelled.
#
# Predict first: by how many of 100 test digits do the unlabelled ones help?


# %%
# takes about 4 s
def train(semi, known, rows, epochs):
    """Go on training on these rows with what is known of their classes (-1 for nothing)."""
    adam = Adam(semi.params, 0.03)
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(rows), max(len(rows) // 100, 1)):
            adam.step(semi.loss_and_grads(x_train[batch], labels=known[batch])[-1])


ink = x_train.mean(axis=0)
right_alone, right_with = [], []
for _ in range(3):  # three times, with other labels
    known = np.full(len(x_train), -1)
    for digit in range(10):
        of_digit = np.flatnonzero(digits.y_train == digit)
        known[rng.choice(of_digit, LABELS, replace=False)] = digit
    semi = ClassVAE.create(64, 10, rng=rng)
    semi.params["decoder.b"] += np.log(ink + 0.01) - np.log(1.01 - ink)
    train(semi, known, np.flatnonzero(known >= 0), 200)
    right_alone.append(semi.encode(x_test).argmax(axis=-1) == digits.y_test)
    train(semi, known, np.arange(len(x_train)), 25)
    right_with.append(semi.encode(x_test).argmax(axis=-1) == digits.y_test)

claim("13.7", "Digits without labels teach a classifier, through p(x)")
alone, both = np.mean(right_alone), np.mean(right_with)
say(f"test digits classified rightly: {alone:.0%} alone, {both:.0%} with the rest")
gain = estimate(np.mean(right_with, axis=0) - np.mean(right_alone, axis=0))  # digit by digit
check_less("0, the share gained", 0.0, gain)

# %%
figure, axes = plt.subplots(2, 10, figsize=(11, 3.1), layout="constrained")
for row, shown, label in ((0, model, "no label"), (1, semi, f"{LABELS} labels each")):
    means = sigmoid(shown.params["decoder.W"] + shown.params["decoder.b"])
    for axis, image in zip(axes[row], means, strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        axis.set_xticks([], [])
        axis.set_yticks([], [])
    axes[row, 0].set_ylabel(label, fontsize=12)
share = 100 * np.mean(right_with[-1])
figure.suptitle(
    f"{10 * LABELS} labels give the ten classes their names: {share:.0f} of 100 digits right"
)
plt.show()

# %% [markdown]
# ## Try it
#
# Try it: CLASSES = 20
#
# Twice the classes: what does the class tell now, and what becomes of log p(x)? (The last step
# has ten.)
#
# Try it: LABELS = 1
#
# Ten labels in all. Which digits share a class now?
#
# Try it: EPOCHS = 5
#
# A model that has hardly learnt doubts more. Is the score function's variance larger or smaller?
