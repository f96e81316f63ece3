"""What torch_tasks.py times, as plain PyTorch modules, batches first.

`Denoiser` and `Condition` are the cascade's own data denoiser, whose weights can be
copied. `Interpretable` has the parts, the size and the number of steps of Diffusion-TS
as its paper and configs state them for Stock; its weights are random.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# --- the cascade's data denoiser ------------------------------------------------------


class StepEmbedding(nn.Module):
    """t [B] -> [B, width]."""

    def __init__(self, width: int):
        super().__init__()
        self.first, self.second = nn.Linear(128, width), nn.Linear(width, width)
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(64) / 64)
        self.register_buffer("frequencies", frequencies)

    def forward(self, t):
        angles = t[:, None] * self.frequencies
        x = torch.cat([angles.sin(), angles.cos()], dim=-1)
        return F.silu(self.second(F.silu(self.first(x))))


class Residual(nn.Module):
    """x + gate * MLP((1 + scale) * LayerNorm(x) + shift), along features or time."""

    def __init__(self, width: int, step_width: int, expansion: int, *, along_time=0):
        super().__init__()
        size = along_time or width
        self.modulation = nn.Linear(step_width, 3 * width)
        self.first = nn.Linear(size, expansion * size)
        self.second = nn.Linear(expansion * size, size)
        self.along_time = bool(along_time)

    def forward(self, x, step):
        scale, offset, gate = self.modulation(step)[:, None].chunk(3, dim=-1)
        h = F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + offset
        h = h.transpose(1, 2) if self.along_time else h
        h = self.second(F.gelu(self.first(h), approximate="tanh"))
        return x + gate * (h.transpose(1, 2) if self.along_time else h)


class Denoiser(nn.Module):
    """x_theta with FiLM: (x_t [B, L, C], t [B] or [1], signal [B, T, W]) -> x_0."""

    def __init__(self, length, channels, *, patch, width, blocks, signal_width):
        super().__init__()
        self.length, self.channels, self.patch = length, channels, patch
        tokens = math.ceil(length / patch)
        self.step = StepEmbedding(width)
        self.input = nn.Linear(patch * channels, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.film = nn.ModuleList(
            nn.Linear(signal_width, 2 * width) for _ in range(blocks)
        )
        self.mixing = nn.ModuleList(
            Residual(width, width, 2, along_time=tokens) for _ in range(blocks)
        )
        self.mlp = nn.ModuleList(Residual(width, width, 4) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.output = nn.Linear(width, patch * channels)

    def forward(self, x_t, t, signal):
        step = self.step(t)
        missing = len(self.position) * self.patch - self.length
        tokens = F.pad(x_t, (0, 0, 0, missing)).flatten(1)
        x = tokens.unflatten(1, (len(self.position), -1))
        x = self.input(x) + self.position
        for film, mixing, mlp in zip(self.film, self.mixing, self.mlp, strict=True):
            scale, offset = film(signal).chunk(2, dim=-1)
            x = mlp(mixing(x * (1 + scale) + offset, step), step)
        x = self.output(self.norm(x)).flatten(1)
        return x.unflatten(1, (-1, self.channels))[:, : self.length]


class Condition(nn.Module):
    """F: r [B, d] -> [B, T, W]."""

    def __init__(self, latent_dim, *, tokens, width, layers):
        super().__init__()
        self.tokens = tokens
        self.input = nn.Linear(latent_dim, tokens * width)
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=1) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, r):
        x = self.input(r).unflatten(1, (self.tokens, -1)).transpose(1, 2)
        for conv in self.convs:
            x = x + conv(F.silu(x))
        return self.norm(x.transpose(1, 2))


def copy_weights(params, denoiser: Denoiser, condition: Condition) -> None:
    """Ours, as `data_stage` makes them, into the two modules."""

    def dense(layer, p):
        fill(layer.weight, p["kernel"].T)
        fill(layer.bias, p["bias"])

    def residual(block, p, inner):
        dense(block.modulation, p["Dense_0"])
        dense(block.first, inner["Dense_0"])
        dense(block.second, inner["Dense_1"])

    p = params["condition"]["params"]
    dense(condition.input, p["Dense_0"])
    for i, conv in enumerate(condition.convs):  # [tap, in, out] -> [out, in, tap]
        fill(conv.weight, np.transpose(p[f"Conv1D_{i}"]["kernel"], (2, 1, 0)))
        fill(conv.bias, p[f"Conv1D_{i}"]["bias"])
    fill(condition.norm.weight, p["LayerNorm_0"]["scale"])
    fill(condition.norm.bias, p["LayerNorm_0"]["bias"])
    p = params["denoiser"]["params"]
    dense(denoiser.step.first, p["StepEmbedding_0"]["Dense_0"])
    dense(denoiser.step.second, p["StepEmbedding_0"]["Dense_1"])
    dense(denoiser.input, p["Dense_0"])
    fill(denoiser.position, p["position"])
    for i, film in enumerate(denoiser.film):
        dense(film, p[f"Dense_{i + 1}"])
        mixing, mlp = p[f"TimeMixing_{i}"]["MLP_0"], p[f"MLP_{i}"]
        residual(denoiser.mixing[i], p[f"Residual_{2 * i}"], mixing)
        residual(denoiser.mlp[i], p[f"Residual_{2 * i + 1}"], mlp)
    fill(denoiser.norm.weight, p["LayerNorm_0"]["scale"])
    fill(denoiser.norm.bias, p["LayerNorm_0"]["bias"])
    dense(denoiser.output, p[f"Dense_{len(denoiser.film) + 1}"])


def fill(parameter, value) -> None:
    """Raises where the shapes differ."""
    assert parameter.shape == value.shape, (parameter.shape, value.shape)
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, np.float32)))


# --- a model of Diffusion-TS's size ---------------------------------------------------


class AdaNorm(nn.Module):
    """LayerNorm whose scale and shift are read off the step."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, x, step):
        scale, shift = self.linear(step)[:, None].chunk(2, dim=-1)
        return self.norm(x) * (1 + scale) + shift


class Attention(nn.Module):
    """Full multi-head attention, of x to itself or to another sequence."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (
            nn.Linear(width, width) for _ in range(4)
        )

    def forward(self, x, other=None):
        other = x if other is None else other

        def split(y):
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        y = F.scaled_dot_product_attention(
            split(self.query(x)), split(self.key(other)), split(self.value(other))
        )
        return self.out(y.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Attention and an MLP."""

    def __init__(self, width, heads):
        super().__init__()
        self.ada, self.norm = AdaNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp = mlp(width)

    def forward(self, x, step):
        x = x + self.attention(self.ada(x, step))
        return x + self.mlp(self.norm(x))


class DecoderBlock(nn.Module):
    """Two attentions, then a trend and a season are split off."""

    def __init__(self, length, channels, width, heads):
        super().__init__()
        self.ada_self, self.ada_cross = AdaNorm(width), AdaNorm(width)
        self.self_attention = Attention(width, heads)
        self.cross_attention = Attention(width, heads)
        self.split = nn.Conv1d(length, 2 * length, 1)
        self.to_powers = nn.Conv1d(length, 3, 3, padding=1)
        self.to_channels = nn.Conv1d(width, channels, 1)
        time = torch.arange(1, length + 1) / (length + 1)
        self.register_buffer("powers", torch.stack([time**p for p in (1, 2, 3)]))
        frequencies = torch.arange(1, length // 2)
        self.kept = max(1, int(math.log(len(frequencies))))
        angles = 2 * math.pi / length * frequencies[:, None] * torch.arange(length)
        self.register_buffer("angles", angles)
        self.mean = nn.Linear(width, channels)
        self.norm, self.mlp = nn.LayerNorm(width), mlp(width)

    def forward(self, x, memory, step):
        x = x + self.self_attention(self.ada_self(x, step))
        x = x + self.cross_attention(self.ada_cross(x, step), memory)
        to_trend, to_season = self.split(x).chunk(2, dim=1)
        trend = self.to_channels(self.to_powers(to_trend).transpose(1, 2))
        trend = (trend @ self.powers).transpose(1, 2)
        season = self.season(to_season)
        x = x + self.mlp(self.norm(x))
        mean = x.mean(dim=1, keepdim=True)
        return x - mean, self.mean(mean), trend, season

    def season(self, x):
        """The cosines of the largest amplitudes."""
        spectrum = torch.fft.rfft(x, dim=1)[:, 1 : len(self.angles) + 1]
        amplitude, index = spectrum.abs().topk(self.kept, dim=1)
        phase = spectrum.angle().gather(1, index)
        angles = self.angles[index].movedim(-1, 2) + phase[:, :, None]
        return (2 / x.shape[1] * amplitude[:, :, None] * angles.cos()).sum(dim=1)


class Interpretable(nn.Module):
    """Diffusion-TS's denoiser: (x_t [B, L, C], t [1]) -> x_0; 500 steps on Stock."""

    STEPS = 500

    def __init__(self, length, channels, *, width=64, encoder=2, decoder=2, heads=4):
        super().__init__()
        self.width = width
        self.input = nn.Conv1d(channels, width, 3, padding=1)
        self.position = nn.Parameter(0.02 * torch.rand(length, width))
        self.step = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.encoder = nn.ModuleList(EncoderBlock(width, heads) for _ in range(encoder))
        self.decoder = nn.ModuleList(
            DecoderBlock(length, channels, width, heads) for _ in range(decoder)
        )
        self.season = nn.Conv1d(width, channels, 5, padding=2, padding_mode="circular")
        self.rest = nn.Conv1d(width, channels, 1)

    def forward(self, x_t, t):
        half = self.width // 2
        angles = t[:, None] * torch.exp(-math.log(1e4) * torch.arange(half) / half)
        step = self.step(torch.cat([angles.sin(), angles.cos()], dim=-1))
        memory = self.input(x_t.transpose(1, 2)).transpose(1, 2) + self.position
        x = memory
        for block in self.encoder:
            memory = block(memory, step)
        means, trends, seasons = 0.0, 0.0, 0.0
        for block in self.decoder:
            x, mean, trend, season = block(x, memory, step)
            means, trends, seasons = means + mean, trends + trend, seasons + season
        rest = self.rest(x.transpose(1, 2)).transpose(1, 2)
        season = self.season(seasons.transpose(1, 2)).transpose(1, 2)
        return trends + season + rest + means


def mlp(width):
    """Four times as wide inside."""
    return nn.Sequential(
        nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    )


# --- loops ----------------------------------------------------------------------------


@torch.inference_mode()
def sample(denoise, shape, table, *, clip: bool = False):
    """Ancestral sampling: rows (t, a, b, s) of x_prev = a x_t + b x_0 + s z."""
    x = torch.randn(shape)
    for t, a, b, s in table:
        x_0 = denoise(x, torch.tensor([t], dtype=torch.float32))
        x_0 = x_0.clamp(-1, 1) if clip else x_0
        x = a * x + b * x_0 + s * torch.randn(shape)
    return x


class Trainer:
    """AdamW with clipping and averaged weights, as our data stage trains."""

    def __init__(self, denoiser: Denoiser, condition: Condition, alpha_bar):
        self.denoiser, self.condition = denoiser, condition
        self.weights = [*denoiser.parameters(), *condition.parameters()]
        self.average = [w.detach().clone() for w in self.weights]
        self.optimizer = torch.optim.AdamW(self.weights, betas=(0.9, 0.99), fused=True)
        self.alpha_bar = torch.as_tensor(alpha_bar, dtype=torch.float32)

    def step(self, x_0, r_0):
        """One step on x_0 [B, L, C] and r_0 [B, d]."""
        t = torch.randint(len(self.alpha_bar), (len(x_0),))
        alpha_bar = self.alpha_bar[t][:, None, None]
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * torch.randn_like(x_0)
        loss = F.mse_loss(self.denoiser(x_t, t, self.condition(r_0)).float(), x_0)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.weights, 0.001)
        return loss
