"""The classic mistakes, by kind: what they are, planting them, the quiz."""
