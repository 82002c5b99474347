"""Training: pictures, the trainer, and what a run shows."""
