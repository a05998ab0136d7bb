"""Exercise 6: the backward pass, to be explained.

Lesson 6 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 06_backprop_explain.py

Question 1: Step 6.3 prints these derivatives of the loss, for one example and beta = 1.

    dmu_recon              -0.157049  =   -0.157049        within 1e-12   holds
    dmu_kl                  0.844668  =    0.844668        within 1e-12   holds
    dmu                     0.687619  =    0.687619        within 1e-12   holds

    a  dmu is the sum of the two others because the loss depends on mu along two paths.
    b  A small step of gradient descent on mu makes recon larger.
    c  mu is 0.844668.
    d  At the mu where the loss is smallest, all three are 0.

Question 2: Step 6.10 adds up exp(-recon) over all pictures, for two losses that both pass the
gradient check.

    sum over pixels         1.000000  =    1.000000        within 1e-12   holds
    mean over pixels       30.309118 !=    1.000000        by 29.309      holds

    a  The mean over pixels is not -log p(x|z) of any distribution over the pictures.
    b  A gradient check with a smaller step would tell the two losses apart.
    c  Added to the same KL, both losses have their minimum at the same weights.
    d  exp(-recon) of the loss with the sum is a probability.
"""

EXPLAIN = 6  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: "abc",
    2: "ad",
}
