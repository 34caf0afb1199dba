"""The Llama network and its optimisers. Matrix products round to bfloat16, the residual and the weights are f32.

RoPE pairs the halves of a head here; the GGUF writer reorders q and k for llama.cpp's adjacent pairs.
"""

import torch
from torch import nn
from torch.nn import functional

from .tokens import VOCABULARY

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD, FEED_FORWARD = 256, 5, 4, 2, 64, 512
CONTEXT, ROPE_BASE, EPSILON = 512, 10000.0, 1e-5
HALF = torch.bfloat16


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        matrix = lambda rows, columns, scale: nn.Parameter(torch.randn(rows, columns) * scale)
        inner = HEADS * HEAD
        self.attention_norm, self.feed_forward_norm = nn.Parameter(torch.ones(WIDTH)), nn.Parameter(torch.ones(WIDTH))
        self.q = matrix(inner, WIDTH, WIDTH**-0.5)
        self.k, self.v = (matrix(KV_HEADS * HEAD, WIDTH, WIDTH**-0.5) for _ in range(2))
        self.gate, self.up = (matrix(FEED_FORWARD, WIDTH, WIDTH**-0.5) for _ in range(2))
        # what is added to the residual starts at nothing
        self.o, self.down = matrix(WIDTH, inner, 0.0), matrix(WIDTH, FEED_FORWARD, 0.0)

    def forward(self, x, table):
        batch, length, _ = x.shape
        h = norm(x, self.attention_norm)
        qkv = functional.linear(h, torch.cat([self.q, self.k, self.v]).to(HALF)).view(batch, length, -1, HEAD)
        q, k, v = qkv.transpose(1, 2).split([HEADS, KV_HEADS, KV_HEADS], 1)
        k, v = rotate(k, table).repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
        a = functional.scaled_dot_product_attention(rotate(q, table), k, v, is_causal=True)
        x = x + functional.linear(a.transpose(1, 2).reshape(batch, length, -1), self.o.to(HALF))
        h = norm(x, self.feed_forward_norm)
        gate, up = functional.linear(h, torch.cat([self.gate, self.up]).to(HALF)).chunk(2, -1)
        return x + functional.linear(functional.silu(gate) * up, self.down.to(HALF))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(VOCABULARY, WIDTH) * 0.02)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.Parameter(torch.ones(WIDTH))

    def logits(self, ids):
        x = functional.embedding(ids, self.embedding)
        table = rope_table(x.shape[1])
        for layer in self.layers:
            x = layer(x, table)
        return functional.linear(norm(x, self.norm), self.embedding.to(HALF)).float()

    def forward(self, windows):
        """[batch, length + 1] ids -> nats of each id after the first, [batch * length]."""
        logits = self.logits(windows[:, :-1])
        return functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="none")


def norm(x, weight):
    return functional.rms_norm(x, (WIDTH,), weight, EPSILON).to(HALF)


def rope_table(length):
    angles = torch.arange(length)[:, None] * ROPE_BASE ** (-torch.arange(HEAD // 2) / (HEAD // 2))
    return angles.cos().to(HALF), angles.sin().to(HALF)


def rotate(x, table):
    cos, sin = table
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def matrices(net):
    return [p for p in net.layers.parameters() if p.ndim == 2]


def optimisers(net, worker, workers):
    """Muon for this worker's share of the matrices, Adam for the embedding and the norms; the learning rates are the peaks."""
    rest = [net.embedding, net.norm, *(p for p in net.layers.parameters() if p.ndim == 1)]
    return [
        torch.optim.Muon(matrices(net)[worker::workers], lr=0.02, weight_decay=0.05, momentum=0.95),
        torch.optim.Adam(rest, lr=0.003, betas=(0.9, 0.95), eps=1e-10),
    ]
