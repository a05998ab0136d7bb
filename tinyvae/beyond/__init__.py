"""What goes past the article: pairs like the core's, by hand, which the core does not need.

==============  ==================================================================================
importance      the bound of S importance weights, its gradient, the gradient without the score,
                the tail of the weights
linear          the VAE whose maps are linear and whose expectations are exact; free bits
likelihoods     grey pixels: the continuous Bernoulli, a Gaussian with a learned variance
posterior       a q(z|x) with a full covariance
discrete        a z that is a class: exact sums, and gradients by draws
annealing       log p(x) between two bounds: annealed importance sampling, Hamiltonian steps
==============  ==================================================================================

Everything is in nats.  Lessons 9 to 14 show what each is for.
"""
