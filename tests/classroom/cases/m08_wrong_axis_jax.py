import jax.numpy as jnp


def kl_loss(mu, logvar):
    kl = -0.5 * jnp.sum(1 + logvar - jnp.square(mu) - jnp.exp(logvar), axis=0)
    return jnp.mean(kl)
