"""Everything that uses a model: restoring, generating, and doing without one for the task."""
