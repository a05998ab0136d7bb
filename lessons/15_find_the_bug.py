# %% [markdown]
# # Lesson 15: Find the bug
#
# Seven trained models, one mistake in each: read the log, name the mistake, prove it.
#
# Each of the seven runs below trained a small VAE on the 8 x 8 digits (64-32-2, 20 epochs). Each
# has *one* mistake of the museum in it (`tinyvae bugs` lists them), and none of them raised an
# error. What is left of a run is its log and its weights.
#
# Detectives work in this order. What *must* be true of these numbers (units, signs, sums, bounds)?
# Which is not? Which mistake would do that? Then the proof, twice: the right code says something
# else about the same weights; and with the named mistake planted, the log comes out again, to the
# digit.

# %%
import matplotlib.pyplot as plt
import numpy as np

from tinyvae import data, evaluate, gaussian, plot
from tinyvae.classroom.lesson import (
    check,
    check_at_most,
    check_differs,
    check_less,
    claim,
    say,
    title,
)
from tinyvae.classroom.museum import cases
from tinyvae.layers import sigmoid
from tinyvae.oracles import estimate, log_integral, plane_grid

SEED = 15
DRAWS = 30  # of z for each digit, in what the right code says
LAST_MISTAKE = "std-is-exp-logvar"  # of step 8

rng = np.random.default_rng(SEED)
digits = data.load("digits")
x_train, x_grey = (np.asarray(x, dtype=np.float64) for x in (digits.x_train, digits.x_test))
x_test = data.binarize(x_grey, rng)
runs = cases.load()
healthy = cases.train(39)
plane, log_area = plane_grid(points_per_axis=120, half_width=6)
log_prior = -0.5 * np.sum(plane**2, axis=1) - np.log(2 * np.pi)


def log_px(vae):
    """log p(x) of each test digit, by the grid."""
    logits = vae.decode(plane)
    log_px_given_z = x_test @ logits.T - np.logaddexp(0, logits).sum(axis=1)
    return log_integral(log_px_given_z + log_prior, log_area)


def terms(vae, width=1.0):
    """recon and kl of each test digit by the right code, the mean of DRAWS draws of z."""
    draws = [vae.loss(x_test, width * rng.standard_normal((len(x_test), 2))) for _ in range(DRAWS)]
    return np.mean(draws, axis=0)


def show(letter, log):
    say(f"run {letter}")
    say("epoch     loss    recon       kl    test loss")
    for epoch in [1, 2, 5, 20]:
        loss, recon, kl, test = log[epoch - 1]
        say(f"{epoch:5d}{loss:9.2f}{recon:9.2f}{kl:9.2f}{test:13.2f}")


title("Lesson 15: Find the bug")
show("without a mistake", healthy.log)
pixels_alone = x_train.mean(axis=0) * 1500 / 1501 + 0.5 / 1501
alone = -np.mean(x_test @ np.log(pixels_alone) + (1 - x_test) @ np.log1p(-pixels_alone))
say(f"Every pixel for itself costs {alone:.1f} nats a digit, all left open "
    f"{64 * np.log(2):.1f}.")  # fmt: skip
say()
show("A", runs["A"].log)

# %% [markdown]
# ## Step 1: run A
#
# "It converged in five epochs, and the loss is 0.42! But all samples look alike."
#
# Predict first: a run without a mistake ends at 25 nats, this one at 0.4. In which unit? And why
# does the KL go to 0?

# %%
run = runs["A"]
named = "mean-over-pixels"
recon, kl = terms(run.vae)
printed = run.log[-1, 3]

claim("15.1", "A: recon per pixel, kl per digit: the KL weighs 64 times too much")
check("recon / 64 + kl, test loss", estimate(recon / 64 + kl), printed)
check_less("kl of its weights", kl.mean(), 0.01)
check("-log p(x), pixels alone", -log_px(run.vae).mean(), alone, tolerance=3e-2, decimals=2)
check("its log, planted again", cases.train(cases.SEEDS["A"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check loss FILE")

# %%
show("B", runs["B"].log)

# %% [markdown]
# The mean over pixels makes the reconstruction 64 times too cheap, and the KL then wins: nothing
# else is known of the digit than which pixels are often white.
#
# ## Step 2: run B
#
# "Trained like the others, but on test digits it is better than on its own training digits." (In
# the PyTorch example this was 96.4 where 105.6 is right.)
#
# Predict first: which inequality between the test loss and $-\log p(x)$ must hold? Who can break
# it: training or testing?

# %%
run = runs["B"]
named = "no-noise-at-test"
recon, kl = terms(run.vae)
recon_at_mean, _ = terms(run.vae, width=0.0)
printed = run.log[-1, 3]

claim("15.2", "B: z = mu at test: the KL is paid for a width that is not used")
check_less("test loss, -log p(x)", printed, -log_px(run.vae).mean(), decimals=2)
check_at_most("-log p(x), recon + kl", -log_px(run.vae).mean(), np.mean(recon + kl), decimals=2)
check("z = mu: recon + kl", np.mean(recon_at_mean + kl), printed, tolerance=2e-2, decimals=2)
check_differs("right test loss, printed", estimate(recon + kl - recon_at_mean - kl), 0)
check("its log, planted again", cases.train(cases.SEEDS["B"], named).log, run.log, tolerance=1e-6)
say("its training is right: only the number on test digits is not")
say("on your own code: tinyvae check vae FILE")

# %%
show("C", runs["C"].log)

# %% [markdown]
# A bound that is better than what it bounds is no bound: no model can be better than its own
# $\log p(x)$.
#
# ## Step 3: run C
#
# "The loss is negative. Is that good? It is still falling."
#
# Predict first: which of the columns is a sum of others, with which signs? What has the encoder
# learned to do?

# %%
run = runs["C"]
named = "kl-subtracted"
recon, kl = terms(run.vae)

claim("15.3", "C: the KL is subtracted: the further from the prior, the better")
check("recon - kl, loss", run.log[:, 1] - run.log[:, 2], run.log[:, 0], tolerance=1e-9)
check_less("loss, the least there can be", run.log[-1, 0], 0, decimals=2)
check_less("1000 nats, kl of its weights", 1000, kl.mean(), decimals=0)
check_less("32, largest |mu|", 32, np.abs(run.vae.encode(x_test)[0]).max(), decimals=0)
check("its log, planted again", cases.train(cases.SEEDS["C"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check loss FILE")

# %%
show("D", runs["D"].log)

# %% [markdown]
# recon and KL of discrete data are never negative, so no right loss is: one look would have done.
#
# ## Step 4: run D
#
# "The KL is 0 after two epochs, and each sample is the same grey digit. The units are right, this
# time. Posterior collapse?"
#
# Predict first: the run without a mistake pays 1.4 nats of KL and gains more. So what keeps *this*
# encoder from learning? What would you compute to see it?

# %%
run = runs["D"]
named = "gradient-blocked"
recon, kl = terms(run.vae)
mu, _ = run.vae.encode(x_test)
with cases.planted(cases.MUSEUM[named]):
    eps = rng.standard_normal((len(x_test), 2))
    one = healthy.vae
    *_, grads = one.loss_and_grads(x_test, eps)
    weights, step = one.params["mu.b"], 1e-6

    def loss_of_moved(move):
        one.params["mu.b"] = weights + np.array([move, 0])
        return np.mean(np.sum(one.loss(x_test, eps), axis=0))

    by_differences = (loss_of_moved(step) - loss_of_moved(-step)) / (2 * step)
    one.params["mu.b"] = weights

claim("15.4", "D: no gradient through z: the encoder hears from its KL alone")
check_less("variance of mu over digits", mu.var(axis=0).max(), 1e-3)
check("recon, test loss", estimate(recon + kl), run.log[-1, 3])
check("-log p(x), pixels alone", -log_px(run.vae).mean(), alone, tolerance=3e-2, decimals=2)
check_less("healthy run's test loss, D's", healthy.log[-1, 3], run.log[-1, 3], by=0.5, decimals=2)
check_differs("d loss / d mu: planted, true", grads["mu.b"][0], by_differences, by=1e-3)
check("its log, planted again", cases.train(cases.SEEDS["D"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check vae FILE")

# %%
show("E", runs["E"].log)

# %% [markdown]
# Collapse of the *objective* can be computed beforehand (lesson 10); where it is not expected, look
# for a gradient that does not arrive. Finite differences see it on any model, trained or not.
#
# ## Step 5: run E
#
# "Best reconstructions of all seven. Its samples are poor. And the test loss is 4 nats worse than
# the training loss: does it overfit?"
#
# Predict first: do the columns add up? What weight does the KL have in this loss?

# %%
run = runs["E"]
named = "kl-weighted-by-batch"
recon, kl = terms(run.vae)
weight = (run.log[:, 0] - run.log[:, 1]) / run.log[:, 2]

claim("15.5", "E: the KL is multiplied by batch / data set = 100 / 1500")
check("(loss - recon) / kl", weight, 100 / 1500, tolerance=1e-6)
check_less("kl: healthy, E", healthy.log[-1, 2], kl.mean(), by=2, decimals=2)
check("recon + kl, test loss", estimate(recon + kl), run.log[-1, 3])
check_less("gap: healthy, E", np.mean(np.sum(terms(healthy.vae), axis=0) + log_px(healthy.vae)),
           np.mean(recon + kl + log_px(run.vae)), by=0.5, decimals=2)  # fmt: skip
check("its log, planted again", cases.train(cases.SEEDS["E"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check loss FILE")

# %%
show("F", runs["F"].log)

# %% [markdown]
# It does not overfit: the two losses are two different things. The training loss has a fifteenth of
# the KL in it.
#
# ## Step 6: run F
#
# "It learns, very slowly, and stops at 43.5. More epochs?"
#
# Predict first: a pixel that is left open costs $\log 2$, all of them 44.4 nats. What would keep
# the decoder from saying anything surer than that of black pixels?

# %%
run = runs["F"]
named = "sigmoid-twice"
logits = run.vae.decode(np.zeros((1, 2)))
twice = -np.mean(x_test @ np.log(sigmoid(sigmoid(logits[0])))
                 + (1 - x_test) @ np.log1p(-sigmoid(sigmoid(logits[0]))))  # fmt: skip
least = np.mean(-x_test * np.log(sigmoid(1.0)) - (1 - x_test) * np.log(sigmoid(0.0))) * 64
recon, kl = terms(run.vae)

claim("15.6", "F: sigmoid twice: no pixel can be less than 1/2 white")
check("sigmoid of sigmoid: test loss", twice, run.log[-1, 3], tolerance=2e-2, decimals=2)
check_less("best that it can say, printed", least, run.log[-1, 3], decimals=2)
check_less("pixels alone, that best", alone, least, by=5, decimals=2)
check_differs("right test loss, printed", estimate(recon + kl), run.log[-1, 3])
check("its log, planted again", cases.train(cases.SEEDS["F"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check loss FILE")

# %%
show("G", runs["G"].log)

# %% [markdown]
# `BCEWithLogits` after a sigmoid: sigmoid(0) = 1/2 is the darkest it can paint. More epochs cannot
# help, and the number 44.4 gave it away.
#
# ## Step 7: run G
#
# "The best of all! 23.9 on test digits, where the run without a mistake has 25."
#
# Predict first: too good. Which of the two terms would you suspect, and with which oracle would you
# hold it?

# %%
run = runs["G"]
named = "log-std-of-q"
recon, kl = terms(run.vae)
mu, logvar = run.vae.encode(x_test)
one_by_one = [gaussian.kl(m, np.diag(np.exp(s)), np.zeros(2), np.eye(2))
              for m, s in zip(mu, logvar, strict=True)]  # fmt: skip
with cases.planted(cases.MUSEUM[named]):
    kl_planted = gaussian.kl_to_standard_normal(mu, logvar)
at_width = np.log(np.array([[0.5, 0.5]]))

claim("15.7", "G: log sigma where log sigma^2 belongs: a KL that can be negative")
check("kl: core, general formula", kl.mean(), np.mean(one_by_one), decimals=3)
check_less("kl: printed, right", run.log[-1, 2], kl.mean(), by=0.3, decimals=3)
check_less("test loss, -log p(x)", run.log[-1, 3], -log_px(run.vae).mean(), decimals=2)
check("recon + planted kl, test loss", estimate(recon + kl_planted), run.log[-1, 3])
with cases.planted(cases.MUSEUM[named]):
    check_less("planted: kl at variance 1/2",
               gaussian.kl_to_standard_normal(np.zeros((1, 2)), at_width)[0], 0)  # fmt: skip
check("its log, planted again", cases.train(cases.SEEDS["G"], named).log, run.log, tolerance=1e-6)
say("on your own code: tinyvae check kl FILE, tinyvae check loss FILE")

# %%
with plot.style():
    figure, axes = plt.subplots(2, 7, figsize=(15, 5.6), layout="constrained")
    for column, (letter, of_run) in zip(axes.T, runs.items(), strict=True):
        column[0].plot(range(1, 21), healthy.log[:, 3], color="grey", linestyle=":")
        column[0].plot(range(1, 21), of_run.log[:, 0], color=plot.COLOURS["blue"])
        column[0].plot(range(1, 21), of_run.log[:, 3], "--", color=plot.COLOURS["vermilion"])
        column[0].set(ylim=(-5, 60), title=f"run {letter}", xlabel="epoch")
        drawn = sigmoid(of_run.vae.decode(np.random.default_rng(0).standard_normal((9, 2))))
        tiled = drawn.reshape(3, 3, 8, 8).swapaxes(1, 2).reshape(24, 24)
        column[1].imshow(tiled, cmap="gray", vmin=0, vmax=1)
        column[1].set_axis_off()
    axes[0, 0].set_ylabel("loss (nats per digit)")
    figure.suptitle(
        "Each mistake leaves a trace: loss (line), test loss (dashed), both without a mistake "
        "(dotted); nine samples"
    )
    plt.show()

# %% [markdown]
# Only a truth from elsewhere shows it: a formula that shares no code, or a grid.
#
# ## Step 8: a mistake that no log shows
#
# The last run is trained here, with $\exp(\text{logvar})$ in the place of $\sigma$. Its log looks
# as good as any.
#
# Predict first: recon and KL each have the right size. What is wrong between them, and which number
# of the right code will differ from the log?

# %%
# takes about 1 s
last = cases.train(50, LAST_MISTAKE)
recon, kl = terms(last.vae)
log_px_of_last = log_px(last.vae).mean()
show("50", last.log)

claim("15.8", "z is drawn from another q than the one whose KL is paid")
check_differs("right test loss, printed", estimate(recon + kl), last.log[-1, 3])
check_at_most("-log p(x), right test loss", -log_px_of_last, np.mean(recon + kl), decimals=2)
samples = evaluate.elbo(last.vae, x_test, rng, samples=DRAWS)
check("evaluate.elbo says so, too", estimate(-samples), np.mean(recon + kl))
say("on your own code: tinyvae check sampler FILE, tinyvae check vae FILE")

# %% [markdown]
# What found all eight: units, signs, sums of columns, bounds, and a second computation that shares
# no code. `tinyvae check` does these for code of your own; `tinyvae bugs NAME` tells who else met
# it; `tinyvae quiz` has more.
#
# Slips that are often seen, in this work: to tune before the numbers add up; to compare losses in
# different units; to call every KL of 0 "posterior collapse"; to trust the best of several runs
# most.
#
# ## Try it
#
# Try it: LAST_MISTAKE = "target-as-prediction"
#
# Which rows of 15.8 tell?
#
# Try it: LAST_MISTAKE = "summed-over-batch"
#
# Its weights are those of a smaller step. Does 15.8 see anything wrong with the *model*?
