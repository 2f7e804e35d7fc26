"""How many operations a meta-step takes, counted by hand."""

from benchmarks import Workload

# {algorithm: (forward passes of the critic, of the generator)} per image.
_SECOND_ORDER = (66, 21)
_PASSES = {
    "reptile": (10, 3),
    "fomaml": (20, 6),
    "maml": _SECOND_ORDER,
    "metasgd": _SECOND_ORDER,
}


def flops(work: Workload) -> float:
    """Return the operations of a meta-step's convolutions and products.

    With F_G and F_D for one sample's forward pass, an inner step with WGAN-GP
    costs 10 F_D + 3 F_G per image and its outer loss as much again; in maml and
    metasgd the adjoints of both players 2 (18 F_D + 6 F_G), and computing a
    step once more another 10 F_D + 3 F_G. Two operations for a multiplication
    and addition.
    """
    w, side = work.width, 7
    f_d = 2 * (14 * 14 * 16 * w + side * side * 16 * w * 2 * w)
    f_d += 2 * side * side * 2 * w
    f_g = 2 * 64 * side * side * 2 * w
    f_g += 2 * (side * side * 16 * 2 * w * w + 14 * 14 * 16 * w)
    times_d, times_g = _PASSES[work.algo]
    per_image = times_d * f_d + times_g * f_g
    return float(per_image * work.steps * work.tasks * work.batch)
