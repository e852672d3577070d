"""What all drawn data sets have in common: splits of fixed sizes, seen as they are drawn."""

from dias_jax.errors import UserError


class Drawn:
    """The samples of one split, drawn at `size` pixels. Raises UserError on an unknown split.

    A subclass has a name and the sizes of its splits, and draws.
    """

    scenarios = ()

    def __init__(self, split, size=128, seed=0):
        if split not in self.split_sizes:
            known = ", ".join(self.split_sizes)
            raise UserError(f"{self.name} has no split {split!r}: choose one of {known}")
        self.split, self.size, self.seed = split, size, seed

    def training_view(self, sample, rng, data_config):
        """The sample as it is: image, mask."""
        return sample["image"], sample["mask"]

    def evaluation_view(self, sample, data_config):
        """The sample as it is: image, mask."""
        return sample["image"], sample["mask"]
