"""Internal learning in PyTorch has the sizes of the library's."""

import sys

import numpy as np
import pytest

from benchmarks import internal_step
from tf_metagan import assembly, settings
from tf_metagan.config import Config
from tf_metagan.gan import scale_sizes

SMALL = internal_step.Sizes(
    batch=2, image=24, smallest=20, width=4, features=8, rank=4, embedded=32
)


@pytest.mark.parametrize("sizes", [internal_step.Sizes(), SMALL])
def test_scales_are_those_of_the_library(sizes):
    widths = scale_sizes.widths(
        sizes.image,
        smallest_size=sizes.smallest,
        scale_factor=internal_step.FACTOR,
        pyramid_sizes="exact",
    )
    found = scale_sizes.sizes(3 * sizes.image // 4, widths)
    assert internal_step.scales(sizes) == found


def test_both_sides_learn_as_many_numbers():
    pytest.importorskip("torch")
    from benchmarks import torch_internal

    chosen = settings.Settings(
        Config, [(internal_step.settings_of(SMALL), True)]
    )
    rule = assembly.make_algorithm(assembly.with_algorithm_defaults(chosen))
    vars = rule.init(0)
    scales = internal_step.scales(SMALL)
    for _ in scales[1:]:
        vars = rule.next_phase(vars)
    for player, last, count in (("d", 1, 1), ("g", 3, len(scales))):
        net = torch_internal.Player(SMALL, last=last, scales=count)
        theirs = sum(x.numel() for x in net.parameters())
        ours = sum(int(np.prod(x.shape)) for x in vars.params[player].values())
        assert ours == theirs


def test_library_is_timed_at_the_finest_scale(monkeypatch):
    taken = []

    class Learner:
        def step(self, tasks):
            assert tasks.support.shape == (2, 1, 1, 18, 24, 3)
            assert len(set(map(tuple, tasks.seed.numpy().tolist()))) == 2
            taken.append(tasks)
            return {}

    def make(settings, rule, strategy):
        last = len(internal_step.scales(SMALL)) - 1
        assert rule.phases()[-1] == last
        return Learner()

    monkeypatch.setattr(assembly, "make_learner", make)
    step = internal_step.tensorflow_step(SMALL)
    assert len(taken) == len(internal_step.scales(SMALL)) - 1
    step()
    assert len(taken) == len(internal_step.scales(SMALL))


@pytest.mark.parametrize("side", ["torch_loop", "torch_grouped"])
def test_what_learns_changes_and_frozen_heads_do_not(side, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_internal

    made = []

    class Watched(torch_internal.Player):
        def __init__(self, *args, **sizes):
            super().__init__(*args, **sizes)
            made.append(self)

    monkeypatch.setattr(torch_internal, "Player", Watched)
    step = internal_step.SIDES[side](SMALL)
    g, d = made
    frozen = tuple(f"scales.{i}." for i in range(len(g.scales) - 1))
    # What is added to all scores has no slope.
    without = {g: frozen, d: ("scales.0.heads.18.", "scales.0.heads.19.")}
    before = {
        player: {name: x.clone() for name, x in player.state_dict().items()}
        for player in made
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    step()
    torch.set_num_threads(threads)
    for player, old in before.items():
        for name, x in player.state_dict().items():
            if player is g or not name.startswith(without[d]):
                same = torch.equal(x, old[name])
                assert same == name.startswith(without[player]), name


def test_two_forms_in_pytorch_draw_alike():
    torch = pytest.importorskip("torch")
    from benchmarks import torch_internal

    torch.manual_seed(0)
    heads = torch_internal.Heads(SMALL, 3)
    weights = heads(torch.randn(2, SMALL.features))
    images = torch.randn(2, 3, 3, 20, 24)
    together = torch_internal._stack(weights, images, grouped=True)
    alone = torch_internal._stack(weights, images, grouped=False)
    assert together.shape == (2, 3, 3, 10, 14)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_command_line_prints_all_sides(monkeypatch, capsys):
    def race(module, sizes, sides, rounds):
        assert (sizes.batch, rounds) == (3, 2)
        yield from ((side, 1.0, 0.5) for side in sides)

    monkeypatch.setattr(internal_step.one_thread, "race", race)
    internal_step.main(["--batch=3", "--rounds=2"])
    out = capsys.readouterr().out
    assert "library: 1.000 s wall, 0.500 s CPU per meta-step" in out
    assert out.count("\n") == 3


def test_sides_live_in_processes_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "steps.py").write_text(
        "import sys\n"
        "from typing import NamedTuple\n"
        "from benchmarks import one_thread\n"
        "class Sizes(NamedTuple):\n"
        "    n: int = 1\n"
        "def make(sizes):\n"
        "    return lambda: sum(range(1000 * sizes.n))\n"
        "SIDES = {'a': make, 'b': make}\n"
        "if __name__ == '__main__':\n"
        "    one_thread.command('steps', Sizes(), SIDES, None)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import steps

    path = ":".join(p for p in sys.path if p)
    monkeypatch.setenv("PYTHONPATH", path)
    found = list(
        internal_step.one_thread.race("steps", steps.Sizes(3), steps.SIDES, 2)
    )
    assert [side for side, *_ in found] == ["a", "b"]
    assert all(wall > 0.0 for _, wall, _ in found)
