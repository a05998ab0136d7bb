"""Exercise 3: the evidence lower bound, to be explained.

Lesson 3 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 03_elbo_explain.py

Question 1: Step 3.6 prints this row, for a q that is close to the posterior. On the left stands
KL(q || p(z|x)), on the right KL(q || p(z)).

    close                   0.436970 !=    1.183240        by 0.7463      holds

    a  With this q the ELBO is 0.437 nats below log p(x).
    b  With this q the ELBO is 1.183 nats below log p(x).
    c  The number on the right can be computed only if p(x) is known.
    d  For q = p(z|x) the number on the left is 0, and that on the right need not be.

Question 2: Step 3.12 prints this table of a training, means over the digits, in nats.

    epoch    log p(x)     - gap    = ELBO
        0     -44.258     0.437   -44.695
       60     -24.873     0.131   -25.004

    a  The ELBO rose mainly because the gap became smaller.
    b  log p(x) of a digit rose by more than 19 nats.
    c  The gap is the mean of KL(q(z|x) || p(z|x)).
    d  With more epochs the gap can fall below 0.
"""

EXPLAIN = 3  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: "ad",
    2: "bc",
}
