"""Convolutions in which every task has kernels of its own.

Each is one product of matrices per task, in one batched operation: patches
times kernels. The transposed convolution is one of stride 1 whose channels are
the pixels between two strides, so that it costs as much as the convolution.
Patches take the area of a kernel over that of a stride times the memory of the
images: four times for 4x4 and stride 2, 25 times for 5x5 and stride 1.

No derivative is meant to be taken of these: they stand for operations of a
graph that has been differentiated before.
"""

from typing import NamedTuple

import tensorflow as tf

Pair = tuple[int, int]


class Window(NamedTuple):
    """How a kernel goes over images; always (along the rows, the columns).

    Attributes:
      size: of the kernel.
      strides: pixels from one place to the next.
      before: zeros put in front of the image.
      after: zeros put behind it.
    """

    size: Pair
    strides: Pair
    before: Pair
    after: Pair


def same(size: Pair, strides: Pair, image: Pair) -> Window:
    """Return the Window of "same" padding: image / stride places, rounded up.

    Args:
      size: of the kernel.
      strides: of the places.
      image: height and width.
    """
    missing = [
        max((-(-length // s) - 1) * s + k - length, 0)
        for length, k, s in zip(image, size, strides, strict=True)
    ]
    before = missing[0] // 2, missing[1] // 2
    after = missing[0] - before[0], missing[1] - before[1]
    return Window(size, strides, before, after)


def convolve(images, kernels, window: Window) -> tf.Tensor:
    """Convolve the images of each task with its kernels.

    Args:
      images: [N, B, H, W, C].
      kernels: [N, rows, columns, C, F].
      window: of the kernels.

    Returns:
      [N, B, h, w, F].
    """
    patches, places = _patches(images, window)
    found = tf.matmul(patches, _flat(kernels))
    return tf.reshape(found, [*_two(images), *places, kernels.shape[-1]])


def kernel_gradient(images, slopes, window: Window) -> tf.Tensor:
    """Return the gradient of `convolve` with respect to the kernels.

    Args:
      images: [N, B, H, W, C].
      slopes: [N, B, h, w, F], of the result.
      window: of the kernels.

    Returns:
      [N, rows, columns, C, F].
    """
    patches, _ = _patches(images, window)
    f = slopes.shape[-1]
    slopes = tf.reshape(slopes, [_one(slopes), -1, f])
    found = tf.matmul(patches, slopes, transpose_a=True)
    shape = [_one(images), *window.size, images.shape[-1], f]
    return tf.reshape(found, shape)


def image_gradient(kernels, slopes, window: Window, image: Pair) -> tf.Tensor:
    """Return the gradient of `convolve` with respect to the images.

    Pixel s m + r - p, for stride s, padding p and 0 <= r < s, is the sum over
    j of slopes[m - j] kernel[s j + r]: a convolution of stride 1 for each r.

    Args:
      kernels: [N, rows, columns, C, F].
      slopes: [N, B, h, w, F], of the result.
      window: of the kernels.
      image: H and W.

    Returns:
      [N, B, H, W, C].
    """
    axes = (0, 1)
    taps = [-(-window.size[i] // window.strides[i]) for i in axes]
    blocks = [
        -(-(image[i] + window.before[i]) // window.strides[i]) for i in axes
    ]
    c, f = kernels.shape[-2:]
    # [N, j, r, j', r', C, F], zeros where s j + r is beyond the kernel.
    kernels = tf.pad(
        kernels,
        [
            [0, 0],
            *([0, taps[i] * window.strides[i] - window.size[i]] for i in axes),
            [0, 0],
            [0, 0],
        ],
    )
    (a, b), (s, t) = taps, window.strides
    kernels = tf.reshape(kernels, [_one(kernels), a, s, b, t, c, f])
    kernels = tf.reverse(kernels, [1, 3])
    kernels = tf.transpose(kernels, [0, 1, 3, 6, 2, 4, 5])
    kernels = tf.reshape(kernels, [_one(kernels), a, b, f, s * t * c])
    found = convolve(
        slopes,
        kernels,
        Window(
            size=(a, b),
            strides=(1, 1),
            before=(a - 1, b - 1),
            after=tuple(blocks[i] - slopes.shape[2 + i] for i in axes),
        ),
    )
    found = tf.reshape(found, [-1, *blocks, s, t, c])
    found = tf.transpose(found, [0, 1, 3, 2, 4, 5])
    found = tf.reshape(found, [*_two(slopes), blocks[0] * s, blocks[1] * t, c])
    (top, left), (height, width) = window.before, image
    return found[:, :, top : top + height, left : left + width]


def _patches(images, window: Window):
    """Return ([N, B h w, rows columns C], (h, w))."""
    n, shape = _one(images), images.shape[2:]
    images = tf.reshape(images, [-1, *shape])
    pads = list(zip(window.before, window.after, strict=True))
    if any(map(any, pads)):
        images = tf.pad(images, [[0, 0], *pads, [0, 0]])
    found = tf.image.extract_patches(
        images,
        sizes=[1, *window.size, 1],
        strides=[1, *window.strides, 1],
        rates=[1, 1, 1, 1],
        padding="VALID",
    )
    return tf.reshape(found, [n, -1, found.shape[-1]]), found.shape[1:3]


def _flat(kernels):
    rows, columns, c, f = kernels.shape[1:]
    return tf.reshape(kernels, [_one(kernels), rows * columns * c, f])


def _one(x):
    """Return the number of tasks, when the graph is built if it is known."""
    return tf.shape(x)[0] if x.shape[0] is None else x.shape[0]


def _two(x):
    """Return the numbers of tasks and of images."""
    sizes = tf.shape(x)
    return [sizes[i] if x.shape[i] is None else x.shape[i] for i in (0, 1)]
