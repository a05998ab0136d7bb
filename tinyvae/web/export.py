"""The explorer: a run with two latent dimensions as one HTML page that computes all by itself.

The page holds the weights, some digits, and the mathematics in JavaScript (vae.js).  It asks for
nothing: no library, no font, no network.

The weights are float32 for small images (up to 256 pixels) and float16 for large ones, and the page
says what that rounding costs.  Pages of small images also hold digits to train on, and train
four networks, an autoencoder and VAEs of beta 0.25, 1 and 4, beside each other.  They are trained
in the page, not here: their first weights, digits and noise are the same, and the reader predicts
before the button is pressed.
"""

import base64
import html
import json
from importlib.resources import files

import numpy as np

from tinyvae import bernoulli, data
from tinyvae.layers import sigmoid
from tinyvae.oracles import LinearGaussian
from tinyvae.vae import VAE

SMALL = 256  # pixels
MOST_BYTES = {True: 150_000, False: 700_000}  # of a page, for small images and for large ones
SHOWN = 300  # test digits to choose from
LEARNT, WATCHED = 1000, 200  # where images are small: digits to train on, and to test that on
PARTS = "page.css", "vae.js", "surface.js", "explorer.js", "gaussian.js", "gaussians.js"


class PageError(ValueError):
    """A run that cannot be a page: one sentence on why, and what to do."""


def explorer(model, dataset, name, binarize=True):
    """The explorer's page for a VAE with two latent dimensions  ->  str, HTML

    ``dataset`` is a `data.Dataset`, ``name`` what the page calls it.  Its first 300 test images are
    those to choose from; there, a pixel has ink where its grey is at least 1/2.  The pixels of the
    images that the page trains and tests its networks on are drawn, as in `fit`, from a fixed seed.

    Raises PageError for another model, or one too large for a page.
    """
    if not isinstance(model, VAE):
        raise PageError(
            "holds an autoencoder, which has no q(z|x) and no bound to explore; give the run of a "
            "VAE (its page trains an autoencoder beside it)"
        )
    if model.latent_dim != 2:
        raise PageError(
            f"has {model.latent_dim} latent dimensions, and a plane has 2; train one with "
            "--latent-dim 2"
        )
    small = model.data_dim <= SMALL
    for dtype in ("float32", "float16") if small else ("float16",):
        if 4 / 3 * _size(model) * np.dtype(dtype).itemsize < MOST_BYTES[small]:
            page = _explorer(model, dataset, name, binarize, dtype)
            if len(page.encode()) <= MOST_BYTES[small]:
                return page
    raise PageError(
        f"has {_size(model):,} parameters, too many for a page of {MOST_BYTES[small]:,} bytes; "
        f"train one with --hidden {32 if small else 128}"
    )


def gaussians():
    """The page of two Gaussians to move, which needs no run  ->  str, HTML

    Its model is the linear-Gaussian one of lesson 3, and its x that lesson's.
    """
    rng = np.random.default_rng(3)  # lesson 3's SEED
    model = LinearGaussian.random(data_dim=5, latent_dim=2, rng=rng)
    lesson = {
        "W": model.W.tolist(),
        "b": model.b.tolist(),
        "noise_var": model.noise_var,
        "x": model.sample(1, rng)[0][0].tolist(),
    }
    return _fill("gaussians.html", lesson=json.dumps(lesson))


def _size(model):
    return sum(p.size for p in model.params.values())


def _explorer(model, dataset, name, binarize, dtype):
    x = (dataset.x_test[:SHOWN] >= 0.5).astype(np.float64)
    packed = pack(model, dtype) | {
        "shape": [int(n) for n in dataset.image_shape],
        "digits": bits(x),
        "labels": None if dataset.y_test is None else dataset.y_test[:SHOWN].tolist(),
    }
    if model.data_dim <= SMALL:
        rng = np.random.default_rng(0)
        packed["train"] = bits(data.binarize(dataset.x_train[:LEARNT], rng))
        packed["test"] = bits(data.binarize(dataset.x_test[:WATCHED], rng))
    title = html.escape(name)
    return _fill(
        "explorer.html",
        title=title,
        about=f"A variational autoencoder with two latent dimensions, trained on {title}. Move z, "
        "and watch what the decoder makes of it; draw a digit, and see what it costs.",
        precision=_precision(model, x, dtype) + ("" if binarize else f" {GREY}"),
        training="Each network has 32 hidden units, learns from "
        f"{min(LEARNT, len(dataset.x_train))} digits in steps of 50, and draws its noise and its "
        "first weights from a fixed seed, so that every class sees the same.",
        model=json.dumps(packed, separators=(",", ":")).replace("<", "\\u003c"),
    )


GREY = "This run was trained on grey pixels; here, as in -log p(x), they are black or white."


def pack(model, dtype):
    """The parameters as the page has them: names, sizes, and one base64 text of little-endian"""
    arrays = [p.astype(np.dtype(dtype).newbyteorder("<")) for p in model.params.values()]
    return {
        "activation": model.activation,
        "layers": len(model.hidden_dims),
        "dtype": dtype,
        "names": list(model.params),
        "sizes": [p.size for p in arrays],
        "weights": base64.b64encode(b"".join(p.tobytes() for p in arrays)).decode(),
    }


def rounded(model, dtype):
    """The VAE of the page: these parameters, rounded to dtype, as float64"""
    params = {k: p.astype(dtype).astype(np.float64) for k, p in model.params.items()}
    return VAE(params, model.data_dim, model.hidden_dims, 2, model.activation)


def bits(x):
    """Images of 0 and 1, x (N, D)  ->  base64, eight pixels a byte, each image on whole bytes"""
    return base64.b64encode(np.packbits(x.astype(bool), axis=1).tobytes()).decode()


def _precision(model, x, dtype):
    """What the page says about the rounding of its weights, measured on the test digits at mu"""
    exact, page = rounded(model, np.float64), rounded(model, dtype)
    logits, near = (vae.decode(exact.encode(x)[0]) for vae in (exact, page))
    pixel = np.abs(sigmoid(logits) - sigmoid(near)).max()
    nats = np.abs(bernoulli.nll(logits, x) - bernoulli.nll(near, x)).max()
    if pixel == 0:
        return f"The weights are the run's own, {dtype} to the last bit."
    return (
        f"The weights are the run's, rounded to {dtype}: over these digits that changes a pixel's "
        f"probability by at most {pixel:.1g}, and recon by at most {nats:.1g} nats."
    )


def _fill(template, **fields):
    """The template with each {{name}} replaced by the field or the file of that name"""
    folder = files("tinyvae.web")
    fields |= {part: folder.joinpath(part).read_text("utf-8") for part in PARTS}
    text = folder.joinpath(template).read_text("utf-8")
    pieces = text.split("{{")
    for i, piece in enumerate(pieces[1:], 1):
        name, rest = piece.split("}}", 1)
        pieces[i] = fields[name] + rest
    return "".join(pieces)
