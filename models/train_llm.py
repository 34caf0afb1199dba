#!/usr/bin/env python3
"""Trains the shipped language model and exports it to GGUF.

    python3 -m venv .venv && .venv/bin/pip install -r models/requirements-llm.txt
    .venv/bin/python models/train_llm.py --minutes 115

The learning rate follows the clock, so the run ends in the time it is given; it goes on from its last checkpoint when
started again. `--export-only` writes the files of the last checkpoint.
"""

import argparse
import json
import os
import pathlib
import random
import tempfile
import time

import numpy as np
import torch
from torch import distributed, multiprocessing

from llm import corpus, gguf_file, ngram, stories, tokens
from llm.net import CONTEXT, Net, matrices, optimisers

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent / "target" / "llm"
NAME = "tales"
DESCRIPTION = "A small language model of old English prose; trained by models/train_llm.py of Gavel"
TOKENIZER, STREAMS = WORK / "tokenizer.json", WORK / "streams.npz"
SEED = 7
# windows of a batch, of which so many from dialogues; the last part of the time reads whole contexts
BATCH_TOKENS, SHORT, DIALOGUE_SHARE, LONG_FROM = 6144, 256, 1 / 6, 0.75
WARM_UP_STEPS, DECAY_FROM = 40, 0.35
DIALOGUES, CONTINUATIONS = 6_000, 3_000
CHECKPOINT_SECONDS, REPORT_STEPS = 300, 20
# what the report shows: books that the sample is of, prompts
SAMPLE = ("carroll-alice", "austen-emma", "bryant-stories", "melville-moby_dick")
ASK = "<|user|>\n{}<|end|>\n<|assistant|>\n"
PROMPTS = [
    "Once upon a time there was a",
    "It was a bright morning, and Emma",
    "And it came to pass",
    ASK.format("Tell me a story about a fox and a lamp."),
    ASK.format("Who are you?"),
    ASK.format("The old captain looked out upon the sea, and"),
]


def book_dialogues(documents, number, rng):
    """The user gives the beginning of a passage, the assistant goes on to the end of a paragraph."""
    long = [(d, i) for d in documents for i, p in enumerate(d) if len(p) > 200]
    out = []
    for choice in rng.integers(len(long), size=number):
        document, i = long[choice]
        text = document[i]
        for paragraph in document[i + 1 :]:
            if len(text) > 500:
                break
            text += "\n" + paragraph
        words = [j for j, c in enumerate(text) if c == " "]
        cut = words[int(rng.integers(4, max(5, min(len(words) // 2, 40))))]
        ask = ["", "", "Continue: ", "Go on with this text: ", "Continue this text: "][int(rng.integers(5))]
        out.append([("user", ask + text[:cut]), ("assistant", text[cut + 1 :][:900])])
    return out


def books():
    """Returns {book: (training, held-out documents)}."""
    return {book: corpus.split(raw) for book, raw in corpus.fetch(WORK).items()}


def prepare():
    """Trains the tokenizer and encodes all text for training, once."""
    if STREAMS.exists():
        return
    rng = np.random.default_rng(SEED)
    training = [d for book, (train, _) in books().items() for d in train for _ in range(corpus.BOOKS[book])]
    dialogues = stories.dialogues(DIALOGUES, SEED)
    # some in sequence, as a conversation
    dialogues = [a + b if rng.random() < 0.15 else a for a, b in zip(dialogues, dialogues[1:] + dialogues[:1])]
    dialogues += book_dialogues(training, CONTINUATIONS, rng)
    plain = ["\n".join(stories.story(random.Random(i))[1]) for i in range(DIALOGUES // 4)]
    texts = ["\n".join(d) for d in training]
    tokenizer = tokens.train(texts + plain)
    tokenizer.save(str(TOKENIZER))
    streams = [
        tokens.join(tokenizer, texts, every_sentence=True),
        tokens.join(tokenizer, [tokens.chat(d) for d in dialogues] + plain, every_sentence=False),
    ]
    np.savez(STREAMS, **{f"{name}{i}": part for i, s in enumerate(streams) for name, part in zip(("tokens", "starts"), s)})


def batch(streams, rows, length):
    dialogues = round(rows * DIALOGUE_SHARE)
    return torch.from_numpy(np.stack([streams[i < dialogues].window(length) for i in range(rows)]).astype(np.int64))


def rate(progress, steps):
    """1, then linearly down to 0 at the end of the time."""
    return min(1.0, (steps + 1) / WARM_UP_STEPS, max(0.0, (1 - progress) / (1 - DECAY_FROM)))


@torch.no_grad()
def bits_per_byte(net, tokenizer, texts, step=1):
    """(bits, bytes) of the texts in windows of a whole context, half of which is only read, as what came before."""
    windows, counted = [], []
    for text in texts:
        ids = tokenizer.encode(text).ids
        for at in range(0, len(ids) - 1, CONTEXT // 2):
            window = ids[max(0, at - CONTEXT // 2) : at + CONTEXT // 2 + 1]
            counted.append((min(at, CONTEXT // 2), len(window) - 1))
            windows.append(window + [0] * (CONTEXT + 1 - len(window)))
    bits = size = 0
    for at in range(0, len(windows), 8 * step):
        nats = net(torch.tensor(windows[at : at + 8])).view(-1, CONTEXT)
        for row, window, (first, last) in zip(nats, windows[at : at + 8], counted[at : at + 8]):
            bits += float(row[first:last].sum()) / np.log(2)
            size += len(tokenizer.decode(window[first + 1 : last + 1]).encode())
    return bits, size


class Run:
    """A network in training, as one worker holds it: what a checkpoint saves."""

    def __init__(self, worker=0, workers=1):
        torch.manual_seed(SEED)
        self.worker, self.workers = worker, workers
        self.net = Net()
        self.optimisers = optimisers(self.net, worker, workers)
        self.peaks = [o.defaults["lr"] for o in self.optimisers]
        self.progress = {"steps": 0, "seconds": 0.0, "tokens": 0}

    def path(self):
        return WORK / f"checkpoint-{self.worker}-of-{self.workers}.pt"

    def load(self):
        if self.path().exists():
            saved = torch.load(self.path())
            self.net.load_state_dict(saved["net"])
            for optimiser, state in zip(self.optimisers, saved["optimisers"]):
                optimiser.load_state_dict(state)
            self.progress = saved["progress"]
        return self

    def save(self):
        fresh = self.path().with_suffix(".new")
        states = [optimiser.state_dict() for optimiser in self.optimisers]
        torch.save({"net": self.net.state_dict(), "optimisers": states, "progress": self.progress}, fresh)
        os.replace(fresh, self.path())

    def step(self, loss, windows, rate):
        """One step on the mean gradient of all workers; returns the mean nats of this one's windows."""
        mean = loss(windows).mean()
        mean.backward()
        together([p.grad for p in self.net.parameters()], lambda flat: distributed.all_reduce(flat.div_(self.workers)))
        for optimiser, peak in zip(self.optimisers, self.peaks):
            for group in optimiser.param_groups:
                group["lr"] = peak * rate
            optimiser.step()
        for owner in range(self.workers):
            shared = [p.data for p in matrices(self.net)[owner :: self.workers]]
            together(shared, lambda flat: distributed.broadcast(flat, owner))
        self.net.zero_grad()
        self.progress["steps"] += 1
        self.progress["tokens"] += self.workers * windows[:, 1:].numel()
        return float(mean.detach())


def together(tensors, exchange):
    """Exchanges many tensors between workers as one."""
    flat = torch.cat([t.flatten() for t in tensors])
    exchange(flat)
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors])):
        tensor.copy_(part.view_as(tensor))


def train(worker, workers, minutes, rendezvous):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=worker, world_size=workers)
    tokenizer, data = tokens.Tokenizer.from_file(str(TOKENIZER)), np.load(STREAMS)
    streams = [tokens.Stream(data[f"tokens{i}"], data[f"starts{i}"], SEED + 1000 * worker + i) for i in range(2)]
    texts = ["\n".join(d) for _, held_out in books().values() for d in held_out]
    run = Run(worker, workers).load()
    loss = torch.compile(run.net, dynamic=False)
    before, begin, nats = run.progress["seconds"], time.time(), []
    checkpoint = before
    while True:
        # the first worker's clock is everybody's
        clock = torch.tensor(before + time.time() - begin, dtype=torch.float64)
        distributed.broadcast(clock, 0)
        run.progress["seconds"] = float(clock)
        progress = float(clock) / (60 * minutes)
        if progress >= 1:
            break
        length = SHORT if progress < LONG_FROM else CONTEXT
        windows = batch(streams, BATCH_TOKENS // length // workers, length)
        nats.append(run.step(loss, windows, rate(progress, run.progress["steps"])))
        if worker == 0 and len(nats) == REPORT_STEPS:
            print(f"{progress:6.3f} loss {np.mean(nats):.3f} {run.progress}", flush=True)
            nats = []
        if float(clock) - checkpoint > CHECKPOINT_SECONDS:
            checkpoint = float(clock)
            run.save()
            if worker == 0:
                bits, size = bits_per_byte(run.net, tokenizer, texts, 20)
                print(f"checkpoint: about {bits / size:.3f} bits per byte", flush=True)
    run.save()


def generate(net, tokenizer, prompt, number, temperature, seed):
    """Goes on with a prompt; `<|user|>` and the like are read as tokens."""
    ids = tokenizer.encode(prompt).ids
    start, draw = len(ids), torch.Generator().manual_seed(seed)
    while len(ids) < min(start + number, CONTEXT) and ids[-1] != tokens.END_ID:
        logits = net.logits(torch.tensor([ids]))[0, -1]
        p = torch.softmax(logits / max(temperature, 1e-6), -1)
        # no token below a twentieth of the likeliest
        p[p < 0.05 * p.max()] = 0
        ids.append(int(torch.multinomial(p, 1, generator=draw)))
    return tokenizer.decode(ids[start:])


def write_files(weights, tokenizer, held_out):
    for kind in gguf_file.KINDS:
        gguf_file.write(HERE / f"{NAME}-{kind}.gguf", kind, NAME, DESCRIPTION, weights, tokenizer)
    tokenizer.save(str(HERE / f"{NAME}-tokenizer.json"))
    passages = [held_out[book][0][:1200].rsplit("\n", 1)[0] for book in SAMPLE]
    (HERE / f"{NAME}-sample.txt").write_text("\n\n".join(passages) + "\n")


@torch.no_grad()
def export(workers):
    """Writes the model of the last checkpoint, and measures what is in its files."""
    run, tokenizer, parts = Run(0, workers).load(), tokens.Tokenizer.from_file(str(TOKENIZER)), books()
    weights = {name: weight.numpy() for name, weight in run.net.state_dict().items()}
    held_out = {book: ["\n".join(d) for d in held] for book, (_, held) in parts.items()}
    write_files(weights, tokenizer, held_out)
    training = "".join(corpus.text_of(train) for train, _ in parts.values())
    sizes = {book: sum(len(t.encode()) for t in texts) for book, texts in held_out.items()}

    def per_byte(bits):
        return {"all": round(sum(bits.values()) / sum(sizes.values()), 4)} | {b: round(bits[b] / sizes[b], 4) for b in bits}

    measured = {f"{unit}, Kneser-Ney": per_byte(bits) for unit, bits in ngram.baselines(training, held_out, tokenizer).items()}
    for kind in gguf_file.KINDS:
        run.net.load_state_dict({n: torch.tensor(w) for n, w in gguf_file.rounded(weights, kind).items()})
        bits = {book: bits_per_byte(run.net, tokenizer, texts)[0] for book, texts in held_out.items()}
        measured[f"{NAME}-{kind}.gguf"] = per_byte(bits)
    report = {
        "parameters": sum(w.size for w in weights.values()),
        "training": {
            "text bytes": len(training.encode()),
            "text tokens": len(tokenizer.encode(training).ids),
            "dialogues": DIALOGUES + CONTINUATIONS,
            **{name: round(value) for name, value in run.progress.items()},
        },
        "held-out bytes": sizes,
        "held-out bits per byte": measured,
        "greedy and sampled (temperature 0.7, min-p 0.05)": {
            prompt: [generate(run.net, tokenizer, prompt, 120, t, SEED) for t in (0, 0.7)] for prompt in PROMPTS
        },
    }
    (HERE / "report-llm.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--minutes", type=float, default=115, help="time to train for, all runs together")
    arguments.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    arguments.add_argument("--export-only", action="store_true", help="write the files of the last checkpoint")
    options = arguments.parse_args()
    prepare()
    if not options.export_only:
        with tempfile.TemporaryDirectory() as folder:
            multiprocessing.spawn(train, (options.workers, options.minutes, f"{folder}/meet"), options.workers)
    export(options.workers)


if __name__ == "__main__":
    main()
