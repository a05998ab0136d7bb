"""What goes past the article: pairs like the core's, by hand, which the core does not need.

==============  ==================================================================================
importance      the bound of S importance weights, its gradient, the gradient without the score,
                the tail of the weights
linear          the VAE whose maps are linear and whose expectations are exact; free bits
likelihoods     grey pixels: the continuous Bernoulli, a Gaussian with a learned variance
posterior       a q(z|x) with a full covariance
==============  ==================================================================================

Everything is in nats.  Lessons 9 to 12 show what each is for.
"""
