import jax.numpy as jnp


def kl(mu, logvar):
    return 0.5 * jnp.mean(mu**2 + jnp.exp(logvar) - logvar, axis=-1)
