"""k-means on the tokens of single images: what slots are compared with."""

import warnings

import numpy as np
from scipy.cluster.vq import kmeans2

STARTS, ROUNDS = 5, 30


def k_means(features, index, count):
    """The best of several starts for each image alone, on the host: -> assignment (B, N) int32.

    features (B, N, C) float32, index (B,) the images' numbers, which decide the starts.
    """
    found = np.zeros(features.shape[:2], np.int32)
    for row, points, number in zip(found, np.asarray(features), np.asarray(index)):
        runs = [cluster(points, count, (int(number), start)) for start in range(STARTS)]
        row[:] = min(runs, key=lambda run: run[1])[0]
    return found


def cluster(points, count, seed):
    """One run of k-means from a k-means++ start: (N, C) -> assignment (N,), its objective."""
    generator = np.random.default_rng(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a cluster is empty
        centres, assignment = kmeans2(points, count, ROUNDS, minit="++", seed=generator)
    return assignment, np.square(points - centres[assignment]).sum()
