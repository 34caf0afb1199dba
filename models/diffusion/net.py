"""The denoiser, and a judge of pictures, in PyTorch. `export.py` writes the denoiser operator by operator: change both."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from .pictures import FIELDS

WIDTH, INNER, CONDITION, GROUPS, FEATURES = 64, 128, 128, 8, 64


def features(t):
    """Sines and cosines of the time, `[n, FEATURES]`."""
    at = t[:, None] * frequencies().to(t)
    return torch.cat([at.sin(), at.cos()], 1)


def frequencies():
    """From 1 to 100 turns' worth of radians."""
    return torch.exp(torch.linspace(0, math.log(200.0), FEATURES // 2))


class Block(nn.Module):
    """Two convolutions beside a shortcut; the condition scales and shifts between them."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(GROUPS, inputs), nn.GroupNorm(GROUPS, outputs)
        self.conv1, self.conv2 = nn.Conv2d(inputs, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
        self.film = nn.Linear(CONDITION, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x, c):
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.film(c)[:, :, None, None].chunk(2, 1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + (self.skip(x) if self.skip else x)


class Attention(nn.Module):
    """Every place of a small picture reads every other."""

    def __init__(self, width):
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width)
        self.q, self.k, self.v = (nn.Conv2d(width, width // 2, 1) for _ in range(3))
        self.out = nn.Conv2d(width // 2, width, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2) for f in (self.q, self.k, self.v))
        weights = (q.transpose(1, 2) @ k * q.shape[1] ** -0.5).softmax(-1)
        return x + self.out((v @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


class Net(nn.Module):
    """Predicts `noise - picture` from a picture that is partly noise, the part (0 to 1), and the words."""

    def __init__(self):
        super().__init__()
        self.words = nn.ModuleList(nn.Embedding(1 + len(words), CONDITION) for words in FIELDS.values())
        self.time1, self.time2 = nn.Linear(FEATURES, CONDITION), nn.Linear(CONDITION, CONDITION)
        self.stem = nn.Conv2d(12, WIDTH, 3, padding=1)
        self.down1 = Block(WIDTH, WIDTH)
        self.shrink = nn.Conv2d(WIDTH, INNER, 3, 2, 1)
        self.middle1, self.attention, self.middle2 = Block(INNER, INNER), Attention(INNER), Block(INNER, INNER)
        self.grow = nn.Conv2d(INNER, 4 * WIDTH, 1)
        self.up1, self.up2 = Block(2 * WIDTH, WIDTH), Block(WIDTH, WIDTH)
        self.norm, self.out = nn.GroupNorm(GROUPS, WIDTH), nn.Conv2d(WIDTH, 12, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x, t, words):
        c = self.time2(F.silu(self.time1(features(t))))
        c = F.silu(c + sum(table(words[:, i]) for i, table in enumerate(self.words)))
        # a pixel has 12 values: a square of two by two
        fine = self.down1(self.stem(space_to_depth(x)), c)
        h = self.middle1(self.shrink(fine), c)
        h = self.middle2(self.attention(h), c)
        h = torch.cat([depth_to_space(self.grow(h)), fine], 1)
        h = self.up2(self.up1(h, c), c)
        return depth_to_space(self.out(F.silu(self.norm(h))))


def space_to_depth(x):
    """As ONNX has it: the place in the square outermost."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def depth_to_space(x):
    n, c, h, w = x.shape
    return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


class Judge(nn.Module):
    """Tells each field's word from a picture."""

    def __init__(self):
        super().__init__()
        layers, before = [], 3
        for width in (32, 64, 128):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 128), nn.ReLU())
        self.heads = nn.ModuleList(nn.Linear(128, len(words)) for words in FIELDS.values())

    def forward(self, x):
        h = self.body(x)
        return [head(h) for head in self.heads]
