#!/usr/bin/env python3
"""Trains the shipped diffusion model on pictures that it draws, and exports it to ONNX.

    python3 -m venv .venv && .venv/bin/pip install -r models/requirements-diffusion.txt
    .venv/bin/python models/train_diffusion.py --minutes 30

The learning rate follows the processor's clock, so the run ends in the time it is given; it goes on from its last checkpoint
when started again. `--export-only` writes the file of the last checkpoint.
"""

import argparse
import copy
import json
import os
import pathlib
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from diffusion import onnx_file, pictures
from diffusion.net import Judge, Net

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent / "target" / "diffusion"
CHECKPOINT = WORK / "checkpoint.pt"
NAME, SEED = "shapes", 7
PICTURES, HELD_OUT, BATCH = 40_000, 2_000, 64
PEAK, WARM_UP_STEPS, DECAY_FROM, AVERAGE = 2e-3, 100, 0.4, 0.999
# shares of prompts of which a field, or everything, is not said
UNSAID, SILENT = 0.12, 0.1
# denoising steps of the file, and how many times what the words change is taken
STEPS, GUIDANCE = 16, 1.75
JUDGE_STEPS, JUDGED = 1200, 250
REPORT_STEPS, CHECKPOINT_STEPS = 50, 500


def drawn(name, number, seed, training=True):
    """Pictures as bytes with their words, drawn once."""
    path = WORK / f"{name}.npz"
    if not path.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        x, words = pictures.sample(number, np.random.default_rng(seed), training)
        np.savez(path, x=to_bytes(x), words=words)
    data = np.load(path)
    return torch.from_numpy(data["x"]), torch.from_numpy(data["words"])


def to_bytes(x):
    return np.round((x + 1) * 127.5).clip(0, 255).astype(np.uint8)


def to_values(x):
    return x.float() / 127.5 - 1


def loss(net, x, words, t, noise):
    """Mean square of what is wrong with the predicted direction, for every picture."""
    part = t[:, None, None, None]
    found = net((1 - part) * x + part * noise, t, words)
    return (found.float() - (noise - x)).square().mean((1, 2, 3))


def forget(words, draw):
    """Words from 1 on, some of them not said."""
    n = len(words)
    keep = torch.rand(words.shape, generator=draw) >= UNSAID
    keep &= torch.rand((n, 1), generator=draw) >= SILENT
    return (words + 1) * keep


@torch.no_grad()
def held_out_loss(net, name="held-out"):
    x, words = drawn(*SETS[name])
    draw = torch.Generator().manual_seed(SEED)
    found = []
    for at in range(0, len(x), 250):
        part = to_values(x[at : at + 250])
        t = (torch.arange(len(part)) + 0.5) / len(part)
        found.append(loss(net, part, words[at : at + 250] + 1, t, torch.randn(part.shape, generator=draw)))
    return float(torch.cat(found).mean())


SETS = {
    "training": ("training", PICTURES, SEED, True),
    "held-out": ("held-out", HELD_OUT, SEED + 1, True),
    "unseen": ("unseen", HELD_OUT, SEED + 2, False),
}


def train(minutes):
    torch.manual_seed(SEED)
    x, words = drawn(*SETS["training"])
    net = Net()
    average = copy.deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    draw = torch.Generator().manual_seed(SEED)
    first = step = seconds = 0
    if CHECKPOINT.exists():
        saved = torch.load(CHECKPOINT)
        first = step = saved["steps"]
        seconds = saved["seconds"]
        average.load_state_dict(saved["net"])
        # what was averaged is where it goes on from
        net.load_state_dict(saved["net"])
    begin, losses = time.process_time() - seconds, []
    run = torch.compile(net, dynamic=False)
    while (progress := (time.process_time() - begin) / (60 * minutes)) < 1:
        rate = PEAK * min(1, (step + 1 - first) / WARM_UP_STEPS, max(0.0, (1 - progress) / (1 - DECAY_FROM)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        at = torch.randint(len(x), (BATCH,), generator=draw)
        # more often where it is neither picture nor noise
        t = torch.sigmoid(torch.randn(BATCH, generator=draw) * 1.1)
        with torch.autocast("cpu", torch.bfloat16):
            mean = loss(run, to_values(x[at]), forget(words[at], draw), t, torch.randn((BATCH, *x.shape[1:]), generator=draw)).mean()
        mean.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        step += 1
        keep = min(AVERAGE, (step - first + 1) / (step - first + 20))
        for slow, fast in zip(average.parameters(), net.parameters()):
            slow.lerp_(fast.data, 1 - keep)
        losses.append(float(mean.detach()))
        if step % REPORT_STEPS == 0:
            print(f"{progress:6.3f} step {step} loss {np.mean(losses):.4f}", flush=True)
            losses = []
        if step % CHECKPOINT_STEPS == 0:
            save(average, step, time.process_time() - begin)
            print(f"held-out loss {held_out_loss(average):.4f}", flush=True)
    save(average, step, time.process_time() - begin)


def save(net, steps, seconds):
    fresh = CHECKPOINT.with_suffix(".new")
    torch.save({"net": net.state_dict(), "steps": steps, "seconds": seconds}, fresh)
    os.replace(fresh, CHECKPOINT)


def judge():
    """A classifier of what is drawn, from the same pictures, trained once."""
    path = WORK / "judge.pt"
    found = Judge()
    if path.exists():
        found.load_state_dict(torch.load(path))
        return found.eval()
    torch.manual_seed(SEED)
    # all combinations: it is to tell what there is, not what was seen
    parts = [drawn(*SETS["training"]), drawn("judge", PICTURES // 8, SEED + 3, False)]
    x, words = (torch.cat(both) for both in zip(*parts))
    optimiser = torch.optim.AdamW(found.parameters(), lr=2e-3)
    draw = torch.Generator().manual_seed(SEED)
    for step in range(JUDGE_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / JUDGE_STEPS)
        at = torch.randint(len(x), (BATCH,), generator=draw)
        values = to_values(x[at])
        values = values + 0.05 * torch.randn(values.shape, generator=draw)
        with torch.autocast("cpu", torch.bfloat16):
            heads = found(values)
        mean = sum(F.cross_entropy(h.float(), words[at, i]) for i, h in enumerate(heads))
        mean.backward()
        optimiser.step()
        optimiser.zero_grad()
    torch.save(found.state_dict(), path)
    return found.eval()


@torch.no_grad()
def judged(found, x, words):
    """Share of pictures of which each field, and all of them, is told rightly."""
    right = []
    for at in range(0, len(x), 250):
        heads = found(x[at : at + 250])
        right.append(torch.stack([h.argmax(1) for h in heads], 1) == words[at : at + 250])
    right = torch.cat(right)
    shares = {name: round(float(right[:, i].float().mean()), 4) for i, name in enumerate(pictures.FIELDS)}
    return shares | {"all": round(float(right.all(1).float().mean()), 4)}


@torch.no_grad()
def generated(net, words, seed, steps=STEPS, guidance=GUIDANCE):
    """Pictures of words from 0 on, as the file draws them."""
    draw = torch.Generator().manual_seed(seed)
    out = []
    for at in range(0, len(words), 100):
        said = words[at : at + 100] + 1
        x = torch.randn((len(said), 3, pictures.SIZE, pictures.SIZE), generator=draw)
        for i in range(steps):
            t = torch.full((len(said),), (steps - i) / steps)
            found = net(x, t, said)
            if guidance != 1:
                unsaid = net(x, t, torch.zeros_like(said))
                found = unsaid + guidance * (found - unsaid)
            x = x - found / steps
        out.append(x.clamp(-1, 1))
    return torch.cat(out)


def grid(path, x, columns):
    """Pictures side by side, three times as large."""
    x = to_bytes(x.numpy()).transpose(0, 2, 3, 1)
    n, h, w, c = x.shape
    x = x.reshape(n // columns, columns, h, w, c).transpose(0, 2, 1, 3, 4).reshape(n // columns * h, columns * w, c)
    picture = Image.fromarray(x)
    picture.resize((3 * picture.width, 3 * picture.height), Image.NEAREST).save(path, optimize=True)


def export():
    """Writes the model of the last checkpoint, and measures what is in its file."""
    saved = torch.load(CHECKPOINT)
    weights = {name: weight.numpy() for name, weight in saved["net"].items()}
    onnx_file.write(HERE / f"{NAME}.onnx", weights, onnx_file.schedule(STEPS), GUIDANCE)
    net = Net()
    losses = {}
    for kind, values in (("trained", weights), ("as in the file", onnx_file.rounded(weights))):
        net.load_state_dict({name: torch.tensor(value) for name, value in values.items()})
        losses[kind] = {name: round(held_out_loss(net, name), 4) for name in ("held-out", "unseen")}
    found = judge()
    accuracy = {}
    for name in ("held-out", "unseen"):
        x, words = drawn(*SETS[name])
        words = words[:JUDGED]
        accuracy[f"{name}, drawn"] = judged(found, to_values(x[:JUDGED]), words)
        made = generated(net, words, SEED)
        accuracy[f"{name}, generated"] = judged(found, made, words)
        if name == "held-out":
            shapes = {shape: judged(found, made[own], words[own])["shape"]
                      for i, shape in enumerate(pictures.FIELDS["shape"]) for own in [words[:, 2] == i]}
            for change in ({"steps": STEPS // 2}, {"steps": 2 * STEPS}, {"guidance": 1}):
                label = ", ".join(f"{key} {value}" for key, value in change.items())
                accuracy[f"{name}, generated with {label}"] = judged(found, generated(net, words, SEED, **change), words)
    rng = np.random.default_rng(SEED)
    colours = [(c, (c + 1 + rng.integers(10)) % 11) for c in rng.integers(11, size=40)]
    shown = [[1 + i % 2, colour, i % 10, background] for i, (colour, background) in enumerate(colours)]
    grid(HERE.parent / "docs" / "images" / f"{NAME}.png", generated(net, torch.tensor(np.array(shown)), SEED), 10)
    report = {
        "parameters": sum(w.size for w in weights.values()),
        "denoising steps": STEPS,
        "guidance": GUIDANCE,
        "training": {"pictures": PICTURES, "batch": BATCH, "steps": saved["steps"], "processor seconds": round(saved["seconds"])},
        "mean square error of the direction": losses,
        "told rightly by a classifier": accuracy,
        "shapes, generated": shapes,
    }
    (HERE / "report-diffusion.json").write_text(json.dumps(report, indent=1) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=30, help="processor time to train for, all runs together")
    arguments.add_argument("--export-only", action="store_true", help="write the file of the last checkpoint")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    if not options.export_only:
        train(options.minutes)
    export()


if __name__ == "__main__":
    main()
