"""What the maintainers of the package run."""
