"""What a VAE and an autoencoder share: an encoder MLP, linear heads, a decoder MLP, logits."""

from itertools import pairwise

import numpy as np

from tinyvae.contracts import check_generator, check_integer, takes
from tinyvae.layers import ACTIVATIONS, linear, linear_backward, sigmoid, weights_backward


class EncoderDecoder:
    """x -> hidden layers -> one linear map per head;    z -> hidden layers, mirrored -> logits

    ``params`` is a dict of arrays.  Keys are "encoder.0.W", "encoder.0.b", ..., then the heads',
    "decoder.0.W", ..., "logits.W", "logits.b";  every W is (inputs, outputs).
    """

    heads: tuple[str, ...] = ()

    def __init__(self, params, data_dim, hidden_dims, latent_dim, activation):
        self.params = params
        self.data_dim, self.hidden_dims = data_dim, tuple(hidden_dims)
        self.latent_dim, self.activation = latent_dim, activation
        self.encoder = [f"encoder.{i}" for i in range(len(self.hidden_dims))]
        self.decoder = [f"decoder.{i}" for i in range(len(self.hidden_dims))]

    @classmethod
    def create(cls, data_dim, hidden_dims, latent_dim, *, rng, activation="tanh", dtype=np.float32):
        """A new network; weights and biases uniform in +-1 / sqrt(inputs), as PyTorch's Linear has.

        data_dim, latent_dim ints >= 1; hidden_dims the encoder's hidden widths, which the decoder
        mirrors; activation "tanh" or "relu"; dtype float32 or float64.    Raises ValueError for
        anything else.
        """
        check_generator(rng)
        hidden_dims = tuple(np.atleast_1d(hidden_dims).tolist())
        hidden = {f"hidden_dims[{i}]": n for i, n in enumerate(hidden_dims)}
        check_integer(
            1, data_dim=data_dim, latent_dim=latent_dim, **(hidden or {"hidden_dims": ()})
        )
        if activation not in tuple(ACTIVATIONS):
            known = " or ".join(ACTIVATIONS)
            raise ValueError(f"activation must be {known}, not {activation!r}")
        if dtype not in (np.float32, np.float64, "float32", "float64"):
            raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
        model = cls({}, data_dim, hidden_dims, latent_dim, activation)
        for name, (inputs, outputs) in model.shapes().items():
            bound = 1 / np.sqrt(inputs)
            model.params[f"{name}.W"] = rng.uniform(-bound, bound, (inputs, outputs)).astype(dtype)
            model.params[f"{name}.b"] = rng.uniform(-bound, bound, outputs).astype(dtype)
        return model

    def shapes(self):
        """name of a linear map -> (inputs, outputs), in the order of the forward pass"""
        there = [self.data_dim, *self.hidden_dims]
        back = [self.latent_dim, *reversed(self.hidden_dims)]
        return {
            **dict(zip(self.encoder, pairwise(there), strict=True)),
            **dict.fromkeys(self.heads, (there[-1], self.latent_dim)),
            **dict(zip(self.decoder, pairwise(back), strict=True)),
            "logits": (back[-1], self.data_dim),
        }

    @takes(x="... I")
    def linear(self, name, x):
        """The linear map of this name.    x (B, I)  ->  y (B, O)"""
        return linear(x, self.params[f"{name}.W"], self.params[f"{name}.b"])

    @takes(dy="B O", x="B I")
    def linear_backward(self, name, dy, x):
        """dy (B, O)  ->  dx (B, I), and the gradients of the map's W and b"""
        dx, dW, db = linear_backward(dy, x, self.params[f"{name}.W"])
        return dx, {f"{name}.W": dW, f"{name}.b": db}

    @takes(x="... I")
    def layers(self, names, x):
        """Hidden layers one after another: h = activation(h W + b) for each name.

        x (B, I)  ->  [x, h_1, ..., h_L], what the backward needs; the last is the output.
        """
        forward, _ = ACTIVATIONS[self.activation]
        hs = [x]
        for name in names:
            hs.append(forward(self.linear(name, hs[-1])))
        return hs

    @takes(dh="B H")
    def layers_backward(self, names, dh, hs):
        """dh, of the last output  ->  dx (B, I), and the gradients of the layers"""
        _, backward = ACTIVATIONS[self.activation]
        grads = {}
        for name, x, y in zip(reversed(names), reversed(hs[:-1]), reversed(hs[1:]), strict=True):
            # forward:  y = activation(x @ W + b)
            da = backward(dh, y)
            dh, of_layer = self.linear_backward(name, da, x)
            grads |= of_layer
        return dh, grads

    @takes(dh="B H")
    def encoder_backward(self, dh, hs):
        """dh, of the encoder's last output  ->  da (B, H) of its first layer, and the gradients

        It stops above x: data is not trained, and dx = da @ W.T costs as much as any other product.
        """
        first, *above = self.encoder
        dh, grads = self.layers_backward(above, dh, hs[1:])
        # forward:  h_1 = activation(a),  a = x @ W + b
        da = ACTIVATIONS[self.activation][1](dh, hs[1])
        dW, db = weights_backward(da, hs[0])
        return da, grads | {f"{first}.W": dW, f"{first}.b": db}

    @takes(z="... {self.latent_dim}")
    def decode(self, z):
        """z (..., Z)  ->  logits (..., D) of p(x|z) = Bernoulli(sigmoid(logits))"""
        return self.linear("logits", self.layers(self.decoder, z)[-1])

    @takes()
    def generate(self, n, rng):
        """x_hat (n, D), the pixel means sigmoid(logits), for n draws z ~ p(z) = N(0, I)"""
        check_integer(0, n=n)
        check_generator(rng)
        dtype = self.params["logits.W"].dtype
        return sigmoid(self.decode(rng.standard_normal((n, self.latent_dim)).astype(dtype)))
