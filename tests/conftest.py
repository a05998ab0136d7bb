"""Settings that every test shares."""

from hypothesis import settings

# One run of the suite is like another: no time limit per example, no examples remembered on disk.
settings.register_profile("tinyvae", deadline=None, derandomize=True, database=None)
settings.load_profile("tinyvae")
