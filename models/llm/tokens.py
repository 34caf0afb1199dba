"""The byte-level BPE tokenizer, the chat template, and the token streams that training reads."""

import re

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCABULARY = 3072
BEGIN, END = "<s>", "<|end|>"
SPECIAL = [BEGIN, END, "<|system|>", "<|user|>", "<|assistant|>"]
BEGIN_ID, END_ID = 0, 1
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


def train(texts):
    """The split before BPE is GPT-2's, which llama.cpp calls "gpt-2"."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, BEGIN_ID)]
    )
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def chat(turns):
    """What CHAT_TEMPLATE makes of (role, text) pairs, without the first token."""
    return "".join(f"<|{role}|>\n{text}{END}\n" for role, text in turns)


def join(tokenizer, texts, every_sentence):
    """Encodes and joins documents by END and BEGIN: (ids, where a window may start: a document, or any sentence)."""
    ends = {i for i in range(VOCABULARY) if re.fullmatch(r"[.!?][\"']*|Ċ", tokenizer.id_to_token(i))}
    joined, starts = [], []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        starts.append(len(joined) + 1)
        if every_sentence:
            starts += [len(joined) + 2 + i for i, t in enumerate(ids[:-1]) if t in ends]
        joined += [BEGIN_ID, *ids, END_ID]
    return np.array(joined, np.uint16), np.array(starts)


class Stream:
    """Tokens to cut windows from; a window begins with BEGIN and then at one of the `starts`."""

    def __init__(self, tokens, starts, seed):
        self.tokens, self.starts = tokens, starts
        self.rng = np.random.default_rng(seed)
        self.pending, self.length = [], 0

    def plan(self, length):
        """One pass: windows that together cover the stream, in random order."""
        cursor, windows = int(self.rng.integers(length)), []
        while (i := np.searchsorted(self.starts, cursor)) < len(self.starts):
            start = self.starts[i]
            if start + length > len(self.tokens):
                break
            windows.append(start)
            cursor = start + length
        self.rng.shuffle(windows)
        self.pending, self.length = windows, length

    def window(self, length):
        """Returns `length` + 1 ids: inputs and, one further, targets."""
        if not self.pending or self.length != length:
            self.plan(length)
        start = self.pending.pop()
        return np.concatenate([[BEGIN_ID], self.tokens[start : start + length]])
