"""The baseline: interpolated modified Kneser-Ney n-grams over bytes or tokens."""

import numpy as np


class NGram:
    """Orders 1..`order` over symbols below 2 ** `bits`; a gram is one 64-bit key, its last symbol lowest."""

    def __init__(self, symbols, order, bits, vocabulary):
        assert order * bits <= 64
        self.order, self.bits, self.vocabulary = order, np.uint64(bits), vocabulary
        symbols = np.asarray(symbols, np.uint64)
        keys, counts = np.unique(self.grams(symbols, order), return_counts=True)
        self.levels = []
        for n in range(order, 0, -1):
            self.levels.insert(0, self.level(keys, counts))
            # a lower order counts the different symbols that stand before a gram
            keys, counts = np.unique(keys & self.mask(n - 1), return_counts=True)

    def mask(self, n):
        return np.uint64((1 << (n * int(self.bits))) - 1)

    def grams(self, symbols, n):
        """The gram that ends at each symbol from the n-th on."""
        keys = np.zeros(len(symbols) - n + 1, np.uint64)
        for i in range(n):
            keys = (keys << self.bits) | symbols[i : len(symbols) - n + 1 + i]
        return keys

    def level(self, keys, counts):
        n1, n2, n3, n4 = ((counts == i).sum() for i in (1, 2, 3, 4))
        if min(n1, n2, n3, n4) > 0:
            y = n1 / (n1 + 2 * n2)
            discounts = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
        else:
            discounts = np.array([0, 0.5, 1.0, 1.5])
        taken = discounts[np.minimum(counts, 3)]
        contexts, first = np.unique(keys >> self.bits, return_index=True)
        return keys, counts - taken, contexts, np.add.reduceat(counts, first), np.add.reduceat(taken, first)

    def bits_of(self, symbols):
        """Bits of every symbol after the first order - 1, each given all that come before it."""
        symbols = np.asarray(symbols, np.uint64)
        whole = self.grams(symbols, self.order)
        p = np.full(len(whole), 1 / self.vocabulary)
        for n, (keys, kept, contexts, totals, taken) in enumerate(self.levels, 1):
            gram = whole & self.mask(n)
            at, found = find(keys, gram)
            direct = np.where(found, kept[at], 0.0)
            at, known = find(contexts, gram >> self.bits)
            p = np.where(known, (direct + taken[at] * p) / totals[at], p)
        return -np.log2(p)


def find(table, keys):
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    return at, table[at] == keys


def baselines(text, held_out, tokenizer):
    """Returns {name: {book: bits}}: n-grams trained on `text`, measured on {book: [text]}."""
    as_bytes = lambda t: np.frombuffer(t.encode(), np.uint8)
    as_tokens = lambda t: np.array(tokenizer.encode(t, add_special_tokens=False).ids)
    out = {}
    for unit, encode, orders, bits, vocabulary in [
        ("bytes", as_bytes, (6, 8), 8, 256),
        ("tokens", as_tokens, (3, 5), 12, tokenizer.get_vocab_size()),
    ]:
        train, parts = encode(text), {book: [encode(t) for t in texts] for book, texts in held_out.items()}
        for order in orders:
            model = NGram(train, order, bits, vocabulary)
            measure = lambda part: float(model.bits_of(np.concatenate([train[: order - 1], part])).sum())
            out[f"{unit}, {order}-gram"] = {book: sum(map(measure, texts)) for book, texts in parts.items()}
    return out
