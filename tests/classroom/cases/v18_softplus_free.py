import jax.numpy as jnp


def kl(loc, scale):
    return jnp.sum(0.5 * (loc**2 + scale**2 - 1) - jnp.log(scale), axis=-1)
