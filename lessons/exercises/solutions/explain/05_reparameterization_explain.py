"""Exercise 5: sampling that can be differentiated, to be explained.

Lesson 5 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 05_reparameterization_explain.py

Question 1: Step 5.3 prints the variance of an estimate of d E_q f(z) / d mu from one draw.

    score function          128 +- 2  =  131.086560        1.4 s.e.       holds
    pathwise           12.26 +- 0.05  =   12.290264        0.5 s.e.       holds

    a  The score function's estimate is biased, the pathwise one is not.
    b  The mean of 1000 pathwise estimates is as exact as that of about 10,700 of the other kind.
    c  The score function's estimate needs no derivative of f.
    d  A constant baseline changes what the score function's estimates are on average.

Question 2: Step 5.8 tries a sampler that takes exp(logvar) as sigma, at logvar = -1: first a
gradient check, then the mean of (z - mu)^2 beside exp(logvar).

    exp(logvar)            -1.572774  =   -1.572774        within 1e-08   holds
    exp(logvar)     0.1350 +- 0.0006 !=    0.367879        386 s.e.       holds

    a  Its backward is the derivative of its forward.
    b  Its draws have the variance exp(logvar).
    c  Its draws have a standard deviation of about 0.37.
    d  A gradient check at more values of logvar would find the mistake.
"""

EXPLAIN = 5  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: "bc",
    2: "ac",
}
