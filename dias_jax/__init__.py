"""DIAS: object discovery by slot attention with re-initialisation and self-distillation, in JAX.

Axis letters used in every shape comment of the package:
  B batch, F frames, H W image, h w token grid, N = h * w tokens, S slots, T iterations,
  C feature width, D slot width, G ground-truth masks, P = H * W pixels.
"""
