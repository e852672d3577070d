"""A frozen backbone without weights: smooth colours, and where each coloured region lies."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dias_jax.errors import UserError
from dias_jax.models.backbone import split_patches, token_grid


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


def patch_centres(h, w):
    """Centres of a grid's patches in sides of the image: -> (h * w, 2) float32, row first."""
    rows, columns = jnp.divmod(jnp.arange(h * w), w)
    return jnp.stack([(rows + 0.5) / h, (columns + 0.5) / w], -1)


def pool(tokens, h, w):
    """Means of 2 x 2 neighbours: (B, h * w, C) -> (B, h * w / 4, C)."""
    cells = tokens.reshape(len(tokens), h // 2, 2, w // 2, 2, -1).mean((2, 4))
    return cells.reshape(len(tokens), h * w // 4, -1)


class PatchColours(nn.Module):
    """Colour and position of each patch, averaged over nearby patches of similar colour.

    images (B, H, W, 3) float32, ImageNet-normalised -> features (B, h, w, C) float32; h and w even.

    Stands in for a trained backbone where none can be downloaded. Fourier features of every
    pixel's colour are averaged over its patch, Fourier features of the patch's position are put
    beside them. Attention among nearby cells of 2 x 2 patches, with weights from colour alone,
    makes both nearly constant inside a region of one colour, and every patch takes from the cells
    most like it. So position says where the region lies as a whole; position that varied inside
    regions would let slots cut the image into fixed parts. Half of the colour stays the patch's
    own, as the residual stream of a trained transformer keeps what is seen at its place. Nothing
    is learnt and nothing is stored: the frequencies come from fixed keys.

    A region is what is near and of one colour, or, if `connected`, what can be reached by many
    small steps between cells of one colour: two things of one colour are two regions then.
    """

    width: int = 32  # C
    patch_size: int = 8  # pixels, even
    position_share: float = 0.375  # of the C features, those that tell the position
    position_width: int = 12  # their smallest number
    position_scale: float = 0.6  # their size beside the colour's
    rounds: int = 4  # of smoothing among cells
    reach: float = 0.4  # sides of the image, deviation of the neighbourhood
    sharpness: float = 40.0  # of the weights, per unit of cosine similarity
    own_share: float = 0.5  # of a patch's colour that is not smoothed
    connected: bool = False  # regions; then these count instead of rounds, reach, sharpness
    doublings: int = 10  # of the walk's one step
    step: float = 0.72  # cells, deviation of a step
    step_sharpness: float = 80.0

    @property
    def num_colours(self):
        """How many features tell the colour; the others tell the position."""
        return self.width - max(self.position_width, round(self.position_share * self.width))

    @nn.compact
    def __call__(self, images):
        patches, (h, w) = self.describe_patches(images)  # (B, N, C)
        if h % 2 or w % 2:
            raise UserError(f"patch_colours needs an even number of patches a side, not {h}x{w}")
        places = patch_centres(h, w)
        cells, cell_places = pool(patches, h, w), pool(places[None], h, w)[0]
        if self.connected:
            cells = self.walk(cells, cell_places)
        else:
            for _ in range(self.rounds):
                cells = self.attend(cells, cell_places, cells, cell_places)
        smooth = self.attend(patches, places, cells, cell_places)
        own = self.own_share * (jnp.arange(self.width) < self.num_colours)
        features = own * patches + (1 - own) * smooth
        return features.reshape(-1, h, w, self.width)

    def describe_patches(self, images):
        """Mean colour features and position features: (B, H, W, 3) -> (B, N, C), (h, w)."""
        batch, height, width, _ = images.shape
        h, w = token_grid(images, self.patch_size)
        halved = images.reshape(batch, height // 2, 2, width // 2, 2, 3).mean((2, 4))
        patches = split_patches(opponent_colours(halved), self.patch_size // 2)
        pixels = patches.reshape(batch, h * w, -1, 3)
        colours = fourier_features(pixels, jax.random.key(0), self.num_colours, 1.0).mean(2)
        num_positions = self.width - self.num_colours
        where = fourier_features(patch_centres(h, w), jax.random.key(1), num_positions, 3.0)
        where = jnp.broadcast_to(self.position_scale * where, (batch, *where.shape))
        return jnp.concatenate([colours, where], -1), (h, w)

    def walk(self, cells, places):
        """Averages over where 2^doublings steps among the cells lead: (B, M, C) -> (B, M, C)."""
        weights = self.weigh(cells, places, cells, places)
        for _ in range(self.doublings):  # exactly, or the weights' sums would drift
            weights = jnp.matmul(weights, weights, precision=jax.lax.Precision.HIGHEST)
        return weights @ cells

    def attend(self, patches, places, cells, cell_places):
        """Averages of nearby cells of similar colour: (B, N, C), (B, M, C) -> (B, N, C)."""
        weights = self.weigh(patches, places, cells, cell_places)
        return jnp.einsum("bnm,bmc->bnc", weights, cells)

    def weigh(self, patches, places, cells, cell_places):
        """How much each patch takes from each cell: (B, N, C), (B, M, C) -> (B, N, M)."""
        reach, sharpness = self.reach, self.sharpness
        if self.connected:
            reach, sharpness = self.step / cells.shape[1] ** 0.5, self.step_sharpness
        query, key = self.colour_direction(patches), self.colour_direction(cells)
        similarity = jnp.einsum("bnc,bmc->bnm", query, key) - 1
        distance = jnp.square(places[:, None] - cell_places).sum(-1)  # (N, M)
        nearby = -distance / (2 * reach**2)
        return nn.softmax(sharpness * similarity + nearby, axis=-1)

    def colour_direction(self, features):
        """The colour part at unit length: (B, N, C) -> (B, N, colours)."""
        colours = features[..., : self.num_colours]
        return colours / jnp.linalg.norm(colours, axis=-1, keepdims=True)
