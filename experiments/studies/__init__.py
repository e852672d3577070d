"""Studies of trained models: ablation, baselines, curves; LOG.md says what was found."""
