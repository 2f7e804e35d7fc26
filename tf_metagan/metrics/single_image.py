"""How well the GAN of one photograph does, without any trained network."""

from typing import Any

import numpy as np

from tf_metagan.metrics import swd

_LUMINANCE = np.array([0.299, 0.587, 0.114])
_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16.0
_PEAK = 2.0  # images are in [-1, 1]
_WINDOW, _SIGMA = 11, 1.5


def patch_swd(
    real: Any,
    fakes: Any,
    *,
    levels: int = 3,
    patch: int = 7,
    patches: int = 4096,
    projections: int = 256,
    seed: int = 0,
) -> list[float]:
    """Compare patches of Laplacian pyramids by sliced Wasserstein distance.

    Args:
      real: [H, W, C], the photograph.
      fakes: [n, H', W', C], samples of any size.
      levels: of the pyramid, fine to coarse, each half as large; the last is
        what remains.
      patch: side of a patch in pixels.
      patches: drawn from each side on each level.
      projections: see `swd.sliced_wasserstein`.
      seed: of patches and projections.

    Returns:
      The distance on each level, in units of pixels. Patches of the photograph
      itself are apart by more than 0; compare with them.

    Raises:
      ValueError: an image is too small for the levels.

    Source: Karras et al. (2018), section 5.
    Differs: they normalise each channel of the patches and multiply by 1000;
      a photograph's own contrast is part of what is compared here.
    """
    real, fakes = (np.asarray(x, np.float64) for x in (real, fakes))
    smallest = min(*real.shape[:2], *fakes.shape[1:3])
    for _ in range(levels - 1):
        smallest = (smallest + 1) // 2
    if smallest < patch:
        raise ValueError(
            f"images of {real.shape[:2]} and {fakes.shape[1:3]} pixels are "
            f"{smallest} pixels on level {levels}; expected at least the "
            f"patch, {patch}. Take fewer levels or a smaller patch."
        )
    generator = np.random.default_rng(seed)
    return [
        swd.sliced_wasserstein(
            patches_of(a, patch, patches, generator),
            patches_of(b, patch, patches, generator),
            projections=projections,
            seed=seed,
        )
        for a, b in zip(
            laplacian(real[np.newaxis], levels),
            laplacian(fakes, levels),
            strict=True,
        )
    ]


def laplacian(images: np.ndarray, levels: int) -> list[np.ndarray]:
    """Return the levels of the Laplacian pyramids of [n, H, W, C].

    A level is what smoothing takes from an image; what is left, every second
    pixel of it, is the image of the next level, and the last level. Sizes are
    halved, rounded up.

    Source: Burt and Adelson (1983), with the binomial filter.
    Differs: they subtract the next level enlarged again, so that the image can
      be put together from the levels; here it is subtracted before every second
      pixel is dropped.
    """
    found = []
    for _ in range(levels - 1):
        smooth = _blur(images)
        found.append(images - smooth)
        images = smooth[:, ::2, ::2]
    return [*found, images]


def pixel_diversity(fakes: Any, real: Any) -> float:
    """Return how much samples differ, relative to the photograph's contrast.

    The standard deviation of each pixel's grey value over the samples, averaged
    over pixels, divided by that of the photograph's grey values.

    Args:
      fakes: [n, H, W, C], n >= 2.
      real: [H, W, C].

    Returns:
      0 where all samples are equal.

    Raises:
      ValueError: fewer than two samples, or a photograph of one grey.

    Source: SinGAN, section 4.1 (with n = 100 there).
    """
    fakes, real = _grey(fakes), _grey(real)
    contrast = np.ptp(real)
    if len(fakes) < 2 or contrast == 0.0:
        raise ValueError(
            f"{len(fakes)} samples of a photograph with contrast "
            f"{contrast:.3g} tell no diversity; expected at least two and "
            "more than one grey. Draw more samples, or take another photograph."
        )
    return float(fakes.std(axis=0).mean() / real.std())


def psnr(a: Any, b: Any) -> float:
    """Return 10 log10(4 / mean((a - b)^2)) in dB, of images in [-1, 1].

    Args:
      a: [H, W, C].
      b: of the same shape.

    Returns:
      inf for equal images.
    """
    error = np.mean(np.square(np.asarray(a, np.float64) - np.asarray(b)))
    if error == 0.0:
        return float("inf")
    return float(10.0 * np.log10(_PEAK**2 / error))


def ssim(a: Any, b: Any) -> float:
    """Return the mean structural similarity of two images in [-1, 1].

    Gaussian windows of 11 x 11 pixels and deviation 1.5 that lie inside of the
    image; K1 = 0.01, K2 = 0.03; the mean over places and channels.

    Args:
      a: [H, W, C], at least 11 x 11 pixels.
      b: of the same shape.

    Raises:
      ValueError: the images are smaller than the window.

    Source: Wang et al. (2004).
    """
    a, b = (np.asarray(x, np.float64) for x in (a, b))
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(
            f"an image of {a.shape[0]} x {a.shape[1]} pixels is smaller than "
            f"the window of {_WINDOW} x {_WINDOW}. Compare larger images."
        )
    place = np.arange(_WINDOW) - _WINDOW // 2
    bell = np.exp(-0.5 * (place / _SIGMA) ** 2)
    bell /= bell.sum()

    def mean(x):
        return _filter(_filter(x, bell, 0), bell, 1)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2
    similar = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    similar /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(similar.mean())


def _filter(x: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Convolve along an axis, where the filter lies inside of the image."""
    count = x.shape[axis] - len(taps) + 1
    total = np.zeros(())
    for offset, tap in enumerate(taps):
        total = total + tap * np.take(
            x, range(offset, offset + count), axis=axis
        )
    return total


def _blur(images: np.ndarray) -> np.ndarray:
    """Smooth [n, H, W, C] by the binomial filter, mirrored at borders."""
    margin = len(_BINOMIAL) // 2
    border = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    wide = np.pad(images, border, mode="reflect")
    return _filter(_filter(wide, _BINOMIAL, 1), _BINOMIAL, 2)


def patches_of(
    images: np.ndarray, side: int, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw patches of [n, H, W, C] as rows [count, side side C]."""
    n, height, width, _ = images.shape
    which = generator.integers(n, size=count)
    top = generator.integers(height - side + 1, size=count)
    left = generator.integers(width - side + 1, size=count)
    inside = np.arange(side)
    rows = (top[:, None] + inside)[:, :, None]
    columns = (left[:, None] + inside)[:, None, :]
    return images[which[:, None, None], rows, columns].reshape(count, -1)


def _grey(images: Any) -> np.ndarray:
    images = np.asarray(images, np.float64)
    if images.shape[-1] == 1:
        return images[..., 0]
    return images @ _LUMINANCE
