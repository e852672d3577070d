"""A frozen backbone without weights: smooth colours, and where each coloured region lies."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.models.backbone import split_patches


def opponent_colours(images):
    """Brightness (weak) and two ratios that shading changes little.

    images (B, H, W, 3) float32, ImageNet-normalised -> (B, H, W, 3) float32.
    """
    rgb = images * 0.226 + 0.449  # to the range 0 ... 1
    brightness = rgb.mean(-1, keepdims=True)
    red, green, blue = jnp.split(rgb, 3, -1)
    ratios = jnp.concatenate([red - green, (red + green) / 2 - blue], -1)
    ratios = 1.5 * ratios / (brightness + 0.05)
    return jnp.concatenate([1.3 * (brightness - 0.45), ratios], -1)


def fourier_features(points, key, width, bandwidth):
    """Random Fourier features (Rahimi and Recht 2007): (..., dimensions) -> (..., width)."""
    frequency_key, phase_key = jax.random.split(key)
    frequencies = bandwidth * jax.random.normal(frequency_key, (points.shape[-1], width))
    phases = jax.random.uniform(phase_key, (width,), maxval=2 * jnp.pi)
    return 2**0.5 * jnp.cos(points @ frequencies + phases)


class PatchColours(nn.Module):
    """Colour and position of each patch, averaged over nearby patches of similar colour.

    images (B, H, W, 3) float32, ImageNet-normalised -> features (B, h, w, C) float32.

    Stands in for a trained backbone where none can be downloaded. Fourier features of every
    pixel's colour are averaged over its patch, Fourier features of the patch's position are put
    beside them, and a few rounds of attention among nearby patches, with weights from colour
    alone, make both nearly constant inside a region of one colour. So the features say what a
    region looks like and where it lies as a whole, as a trained transformer's do; position that
    varied inside regions would let slots cut the image into fixed parts. Nothing is learnt and
    nothing is stored: the frequencies come from fixed keys.
    """

    width: int = 32  # C
    patch_size: int = 8  # pixels, even
    position_width: int = 12  # features of C that tell the position
    position_scale: float = 0.6  # their size beside the colour's
    rounds: int = 5  # of smoothing
    reach: float = 3.0  # patches, deviation of the neighbourhood
    sharpness: float = 20.0  # of the weights, per unit of cosine similarity

    @nn.compact
    def __call__(self, images):
        batch, height, width, _ = images.shape
        _, (h, w) = split_patches(images, self.patch_size)  # refuses sizes that do not fit
        halved = images.reshape(batch, height // 2, 2, width // 2, 2, 3).mean((2, 4))
        patches, _ = split_patches(opponent_colours(halved), self.patch_size // 2)
        pixels = patches.reshape(batch, h * w, -1, 3)
        num_colours = self.width - self.position_width
        colours = fourier_features(pixels, jax.random.key(0), num_colours, 1.0).mean(2)
        rows, columns = jnp.divmod(jnp.arange(h * w), w)
        places = jnp.stack([(rows + 0.5) / h, (columns + 0.5) / w], -1)
        where = fourier_features(places, jax.random.key(1), self.position_width, 3.0)
        where = jnp.broadcast_to(self.position_scale * where, (batch, *where.shape))
        features = jnp.concatenate([colours, where], -1)
        distance = jnp.square(rows[:, None] - rows) + jnp.square(columns[:, None] - columns)
        nearby = -distance / (2 * self.reach**2)  # (N, N)
        for _ in range(self.rounds):
            features = self.smooth(features, num_colours, nearby)
        return features.reshape(batch, h, w, self.width)

    def smooth(self, features, num_colours, nearby):
        """Average over nearby patches of similar colour: (B, N, C) -> (B, N, C)."""
        colours = features[..., :num_colours]
        colours = colours / jnp.linalg.norm(colours, axis=-1, keepdims=True)
        similarity = jnp.einsum("bnc,bmc->bnm", colours, colours) - 1
        weights = nn.softmax(self.sharpness * similarity + nearby, axis=-1)
        return jnp.einsum("bnm,bmc->bnc", weights, features)
