"""Exercise 8: what an autoencoder lacks, to be explained.

Lesson 8 prints the rows below. Write down in ANSWERS which of the statements are true, as in
1: "ac"; "" if none is.  Then, as often as you like:

    tinyvae check 08_autoencoder_explain.py

Question 1: Step 8.3 fits a Gaussian N(m, S) to the codes of a VAE and of an autoencoder, and
prints KL( N(m, S) || N(0, I) ).

    2 dims: VAE, AE            0.229  <   21.972           by 21.743      holds

    a  Draws z ~ N(0, I) often lie where the autoencoder's decoder was not trained.
    b  The autoencoder must redraw digits worse than the VAE.
    c  Were this KL 0, the codes would be distributed as N(0, I).
    d  Moving and scaling the autoencoder's codes, and undoing that in its decoder, brings its KL
       to 0 and leaves its loss as it is.

Question 2: Step 8.7 prints the share of draws that decode to near any digit, in 10 dimensions.

    AE, N(0, I)      4.1%
    AE, N(m, S)     81.4%
    VAE, N(0, I)    81.0%

    a  The autoencoder's decoder cannot make digits.
    b  Drawn from a Gaussian fitted to its codes, the autoencoder makes digits about as often as the
       VAE does from its prior.
    c  The VAE needs no fit after its training to be drawn from.
    d  The rows show that the autoencoder gives the test digits a higher log p(x).
"""

EXPLAIN = 8  # tells `tinyvae check` which questions these are

ANSWERS = {
    1: "ad",
    2: "bc",
}
