"""The classic mistakes in the backward pass, and in the model around it."""

import numpy as np

from tinyvae import gaussian, vae
from tinyvae.classroom.museum.entry import Bug, entrance
from tinyvae.classroom.museum.planting import planted
from tinyvae.layers import sigmoid

right_loss_and_grads, right_linear = vae.VAE.loss_and_grads, vae.VAE.linear

BUGS: list[Bug] = []
enter = entrance(BUGS)


def fresh_noise_backward(dz, logvar, eps):
    eps = np.random.default_rng().standard_normal(eps.shape).astype(dz.dtype)
    return dz, dz * eps * 0.5 * np.exp(0.5 * logvar)


enter(
    "A7",
    "fresh-noise-in-backward",
    "the backward pass draws its own noise",
    "backward",
    {"tinyvae.gaussian:reparameterize_backward": fresh_noise_backward},
    wrong="dlogvar = dz eps' exp(logvar / 2) / 2,  eps' drawn anew",
    right="dlogvar = dz eps exp(logvar / 2) / 2,  eps as in the forward",
    tempts="""The forward did not keep its noise, and the backward needs some. The product has the
    right shape and size; but eps' knows nothing of dz, so on average the reconstruction's gradient
    into logvar is zero.""",
    seen_by="""Finite differences at the same eps. Not by shapes, nor by the loss, which still
    falls: mu learns.""",
    thread="""RobinBruegger/RevTorch#3, tychovdo/RevGAN#1, openai/guided-diffusion#167,
    allenai/OLMo-core#828""",
)


def half_lost_backward(dz, logvar, eps):
    return dz, dz * eps * np.exp(0.5 * logvar)


enter(
    "A16",
    "half-lost-in-backward",
    "d sigma / d logvar without its 1/2",
    "backward",
    {"tinyvae.gaussian:reparameterize_backward": half_lost_backward},
    wrong="dlogvar = dz eps exp(logvar / 2)",
    right="dlogvar = dz eps exp(logvar / 2) / 2",
    tempts="""The derivative of exp is exp, and the inner derivative is forgotten. The direction is
    right, only its size against the KL's part is not: training converges, to another width.""",
    seen_by="Any gradient check, element by element. Not by the loss falling.",
    thread="""y0ast/VAE-Torch#5, y0ast/VAE-Torch#13, willwhitney/dc-ign#7, torch/cunn#318,
    Kaixhin/Autoencoders#9""",
)


def blocked_backward(dz, logvar, eps):
    return np.zeros_like(dz), np.zeros_like(logvar)


enter(
    "A17",
    "gradient-blocked",
    "no gradient through z",
    "backward",
    {"tinyvae.gaussian:reparameterize_backward": blocked_backward},
    wrong="z = sample(mu, exp(logvar));  dmu = 0, dlogvar = 0",
    right="z = mu + exp(logvar / 2) eps;  dmu = dz, dlogvar = dz eps exp(logvar / 2) / 2",
    tempts="""A library's `normal(mu, std)` gives the right numbers, and they come detached. The
    decoder learns, the KL pulls every q to the prior, nothing pulls back: the picture is the
    average digit and the KL is zero.""",
    seen_by="Finite differences on the encoder's parameters. Not by checks of the decoder's.",
    thread="pytorch/pytorch#4620, Unity-Technologies/ml-agents#5546, dmis-lab/VAECox#6",
)


def without_mu(backward):
    def silent(*args):
        dmu, dlogvar = backward(*args)
        return np.zeros_like(dmu), dlogvar

    return silent


ONLY_LOGVAR = {
    "tinyvae.gaussian:reparameterize_backward": without_mu(gaussian.reparameterize_backward),
    "tinyvae.gaussian:kl_to_standard_normal_backward": without_mu(
        gaussian.kl_to_standard_normal_backward
    ),
}


def trunk_overwritten(self, x, eps, beta=1.0, wrt_x=False):
    loss, recon, kl, grads = right_loss_and_grads(self, x, eps, beta, wrt_x)
    with planted(ONLY_LOGVAR):
        last = right_loss_and_grads(self, x, eps, beta)[-1]
    return loss, recon, kl, grads | {n: g for n, g in last.items() if n.startswith("encoder")}


enter(
    "A36",
    "trunk-overwritten",
    "the shared trunk gets the gradient of one head only",
    "backward",
    {"tinyvae.vae:VAE.loss_and_grads": trunk_overwritten},
    wrong="dh = dh_logvar",
    right="dh = dh_mu + dh_logvar",
    tempts="""Two heads are fed by one layer, and the second assignment to `dh` overwrites the
    first. Both heads' own weights get right gradients; what lies below learns from one of them.""",
    seen_by="A gradient check of every parameter by name. Not by a check of the heads.",
    thread="TrenTorch/TrenTorch#182, sony/nnabla#532",
)


def relu_logvar_head(self, name, h):
    out = right_linear(self, name, h)
    return np.maximum(out, 0) if name == "logvar" else out


right_reparameterize_backward = gaussian.reparameterize_backward
right_kl_backward = gaussian.kl_to_standard_normal_backward


def gated_reparameterize_backward(dz, logvar, eps):
    dmu, dlogvar = right_reparameterize_backward(dz, logvar, eps)
    return dmu, dlogvar * (logvar > 0)


def gated_kl_backward(dkl, mu, logvar):
    dmu, dlogvar = right_kl_backward(dkl, mu, logvar)
    return dmu, dlogvar * (logvar > 0)


enter(
    "A18",
    "relu-on-logvar",
    "relu on the logvar head",
    "model",
    {
        "tinyvae.vae:VAE.linear": relu_logvar_head,
        "tinyvae.gaussian:reparameterize_backward": gated_reparameterize_backward,
        "tinyvae.gaussian:kl_to_standard_normal_backward": gated_kl_backward,
    },
    wrong="logvar = relu(h W + b)",
    right="logvar = h W + b",
    tempts="""All the other layers have an activation, and a variance is positive, after all. But
    logvar is a logarithm: cut off at 0, no variance can be below 1, q can never be narrower than
    the prior, and hardly anything about x fits through.""",
    seen_by="logvar must take both signs. Not by a gradient check.",
    thread="""shekkizh/TensorflowProjects#1, alexlee-gk/video_prediction#3,
    wohlert/semi-supervised-pytorch#16, pkmital/CADL#84""",
)


right_linear_backward = vae.VAE.linear_backward


def mu_head_for_both(self, name, h):
    return right_linear(self, "mu" if name == "logvar" else name, h)


def mu_head_for_both_backward(self, name, dy, x):
    dx, grads = right_linear_backward(self, "mu" if name == "logvar" else name, dy, x)
    return dx, grads if name != "logvar" else {f"logvar.{p}": grads[f"mu.{p}"] for p in "Wb"}


def mu_head_for_both_loss_and_grads(self, x, eps, beta=1.0, wrt_x=False):
    loss, recon, kl, grads = right_loss_and_grads(self, x, eps, beta, wrt_x)
    for p in "Wb":  # the parameters that are used twice get both gradients, the others none
        grads[f"mu.{p}"] = grads[f"mu.{p}"] + grads[f"logvar.{p}"]
        grads[f"logvar.{p}"] = np.zeros_like(grads[f"logvar.{p}"])
    return loss, recon, kl, grads


enter(
    "A36b",
    "one-head-for-both",
    "mu and logvar come from the same head",
    "model",
    {
        "tinyvae.vae:VAE.linear": mu_head_for_both,
        "tinyvae.vae:VAE.linear_backward": mu_head_for_both_backward,
        "tinyvae.vae:VAE.loss_and_grads": mu_head_for_both_loss_and_grads,
    },
    wrong="logvar = h W_mu + b_mu",
    right="logvar = h W_logvar + b_logvar",
    tempts="""The line for logvar is the line for mu, copied, and one name in it was not changed.
    All shapes fit, the loss falls, and backpropagation is right about what is written there. But
    q has a width that follows from its mean, and one pair of weights never moves. In the first of
    the threads it is the layer below that differs: one head is fed before its activation.""",
    seen_by="""logvar must be h W + b of weights of its own. Not by a gradient check: where nothing
    depends on them, their gradient is 0, and so is the difference quotient.""",
    thread="""cdoersch/vae_tutorial#5, giannifranchi/LP_BNN#3, alexlyzhov/latent-subspaces#1,
    OpenTalker/SadTalker#969""",
)


def generate_from_noise_pictures(self, n, rng):
    x = rng.random((n, self.data_dim)).astype(self.params["logits.W"].dtype)
    mu, logvar = self.encode(x)
    eps = rng.standard_normal(mu.shape).astype(mu.dtype)
    return sigmoid(self.decode(gaussian.reparameterize(mu, logvar, eps)))


enter(
    "A35",
    "posterior-at-generation",
    "generating from q(z|x) instead of the prior",
    "model",
    {"tinyvae.vae:VAE.generate": generate_from_noise_pictures},
    wrong="z ~ q(z|x) for some x",
    right="z ~ p(z) = N(0, I)",
    tempts="""The model is called end to end, x -> z -> x_hat, so something has to be put in as x.
    With training images it is a reconstruction under the name of a sample; with noise it shows one
    corner of the latent space again and again.""",
    seen_by="""The moments of the z that `generate` decodes: those of N(0, I). Not by any test of
    the loss.""",
    thread="AntixK/PyTorch-VAE#32",
)
