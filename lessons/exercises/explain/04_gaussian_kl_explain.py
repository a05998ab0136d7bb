"""Exercise 4: the KL divergence of two Gaussians, to be explained.

Lesson 4 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 04_gaussian_kl_explain.py

Question 1: Step 4.8 moves a bracket of the formula to where it does not belong, and calls the
result "before". These are two of its rows; the second is of another pair q, p.

    KL(q || q), before      0.000000  =    0.000000        within 1e-12   holds
    before, 0              -0.579442  <    0.000000        by 0.5794      holds

    a  A wrong formula can give 0 for q = p.
    b  The KL of two Gaussians may be negative if their covariances are proportional.
    c  The second row alone proves that the formula "before" is not a KL.
    d  In one dimension both formulas give the same numbers.

Question 2: Step 4.12 prints KL(q || p) and KL(p || q) of two Gaussians.

    the two directions      2.170239 !=    6.893267        by 4.723       holds

    a  The KL is a distance: this row shows a mistake of rounding.
    b  One of the numbers is an estimate, and more draws would bring them together.
    c  For q = p both numbers would be 0.
    d  For equal covariances and different means the two numbers would be equal.
"""

EXPLAIN = 4  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: None,
    2: None,
}
