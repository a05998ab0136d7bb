"""The final exercise: a VAE from your own functions.

Put your solved files of exercises 3 to 7 beside this one, as `tinyvae exercise` named them (of any
kind: written, derived, mended).  Write `loss_and_grads`, out of nothing but their functions.  Then:

    python final_vae.py           trains on digits, prints the ELBO of test digits, draws the plane
    tinyvae check final_vae.py    trains, and judges your weights by an ELBO that is not yours

It is right when the test digits have an ELBO of at least -25.15 nats.
"""

import runpy
from pathlib import Path

import numpy as np

FINAL = True  # tells `tinyvae check` what this is

HIDDEN, LATENT, EPOCHS, BATCH, RATE, SEED = 64, 2, 60, 100, 1e-3, 0


def mine(number):
    """The functions of your file of an exercise; of several, of the one that was changed last."""
    files = [f for f in Path(__file__).parent.glob(f"0{number}_*.py") if "explain" not in f.stem]
    if not files:
        raise FileNotFoundError(
            f"there is no file 0{number}_*.py beside this one: exercise {number}"
        )
    return runpy.run_path(str(max(files, key=lambda f: f.stat().st_mtime)))


def take(number, names):
    functions = mine(number)
    return [functions[name] for name in names.split()]


recon, elbo = take(3, "recon elbo")
(kl_to_standard_normal,) = take(4, "kl_to_standard_normal")
(reparameterize,) = take(5, "reparameterize")
linear, linear_backward, tanh, tanh_backward, nll_backward = take(
    6, "linear linear_backward tanh tanh_backward nll_backward"
)
loss, q_backward, adam_step = take(7, "loss q_backward adam_step")


# ---- yours ---------------------------------------------------------------------------------------


def loss_and_grads(params, x, eps):
    """The loss of a batch in nats, beta = 1, and its derivatives by all parameters.

    x (B, D) of 0 and 1, eps (B, Z) ~ N(0, I)  ->  loss (), grads: a dict with the keys of params

        name      weights        in the network
        encoder   (D, H), (H,)   h = tanh(x W + b)
        mu        (H, Z), (Z,)   mu = h W + b
        logvar    (H, Z), (Z,)   logvar = h W + b
        decoder   (Z, H), (H,)   g = tanh(z W + b), z drawn by reparameterize
        logits    (H, D), (D,)   logits = g W + b

    params has "encoder.W", "encoder.b", ...: ten arrays.  `loss` gives what is minimised from
    recon and kl; its derivatives by recon_b and kl_b are 1 / B each.
    """
    layers = "encoder", "mu", "logvar", "decoder", "logits"
    weights = {name: (params[f"{name}.W"], params[f"{name}.b"]) for name in layers}
    h = tanh(linear(x, *weights["encoder"]))
    mu, logvar = linear(h, *weights["mu"]), linear(h, *weights["logvar"])
    z = reparameterize(mu, logvar, eps)
    g = tanh(linear(z, *weights["decoder"]))
    logits = linear(g, *weights["logits"])
    value = loss(recon(logits, x), kl_to_standard_normal(mu, logvar), 1.0)

    grads = {}

    def back(name, dy, y):
        dx, grads[f"{name}.W"], grads[f"{name}.b"] = linear_backward(dy, y, params[f"{name}.W"])
        return dx

    each = np.full(len(x), 1 / len(x))
    dg = back("logits", nll_backward(each, logits, x), g)
    dz = back("decoder", tanh_backward(dg, g), z)
    dmu, dlogvar = q_backward(dz, each, mu, logvar, eps)
    dh = back("mu", dmu, h) + back("logvar", dlogvar, h)
    back("encoder", tanh_backward(dh, h), x)
    return value, grads


# ---- what is done with it ------------------------------------------------------------------------


def start(D, rng):
    """Random weights, as PyTorch's Linear has them."""
    sizes = {
        "encoder": (D, HIDDEN),
        "mu": (HIDDEN, LATENT),
        "logvar": (HIDDEN, LATENT),
        "decoder": (LATENT, HIDDEN),
        "logits": (HIDDEN, D),
    }
    params = {}
    for name, (inputs, outputs) in sizes.items():
        bound = 1 / np.sqrt(inputs)
        params[f"{name}.W"] = rng.uniform(-bound, bound, (inputs, outputs))
        params[f"{name}.b"] = rng.uniform(-bound, bound, outputs)
    return params


def train(x_train):
    """Adam on the loss, from grey pixels x_train (N, D) in [0, 1]  ->  params"""
    rng = np.random.default_rng(SEED)
    params = start(x_train.shape[1], rng)
    m, v = ({name: np.zeros(p.size) for name, p in params.items()} for _ in range(2))
    t = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x_train))
        for rows in np.array_split(order, len(x_train) // BATCH):
            x = (rng.random((len(rows), x_train.shape[1])) < x_train[rows]).astype(float)
            _, grads = loss_and_grads(params, x, rng.standard_normal((len(rows), LATENT)))
            t += 1
            for name, p in params.items():
                new, m[name], v[name] = adam_step(
                    p.ravel(), grads[name].ravel(), m[name], v[name], t, RATE
                )
                params[name] = new.reshape(p.shape)
    return params


def encode(params, x):
    h = tanh(linear(x, params["encoder.W"], params["encoder.b"]))
    mu = linear(h, params["mu.W"], params["mu.b"])
    return mu, linear(h, params["logvar.W"], params["logvar.b"])


def main():
    import matplotlib.pyplot as plt

    from tinyvae import data, plot

    digits, rng = data.load("digits"), np.random.default_rng(99)
    params = train(digits.x_train)
    x = (rng.random(digits.x_test.shape) < digits.x_test).astype(float)
    mu, logvar = encode(params, x)
    z = reparameterize(mu, logvar, rng.standard_normal(mu.shape))
    g = tanh(linear(z, params["decoder.W"], params["decoder.b"]))
    logits = linear(g, params["logits.W"], params["logits.b"])
    print(f"the ELBO of {len(x)} test digits: {elbo(mu, logvar, logits, x).mean():.2f} nats")
    figure, ax = plt.subplots(figsize=(6, 6))
    plot.latent_plane(ax, mu, digits.y_test)
    ax.set_title("Digits that look alike lie side by side")
    figure.savefig("final_vae.png", dpi=150, bbox_inches="tight")
    print("their plane: final_vae.png")


if __name__ == "__main__":
    main()
