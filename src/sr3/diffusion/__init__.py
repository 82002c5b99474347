"""Noise levels, networks that have been told what they predict, and the walks from noise to pictures."""
