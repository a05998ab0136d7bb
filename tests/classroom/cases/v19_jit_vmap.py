import jax
import jax.numpy as jnp


@jax.jit
def kl_mvn(mq, Sq, mp, Sp):
    d = mp - mq
    return 0.5 * (jnp.trace(jnp.linalg.solve(Sp, Sq)) + d @ jnp.linalg.solve(Sp, d) - d.shape[0] + jnp.linalg.slogdet(Sp)[1] - jnp.linalg.slogdet(Sq)[1])
