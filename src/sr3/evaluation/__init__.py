"""How good it is: measuring, comparing, choosing settings, and asking people."""
