"""Exercise 7: training a VAE, to be explained.

Lesson 7 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 07_vae_explain.py

Question 1: Step 7.2 prints this table of a training, in nats a digit.

    epoch    recon      kl    -elbo    test -elbo
        1    36.98    0.54    37.52         30.53
      200    21.56    2.55    24.12         24.21

    a  That kl rises shows that the training went wrong.
    b  What the pixels cost fell by more than kl rose.
    c  If kl were 0 for every x, z would carry no information about x.
    d  -elbo is at least -log p(x), averaged over the digits.

Question 2: Step 7.6 trains with another weight on the KL.

    beta = 0.5: kl 2.72, weighted -23.29, ELBO -24.65, log p(x) -24.02

    a  "weighted", -(recon + 0.5 kl), is a lower bound of log p(x).
    b  The ELBO of this model is a lower bound of its log p(x).
    c  KL(q(z|x) || p(z|x)) is about 0.6 nats on average.
    d  Two models with different beta can be compared by "weighted".
"""

EXPLAIN = 7  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: "bcd",
    2: "bc",
}
