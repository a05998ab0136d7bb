"""Commands for who works on the project; the package imports none of them."""
