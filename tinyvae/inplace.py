"""`VAE.loss_and_grads` once more, in place: what every process of a training by several runs.

The same derivatives in the same order, with new arrays only where they are small: the output of a
layer is written to where the next one reads its input, and the logits turn into their own
derivative.  It is faster because what has been used last is still in the core's cache, and because
nothing need be copied to be seen by the other processes.

To be read is `VAE.loss_and_grads`; tests/core/test_parallel.py holds the two together.
"""

from itertools import pairwise

import numpy as np

from tinyvae import bernoulli, gaussian


def _relu(a):
    return np.maximum(a, np.zeros_like(a[:1]), out=a)  # less than half the time of np.maximum(a, 0)


ACTIVATIONS = {  # activation(a) and activation_backward(dy, y), in place
    "tanh": (lambda a: np.tanh(a, out=a), lambda dy, y: np.multiply(dy, 1 - y * y, out=dy)),
    "relu": (_relu, lambda dy, y: np.multiply(dy, y > 0, out=dy)),
}


def backward(vae, W, images, eps, beta, size, x, dy):
    """recon (B,), kl (B,), and what the gradients of loss = sum(recon + beta kl) / size are made of

    W, x, dy: dicts with an array for every linear map y = x W + b, (I, O) for W, (B, I) for its
    inputs and (B, O) for d loss / dy.  dy and all x are written here, but for the first, which is
    images (B, D), or what is left of them when W, too, has lost the rows of pixels that are black
    in the whole batch.  The gradients are dW = x^T dy, db = sum dy.
    """
    forward, slope = ACTIVATIONS[vae.activation]
    encoder, decoder = [*vae.encoder, "mu"], [*vae.decoder, "logits"]

    def linear(name, out=None):
        y = np.matmul(x[name], W[name], out=out)
        y += vae.params[f"{name}.b"]
        return y

    # forward
    for name, above in pairwise(encoder):
        forward(linear(name, out=x[above]))
    mu, logvar = linear("mu"), linear("logvar")
    z = x[decoder[0]]
    z[...] = gaussian.reparameterize(mu, logvar, eps)
    for name, above in pairwise(decoder):
        forward(linear(name, out=x[above]))
    logits = linear("logits", out=dy["logits"])
    recon, dlogits = bernoulli.nll_and_slope(logits, images, out=logits)
    dlogits *= 1 / size
    # In float64 exp(logvar) - 1 - logvar keeps all digits of float32, and inf - 1e300 is inf.
    wide = np.minimum(logvar, 1e300, dtype=np.float64)
    excess = np.maximum(np.expm1(wide) - wide, 0)
    kl = (0.5 * (mu * mu + excess).sum(axis=-1)).astype(recon.dtype)

    # backward
    for name, above in reversed([*pairwise(decoder)]):
        dg = dy[name]
        dg[...] = (W[above] @ dy[above].T).T  # BLAS is quicker with it than with dy @ W.T
        slope(dg, x[above])
    dz = dy[decoder[0]] @ W[decoder[0]].T
    dmu_recon, dlogvar_recon = gaussian.reparameterize_backward(dz, logvar, eps)
    dkl = np.full_like(kl, beta / size)
    dmu_kl, dlogvar_kl = gaussian.kl_to_standard_normal_backward(dkl, mu, logvar)
    np.add(dmu_recon, dmu_kl, out=dy["mu"])
    np.add(dlogvar_recon, dlogvar_kl, out=dy["logvar"])
    for name, above in reversed([*pairwise(encoder)]):
        dh = np.matmul(dy[above], W[above].T, out=dy[name])
        if above == "mu":  # mu and logvar come from the same layer
            dh += dy["logvar"] @ W["logvar"].T
        slope(dh, x[above])
    return recon, kl
