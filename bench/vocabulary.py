"""Made-up vocabularies of any size of at least 400 that load as real ones do: SentencePiece-like with scores and byte
tokens, and byte-level BPE with merges. They are made of syllables, so that merging has work to do."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice, product

from gguf import TokenType

SPACE_SPM, SPACE_BPE = "\u2581", "\u0120"
SYLLABLES = [c + v for c, v in product("tnsrhdlcmfpgwybvkjxz", "eaoiu")]
OTHER_LETTERS = "éüñßøçλπиждאع中日本語한가あア€–…"

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@dataclass
class Vocabulary:
    """Tokens in the order of their ids; `scores` only for SPM, `merges` only for BPE."""

    model: str
    tokens: list[str]
    types: list[TokenType]
    bos: int
    eos: int
    pre: str | None = None
    scores: list[float] = field(default_factory=list)
    merges: list[str] = field(default_factory=list)


def _merged(space: str) -> Iterator[tuple[str, str]]:
    """Pairs whose concatenation is a token, each after the pairs that make its parts."""
    yield from ((s[0], s[1]) for s in SYLLABLES)
    yield from ((space, s) for s in SYLLABLES)
    for a, b in product(SYLLABLES, SYLLABLES):
        yield (a, b)
        yield (space + a, b)
    for a, b, end in product(SYLLABLES, SYLLABLES, "snrtl"):
        yield (space + a + b, end)


def spm(size: int) -> Vocabulary:
    """As in Llama 2: <unk> <s> </s>, 256 bytes, merged pieces by falling score, then single letters."""
    letters = [SPACE_SPM, *map(chr, range(0x21, 0x7F)), *OTHER_LETTERS]
    fixed = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = [a + b for a, b in islice(_merged(SPACE_SPM), size - len(fixed) - len(letters))] + letters
    if len(fixed) + len(pieces) != size:
        raise ValueError(f"an SPM vocabulary of {size} tokens is not possible")
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    return Vocabulary(
        model="llama",
        tokens=fixed + pieces,
        types=kinds + [TokenType.NORMAL] * len(pieces),
        scores=[0.0] * len(fixed) + [-float(rank) for rank in range(len(pieces))],
        bos=1,
        eos=2,
    )


def byte_letters() -> list[str]:
    """The letter that byte-level BPE writes for each byte: itself where printable, else the next from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    replacement = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(replacement)) for byte in range(256)]


def bpe(size: int, pre: str) -> Vocabulary:
    """Byte-level BPE: 256 bytes, merged tokens, then three control tokens. `pre` names the splitting rule."""
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    merges = list(islice(_merged(SPACE_BPE), size - 256 - len(control)))
    tokens = byte_letters() + [a + b for a, b in merges] + control
    if len(tokens) != size:
        raise ValueError(f"a BPE vocabulary of {size} tokens is not possible")
    return Vocabulary(
        model="gpt2",
        pre=pre,
        tokens=tokens,
        types=[TokenType.NORMAL] * (size - len(control)) + [TokenType.CONTROL] * len(control),
        merges=[f"{a} {b}" for a, b in merges],
        bos=size - 3,
        eos=size - 1,
    )
