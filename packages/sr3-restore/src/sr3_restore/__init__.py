"""Restoration models for sr3, which finds them by this package's entry point."""
