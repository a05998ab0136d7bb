"""Pages that compute by themselves: the explorer of a run, and two Gaussians to move."""
