"""What a run of internal learning makes of photographs it is given."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_metagan import photograph_models, pictures
from tf_metagan.core import rng
from tf_metagan.gan import pyramid, single_image
from tf_metagan.photograph_loading import Photograph
from tf_metagan.photograph_models import Finetuning
from tf_metagan.trained_runs import Run

_PUBLISHED_WIDTH = 250
_BLUR = 5.0
_WALK_TO_STAR = 0.1


def overview(
    run: Run, given: Sequence[Photograph], *, num_samples: int, seed: int
) -> np.ndarray:
    """Draw a row for each photograph: itself, reconstruction, samples.

    Returns:
      uint8 [height, width, 3].
    """
    rows = []
    for number, shown in enumerate(given):
        model = photograph_models.model_of(run, shown.image)
        root = rng.make_seed(seed, number)
        samples = model.sample_in_parts(root, num_samples)
        rebuilt = model.reconstruct().numpy()
        rows.append((shown.image[np.newaxis], rebuilt, samples.numpy()))
    names = ("photograph", "reconstruction", "samples")
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pictures.grid(columns, [x.name for x in given])


def between(
    run: Run,
    first: np.ndarray,
    second: np.ndarray,
    *,
    strengths: Sequence[float],
    num_samples: int,
    first_scale: int,
    seed: int,
    space: str = "weights",
    how: Finetuning = photograph_models.NONE,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw from models between those of two photographs.

    Args:
      run: of internal learning.
      first: [H, W, C]; images have its size.
      second: [H', W, C].
      strengths: 0 for the first, 1 for the second.
      num_samples: images of each model.
      first_scale: coarser scales keep the weights of the first.
      seed: of the noise, the same for all.
      space: of the line between them: "weights", or "features" for embeddings,
        from which the weights are made then. With one linear layer per head
        both are the same.
      how: steps that both models take first.

    Returns:
      (reconstruction [1, H, W, C], samples [n, H, W, C]) of each strength.

    Raises:
      ValueError: see `check_space`.
    """
    check_space(run, space, how)
    game = run.algorithm.game
    own, other = map(photograph_models.finetuner(run, how), (first, second))

    def mix(strength):
        if space == "weights":
            return own.interpolated(other, strength, first=first_scale)
        shares = 1.0 - strength, strength
        vars = game.blend(run.vars, (first, second), shares)
        return own.interpolated(game.model(vars), 1.0, first=first_scale)

    @tf.function(autograph=False)
    def draw(strength):
        mixed = mix(strength)
        root = rng.make_seed(seed)
        return mixed.reconstruct(), mixed.sample(root, num_samples)

    return [
        tuple(x.numpy() for x in draw(tf.constant(t, own.amplitudes[0].dtype)))
        for t in strengths
    ]


def check_space(run: Run, space: str, how: Finetuning) -> None:
    """Refuse embeddings where weights are not made of them.

    Args:
      run: that models photographs.
      space: "weights" or "features".
      how: steps of fine-tuning.

    Raises:
      ValueError: the run has no embeddings, or weights change after them.
    """
    if space == "weights":
        return
    if run.algorithm.game.blend is None:
        raise ValueError(
            f"--space={space} makes weights of embeddings, and "
            f"--algo={run.settings.config.algo} has none. Use --space=weights."
        )
    if how.steps:
        raise ValueError(
            f"--space={space} makes weights of embeddings, and "
            f"--finetune_steps={how.steps} changes weights after that. Use "
            "--space=weights, or no such steps."
        )


def check_enlarges(run: Run, model: single_image.Model) -> None:
    """Refuse to enlarge by a generator that has no scale for it.

    Args:
      run: that the model is of.
      model: of a photograph.

    Raises:
      ValueError: the run is of a growing generator.
    """
    if not model.nets.enlarges:
        raise ValueError(
            f"--task=superres needs scales that draw images, and those of "
            f"--algo={run.settings.config.algo} pass on features. Use a run of "
            "--algo=singan or internal."
        )


def check_scale(run: Run, scale: int, *, least: int) -> None:
    """Refuse a scale that a run does not have.

    Args:
      run: that models photographs.
      scale: the first that is to draw, or whose weights are to be mixed.
      least: 1 where a picture has to come from a scale below, else 0.

    Raises:
      ValueError: there is no such scale.
    """
    count = pyramid.num_scales(run.vars.params)
    if not least <= scale < count:
        raise ValueError(
            f"--scale={scale} is no scale to begin with in a model of {count} "
            f"scales; expected {least} to {count - 1}. Small ones change more."
        )


def check_random_from(run: Run, random_from: int) -> None:
    """Refuse a first scale with noise that a run does not have.

    Args:
      run: that models photographs.
      random_from: the first scale with noise.

    Raises:
      ValueError: there is no such scale, and all images would be the same.
    """
    count = pyramid.num_scales(run.vars.params)
    if random_from >= count:
        raise ValueError(
            f"--random_from={random_from} leaves no scale with noise in a "
            f"model of {count} scales; expected 0 to {count - 1}. Draw the "
            "photograph itself with --task=reconstruct."
        )


def injected(
    run: Run,
    model: single_image.Model,
    edited: np.ndarray,
    *,
    scale: int,
    mask: np.ndarray | None = None,
    radius: float = 0.0,
) -> np.ndarray:
    """Let the model of a photograph draw an edited picture again.

    Args:
      run: of internal learning.
      model: of the photograph.
      edited: [H, W, C] of the photograph's size.
      scale: the first that draws, 1 or more.
      mask: [H, W], above 0 where the picture was edited; None takes what is
        drawn everywhere.
      radius: by which the mask grows, in pixels of a width of 250.

    Returns:
      [H, W, C]: mask * drawn + (1 - mask) * edited, the mask with soft edges.
    """
    drawn = model.inject(tf.constant(edited)[tf.newaxis], scale)[0].numpy()
    if mask is None:
        return drawn
    share = run.settings.config.image_size / _PUBLISHED_WIDTH
    soft = soften(mask, radius=radius * share, blur=_BLUR * share)[..., None]
    return soft * drawn + (1.0 - soft) * edited


def soften(mask: np.ndarray, *, radius: float, blur: float) -> np.ndarray:
    """Grow a mask by a disk, blur it, and bring it to 0 .. 1.

    Args:
      mask: [H, W]; above 0 is inside.
      radius: of the disk in pixels.
      blur: standard deviation of the Gaussian in pixels.

    Returns:
      [H, W] float32.

    Source: SinGAN's harmonisation (radius 7) and editing (radius 20), blur 5.
    """
    inside = mask > 0
    reach = int(radius)
    height, width = mask.shape
    wide = np.pad(inside, reach)
    grown = np.zeros_like(inside)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx <= radius * radius:
                y, x = reach + dy, reach + dx
                grown |= wide[y : y + height, x : x + width]
    soft = grown.astype(np.float32)
    if blur > 0.0:
        half = max(1, int(4 * blur + 0.5))
        bell = np.exp(-0.5 * (np.arange(-half, half + 1) / blur) ** 2)
        bell /= bell.sum()
        for axis in (0, 1):
            soft = np.apply_along_axis(
                lambda line: np.convolve(
                    np.pad(line, half, "edge"), bell, "valid"
                ),
                axis,
                soft,
            )
    low, high = soft.min(), soft.max()
    if high > low:
        soft = (soft - low) / (high - low)
    return soft.astype(np.float32)


def walk(
    model: single_image.Model,
    *,
    frames: int,
    smoothness: float,
    random_from: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """Yield the frames [H, W, C] of a random walk through the noise.

    z_t = a z* + (1 - a) (z_{t-1} + b (z_{t-1} - z_{t-2}) + (1 - b) u_t),
    a = 0.1, u_t ~ N(0, I), with 0 for z* above the coarsest scale.

    Args:
      model: of a photograph.
      frames: how many.
      smoothness: b; 0.8 to 0.95.
      random_from: scales before it stand still.
      seed: equal seeds give equal walks.

    Source: SinGAN's animation.
    """
    count = len(model.weights)
    rests = model.rests()
    moving = range(min(random_from, count), count)
    root = rng.make_seed(seed)
    render: Callable = tf.function(
        lambda noises: model.render(noises), autograph=False
    )

    def fresh(frame, scale):
        return model.noise(rng.fold(root, frame), 1, scale)

    def rest(scale):
        still = rests[scale]
        return tf.zeros_like(fresh(0, scale)) if still is None else still

    before = {i: rest(i) for i in moving}
    now = {i: 0.95 * before[i] + 0.05 * fresh(0, i) for i in moving}
    for frame in range(1, frames + 1):
        a, b = _WALK_TO_STAR, smoothness
        following = {
            i: a * rest(i)
            + (1 - a)
            * (now[i] + b * (now[i] - before[i]) + (1 - b) * fresh(frame, i))
            for i in moving
        }
        before, now = now, following
        yield render([now.get(i, rests[i]) for i in range(count)])[0].numpy()
