"""Models: their configuration, their files, the recipes and weights that come with the package."""
