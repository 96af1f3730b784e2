"""Nets for grids of one axis: every length, seams, folding, and a wave that is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small import assert_inside, learn, points, serving
from torch import nn

from karat import nets
from karat import recipe as recipes
from karat.errors import FitError
from karat.families import gan, vae
from karat.families.generator import Learned
from karat.nets.line import LineDecoder, LineEncoder
from karat.nets.spectral import SpectralCritic, SpectralDecoder, decibels
from karat.space import Grid
from karat.synthesizer import building

LENGTHS = [1, 3, 16, 100, 513, 4096, 8192, 22_051]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_length_goes_in_and_comes_out(length: int) -> None:
    space, x = Grid(2, (length,)), torch.randn(4, 2, length)
    assert nets.encoder(space, 5, width=4, hidden=8)(x).shape == (4, 5)
    assert nets.critic(space, 3, width=4)(x).shape == (4, 3)
    scores = nets.patch_critic(space, 3, width=4)(x)
    assert scores.shape[:2] == (4, 3) and scores.shape[2] > 1
    z = torch.randn(4, 6)
    assert nets.decoder(space, 6, width=4, hidden=8)(z).shape == x.shape
    assert nets.generator(space, 6, width=4)(z).shape == x.shape
    denoised = nets.denoiser(space, width=16, depth=1, conditions=2)(x, torch.rand(4), torch.tensor([0, 1, 2, 0]))
    assert denoised.shape == x.shape


def test_lines_are_drawn_by_convolutions_and_not_by_a_flat_net() -> None:
    assert isinstance(nets.encoder(Grid(1, (64,)), 2, width=4, hidden=4), LineEncoder)
    assert isinstance(nets.generator(Grid(1, (64,)), 2, width=4), LineDecoder)


def test_long_lines_are_judged_and_generated_by_their_spectra() -> None:
    assert isinstance(nets.critic(Grid(1, (8192,)), 2, width=4), SpectralCritic)
    assert isinstance(nets.generator(Grid(1, (8192,)), 2, width=4), SpectralDecoder)


def test_levels_are_seen_at_the_right_frequency_and_a_phase_is_not() -> None:
    x = torch.sin(2 * torch.pi * 20 / 512 * torch.arange(4096) + torch.tensor([[[0.0]], [[1.3]]]))
    seen = decibels(x, 512, 128)
    assert seen.shape == (2, 1, 256, 32) and (seen[:, 0, :, 4:-4].argmax(1) == 19).all()
    assert float((seen[0, 0, 19, 4:-4] - seen[1, 0, 19, 4:-4]).abs().max()) < 1e-3
    assert float(decibels(torch.zeros(1, 1, 512), 128, 64).max()) > -1.01, "silence is finite"


def test_a_vae_of_long_lines_minds_levels_and_no_phases() -> None:
    space, rng = Grid(1, (8192,)), torch.Generator().manual_seed(0)
    assert nets.views(Grid(1, (1024,))) is None and nets.views(Grid(1, (64, 64))) is None
    model = vae.Model(space, 0, vae.Config(latent=4, width=4, hidden=8))
    phase = 2 * torch.pi * torch.rand(3, 1, 1, generator=rng)
    x, shifted, other = (
        0.5 * torch.sin(2 * torch.pi * pitch / 512 * torch.arange(8192) + by)
        for pitch, by in ((20, phase), (20, phase + 2), (31, phase))
    )
    near, far = (float(model._nll(torch.atanh(made), x)) for made in (shifted, other))
    assert near < far - 4096, "half a nat for each number"
    assert nets.encoder(space, 5, width=4, hidden=8)(torch.zeros(2, 1, 8192)).isfinite().all(), "silence"


def test_a_tone_of_one_direction_goes_on_from_frame_to_frame() -> None:
    """The same level and direction everywhere in one row is a sine without seams."""
    made = SpectralDecoder(1, 4096, 2, 4)

    class Tone(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            out = torch.full((len(z), 4 * made.fine, 64, made.frames), -99.0)
            out[:, 0, 10], out[:, made.fine] = 1.0, 1.0
            out[:, 2 * made.fine] = 0.0
            return out

    made.net = Tone()  # type: ignore[assignment]
    wave = made(torch.zeros(1, 2))[0, 0, 128:-128]
    period = 2 * made.hop / (10 * made.fine + 1)
    t = torch.arange(len(wave)) * (2 * torch.pi / period)
    basis = torch.stack([t.sin(), t.cos()], 1)
    left = wave - basis @ torch.linalg.lstsq(basis, wave[:, None]).solution[:, 0]
    assert float(wave.std()) > 0 and float(left.std() / wave.std()) < 1e-3


GRIDS = [n for n in recipes.names() if Grid in recipes.module(recipes.load(n).family).Model.spaces]


@pytest.mark.parametrize(
    "name",  # gan is cgan without the classes
    [
        pytest.param(n, marks=pytest.mark.exam) if n == "gan" else n
        for n in GRIDS
        if "Codes" not in recipes.load(n).suits
    ],
)
def test_every_recipe_of_grids_learns_lines_keeps_them_and_makes_more(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = nets.refresh_norms
    monkeypatch.setattr(vae, "POINTS", 64)  # one pass over what there is
    monkeypatch.setattr(nets, "refresh_norms", lambda module, run, *_: refresh(module, run, 1))
    space = Grid(1, (4096,))
    least = {"gan": ["width=4", "critic_width=4"], "vae": ["width=4", "components=6", "iterations=2"], "diffusion": []}
    chosen = recipes.load(name, spaces=(space,))
    if "net" in chosen.model and chosen.model["net"] not in nets.architectures(space):
        with pytest.raises(FitError, match="cannot live"):
            building.build(chosen, space, 3, 0)
        return
    chosen = recipes.load(name, [f"model.{s}" for s in least[chosen.family]], spaces=(space,))
    made = building.build(chosen, space, 3, 0)
    assert isinstance(made, Learned)
    x, y = points(space, 32)
    learn(made, serving(x, y, 4), 3, size=4)
    path = tmp_path / "weights.safetensors"
    save_file(made.weights(), path)
    again = building.build(chosen, space, 3, 1)
    again.put(load_file(path))
    again.eval()
    one, two = (m.sample(5, None, torch.Generator().manual_seed(0)) for m in (made, again))
    assert_inside(space, one)
    assert torch.equal(one, two)


@pytest.mark.parametrize("length", [100, 4096])
@pytest.mark.parametrize("role", ["encoder", "decoder", "generator"])
def test_folding_the_norms_of_a_line_changes_nothing(role: str, length: int) -> None:
    space = Grid(2, (length,))
    torch.manual_seed(0)
    made = {
        "encoder": lambda: nets.encoder(space, 5, width=4, hidden=8),
        "decoder": lambda: nets.decoder(space, 6, width=4, hidden=8),
        "generator": lambda: nets.generator(space, 6, width=4),
    }[role]()
    x = torch.randn(16, *space.shape) if role == "encoder" else torch.randn(16, 6)
    for m in made.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            nn.init.normal_(m.weight, 1.0, 0.3)
            nn.init.normal_(m.bias, 0.0, 0.3)
    for _ in range(5):
        made(x)
    made.eval()
    with torch.no_grad():
        wanted = made(x.clone())
        folded = nets.fold(made)
        assert torch.allclose(folded(x.clone()), wanted, atol=1e-4)
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded.modules())


def test_a_line_is_moved_and_not_bent() -> None:
    x = torch.linspace(-1, 1, 64).expand(8, 1, 64)
    moved = nets.augment(x, Grid(1, (64,)), 1.0, torch.Generator().manual_seed(0))
    steps = moved.diff(dim=2)
    assert moved.shape == x.shape and not torch.equal(moved, x)
    assert ((steps.abs() < 1e-6) | ((steps - 2 / 63).abs() < 1e-6)).all()


def waves(n: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    """Sines of two pitches with a phase of their own, and which pitch [n] each has."""
    rng = torch.Generator().manual_seed(0)
    y = torch.randint(2, (n,), generator=rng)
    phase = 6.28 * torch.rand(n, 1, generator=rng)
    return 0.8 * torch.sin(torch.arange(128) * (0.2 + 0.2 * y[:, None]) + phase)[:, None], y


def test_a_wave_is_learned() -> None:
    x, y = waves()
    space = Grid(1, (128,))
    torch.manual_seed(0)
    model = vae.Model(space, 2, vae.Config(width=16, hidden=64, latent=8))
    learn(model, serving(x, y, 64), 120)
    made = model.sample(64, torch.arange(64) % 2, torch.Generator().manual_seed(0))[:, 0]
    loudest = torch.fft.rfft(made).abs()[:, 1:].argmax(1) + 1
    wanted = torch.where(torch.arange(64) % 2 == 0, 128 * 0.2 / 6.283, 128 * 0.4 / 6.283)
    assert ((loudest - wanted).abs() < 1).float().mean() > 0.9
    assert 0.3 < float(made.std()) < 0.8


def test_a_wave_is_forged_step_by_step() -> None:
    x, y = waves()
    torch.manual_seed(0)
    model = gan.Model(Grid(1, (128,)), 2, gan.Config(width=8, critic_width=8, latent=8))
    learn(model, serving(x, y, 32), 3)
    assert model.sample(4, None, torch.Generator().manual_seed(0)).isfinite().all()
