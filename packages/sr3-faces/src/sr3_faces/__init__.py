"""Face models for sr3, which finds them by this package's entry point.  Non-commercial research only: see LICENSE."""
