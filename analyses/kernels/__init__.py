"""Numbers from numbers: numpy alone. Core axes come last, and new axes are put last."""
