#!/usr/bin/env python3
"""Token ids of awkward strings, as llama.cpp and the `tokenizers` library give them.

    pip install llama-cpp-python==0.3.36 gguf==0.19.0 tokenizers==0.23.2 sentencepiece==0.2.2
    python3 bench/tokenizer_vectors.py                # writes spec/vectors/text/awkward.json
    python3 bench/tokenizer_vectors.py FILE... --out DIR   # the same of other people's GGUF files, one vector file each

It trains a small SentencePiece vocabulary and a small byte-level BPE on the text below, writes them as GGUF files without
weights, and asks llama.cpp; the same BPE as a `tokenizer.json` goes to the `tokenizers` library. The vector file holds the
vocabularies, so that a test needs nothing else: `GAVEL_TEXT_VECTORS=DIR cargo test -p gavel-text` reads the files of
DIR too.
"""

import argparse
import ctypes
import io
import json
import pathlib
import random
import tempfile

import gguf
import llama_cpp
import sentencepiece
import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parent.parent

TRAINING = """
The provider runs the model and commits to every step of it. Anyone may say that this is wrong; then a short game finds
the first wrong operator, and a referee rules. The liar loses its stake, and the task goes back to the auction.
It's what we've said: they're not sure, I'm certain, she'd rather wait, he'll see. Don't you think so? We can't know.
Numbers such as 1, 12, 123, 1234, 12345 and 3.14159 are cut in different ways; so are 1/2, 50 % and 2026-11-26.
def main(argument):
    for index in range(10):
        if index % 2 == 0:
            print(index, "even")
\t\treturn [x**2 for x in argument if x > 0]  # comment
Größe, Übermut und Straße; été, garçon, où; señor, mañana; smörgåsbord; žluťoučký kůň; İstanbul'da ılık.
Быстрая лиса перепрыгнула через ленивую собаку. Η γρήγορη αλεπού. השועל המהיר קפץ. الثعلب السريع يقفز.
快速的狐狸跳过了懒狗。速い狐は怠け者の犬を飛び越えた。빠른 여우가 게으른 개를 뛰어넘었다. तेज़ लोमड़ी कूद गई। สุนัขจิ้งจอก
Hello world! HelloWorld hello_world HELLO WORLD, hello   world. (yes) [no] {maybe} <perhaps> "quoted" 'single' `code`
""" * 3

TEXTS = [
    "", " ", "  ", "   ", " " * 33, "\t", "\t\t\t", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", " \n", "\n ", " \n \n", "a\n\n b",
    "\u00a0", "\u3000\u3000x", "\u2003 \u2009", "\u0085x", "\x0b\x0c", "\x1c\x1d", "\x00", "a\x00b", "\x00\x00", "\x7f\x01\x02",
    "a", " a", "  a", "a ", "a  ", "a b", "a  b", "a   b", "   a   ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ab" * 30, "the " * 20,
    "Hello world", "Hello, world!", " Hello", "  Hello", "HELLO WORLD", "HelloWorldFOOBar", "hELLO wORLD", "Hello\tworld\n",
    "it's I'm we're they've he'd she'll don't", "IT'S I'M WE'RE THEY'VE HE'D SHE'LL DON'T", "'s 't 're 've 'm 'll 'd 'S", "' 's", "''s",
    "o'clock rock'n'roll l'été", "'", "''", "a'", "a's's", "\u2019s it\u2019s", "'\u017f 'K",
    "1", "12", "123", "1234", "12345678901234567890", "3.14159", "1,234,567.89", "1e10", "0x1F", "a1b2c3", "v1.2.3-rc4", "½ ² ३४ Ⅷ ①",
    " 1", "  1", "1 2 3", "2026-11-26T12:34:56Z", "50%", "$100", "€5",
    "!", "!!!", "...", "!?.,;:", " !", "  !", "a!b", "foo.bar(baz)[0]->qux", "a+b=c", "x**2", "#include <stdio.h>", "//comment\n/* more */",
    "http://example.org/a?b=c&d=e#f", "user@example.org", "C:\\path\\file", "[]{}()<>", "~`^|", "\\n\\t", "/\n", "!\n\n", "a/\r\n/",
    "def f(x):\n    return x\n\n\nclass A:\n\tpass\n", "    indented\n        more\n", "\tif (a) {\n\t\tb();\n\t}\n", "a  \n  b", "a \n\n \n b",
    "é", "e\u0301", "\u0301", "\u0301\u0301a", "à la carte", "Å\u030a", "ﬁ ﬂ", "ß ẞ", "İi Iı", "ǅ ǆ Ǆ", "ʰ ª º", "\u1e9b\u0323",
    "Größe Straße", "žluťoučký kůň", "Быстрая лиса", "Η γρήγορη αλεπού", "Ω Ω", "Привет, мир! 123",
    "שלום עולם", "مرحبا بالعالم", "\u202eabc\u202c", "\u200fا\u200e", "كِتَابٌ", "तेज़ लोमड़ी", "สุนัขจิ้งจอก", "ភាសាខ្មែរ", "မြန်မာ", "தமிழ்",
    "你好，世界！", "快速的狐狸", "速い狐は怠け者の犬", "カタカナ ひらがな", "빠른 여우", "한국어와 English를 섞어", "𠀀𠀁", "中文English混合123测试", "々〆ヶ", "「引用」", "。。。",
    "😀", "😀😀", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇫🇷", "❤️", "a😀b", "☃ ★ ♫", "\U0001f9d1\u200d\U0001f680", "\u20e3 1\ufe0f\u20e3",
    "\u200b", "a\u200bb", "\ufeff", "\ufeffBOM", "\u00ad", "a\u00adb", "\u2028x\u2029", "\u180e", "\u2060", "\ufffd", "\ufffe", "\uffff",
    "\ue000", "\U000f0000", "\U0010ffff", "\U0010fffd", "\u0378", "\u1c89", "\U00010ec2", "\U0001fae9", "ÿþ", "Ã©", "Â ", "\u0080\u0099",
    "\u2581", "a\u2581b", "\u2581\u2581", " \u2581 ", "\u0120a", "\u010a", "Ġhello", "<0x41>", "<0x0A>", "<0xFF><0xFE>", "<0x>", "0x41",
    "<s>", "</s>", "<unk>", " <s> ", "a<s>b", "<s><s>", "<|im_start|>", "<|im_end|>", "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>",
    "<tool_call>", "a <tool_call> b", "<tool_call></tool_call>", "<|im_", "im_start|>", "< s >", "[INST] hi [/INST]", "<|eot_id|><|user|>",
    "s>", "<s", "</", "<|", "|>", "<s>\n", "\n<s>", "x</s>\n\ny", "<s> a", "<s>  a", "<|im_start|> a", "<tool_call> a",
    "The provider's model isn't 100% sure: it'll cost $1,234.56 (or €1.000)!\n\n\tSee https://example.org/?q=1&r=2 ...",
    "The quick brown fox jumps over the lazy dog. " * 3, "word" * 40, "\n" * 50, "-" * 100, "=" * 77, "🙂" * 9, "漢" * 20, "é" * 50,
    "9" * 50, "A" * 60, "aA" * 30, "a " * 30, " a" * 30, "\u0301" * 20, "' " * 20, ".\n" * 20, "\t \t \n" * 9,
]


def vocabularies():
    """Name, GGUF metadata."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING.splitlines()), model_writer=model, model_type="bpe", vocab_size=900,
        byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=True, remove_extra_whitespaces=False,
        character_coverage=0.999, minloglevel=2, num_threads=1, user_defined_symbols=["<tool_call>", "</tool_call>"],
    )  # fmt: skip
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    ids = range(sp.get_piece_size())
    kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 4 if i in (3, 4) else 1  # noqa: E731
    spm = {
        "model": "llama",
        "tokens": [sp.id_to_piece(i) for i in ids],
        "scores": [sp.get_score(i) for i in ids],
        "token_types": [kind(i) for i in ids],
        "bos": 1, "eos": 2, "unknown": 0,
    }  # fmt: skip
    yield "spm", spm
    # scores without order and with many ties: only the merge loop's own order decides
    draw = random.Random(1)
    yield "spm-ties", spm | {"scores": [float(draw.randrange(-4, 3)) for _ in ids], "add_space_prefix": False, "add_bos": False}

    bpe = tokenizers.Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    bpe.train_from_iterator([TRAINING], trainer)
    state = json.loads(bpe.to_str())["model"]
    tokens = sorted(state["vocab"], key=state["vocab"].get)
    special = {"<|endoftext|>": 3, "<|im_start|>": 3, "<|im_end|>": 3, "<s>": 3, "<tool_call>": 4, "</tool_call>": 4}
    for pre in (
        "default gpt-2 llama-bpe dbrx qwen2 qwen35 smollm tekken gpt-4o falcon deepseek-coder deepseek-v3 seed-coder bailingmoe minicpm5"
    ).split():  # fmt: skip
        yield f"bpe-{pre}", {
            "model": "gpt2",
            "pre": pre,
            "tokens": tokens + list(special),
            "token_types": [1] * len(tokens) + list(special.values()),
            "merges": [m if isinstance(m, str) else " ".join(m) for m in state["merges"]],
            "bos": len(tokens), "eos": len(tokens), "eot": len(tokens) + 2,
        }  # fmt: skip


def write_gguf(vocabulary, path):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(vocabulary["model"])
    writer.add_token_list(vocabulary["tokens"])
    writer.add_token_types(vocabulary["token_types"])
    for key, add in {
        "pre": writer.add_tokenizer_pre, "scores": writer.add_token_scores, "merges": writer.add_token_merges,
        "bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id, "eot": writer.add_eot_token_id,
        "unknown": writer.add_unk_token_id, "add_bos": writer.add_add_bos_token, "add_eos": writer.add_add_eos_token,
        "add_space_prefix": writer.add_add_space_prefix,
    }.items():  # fmt: skip
        if key in vocabulary:
            add(vocabulary[key])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def read_gguf(path):
    """The metadata of somebody else's file, as `GgufVocabulary` wants it."""
    fields = gguf.GGUFReader(path).fields
    names = {
        "model": "ggml.model", "pre": "ggml.pre", "tokens": "ggml.tokens", "scores": "ggml.scores", "token_types": "ggml.token_type",
        "merges": "ggml.merges", "bos": "ggml.bos_token_id", "eos": "ggml.eos_token_id", "eot": "ggml.eot_token_id",
        "eom": "ggml.eom_token_id", "unknown": "ggml.unknown_token_id", "add_bos": "ggml.add_bos_token",
        "add_eos": "ggml.add_eos_token", "add_space_prefix": "ggml.add_space_prefix", "chat_template": "chat_template",
    }  # fmt: skip
    return {k: fields["tokenizer." + n].contents() for k, n in names.items() if "tokenizer." + n in fields}


def ask_llama(path, texts):
    """Ids of each text: names of control tokens as text; read; of every tenth also read, with BOS and EOS as the vocabulary
    says. And what ends a generation."""
    parameters = llama_cpp.llama_model_default_params()
    parameters.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    vocab = llama_cpp.llama_model_get_vocab(model)

    def tokenize(text, add_special, parse_special):
        data = text.encode()
        room = (llama_cpp.llama_token * (2 * len(data) + 16))()
        count = llama_cpp.llama_tokenize(vocab, data, len(data), room, len(room), add_special, parse_special)
        assert count >= 0
        return list(room[:count])

    few = range(0, len(texts), 10)
    plain = [tokenize(t, False, False) for t in texts]
    answers = {
        "plain": plain,
        "special": [tokenize(t, False, True) for t in texts],
        "prompt": [tokenize(t, True, True) if i in few else p for i, (t, p) in enumerate(zip(texts, plain, strict=True))],
        "ends": [i for i in range(llama_cpp.llama_vocab_n_tokens(vocab)) if llama_cpp.llama_vocab_is_eog(vocab, i)],
    }
    llama_cpp.llama_model_free(model)
    return answers


def hugging_face(vocabulary, kind):
    """A `tokenizer.json` of a vocabulary, and what the library makes of the texts."""
    tokens = {text: i for i, text in enumerate(vocabulary["tokens"])}
    if kind == "byte-level":
        merges = [tuple(m.split(" ")) for m in vocabulary["merges"]]
        plain = {t: i for t, i in tokens.items() if vocabulary["token_types"][i] == 1}
        tokenizer = tokenizers.Tokenizer(models.BPE(plain, merges))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        # merges in the order of the scores of what they make, as the library's own converter does
        scores = vocabulary["scores"]
        pairs = []
        for text, i in tokens.items():
            if vocabulary["token_types"][i] in (1, 4):
                cuts = [(text[:n], text[n:]) for n in range(1, len(text))]
                cuts = [(a, b) for a, b in cuts if a in tokens and b in tokens]
                pairs += [(scores[i], *c) for c in sorted(cuts, key=lambda c: (tokens[c[0]], tokens[c[1]]))]
        pairs.sort(key=lambda p: -p[0])
        tokenizer = tokenizers.Tokenizer(
            models.BPE(tokens, [(a, b) for _, a, b in pairs], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
        )
        tokenizer.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581")]
        )
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    for text, i in tokens.items():
        if vocabulary["token_types"][i] in (2, 3, 4):
            special = vocabulary["token_types"][i] != 4
            added = AddedToken(text, special=special, normalized=False)
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)([added])
    special = [tokenizer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    written = tokenizer.to_str()
    tokenizer.encode_special_tokens = True
    plain = [tokenizer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    decoded = {i: d for i, ids in enumerate(special) if (d := tokenizer.decode(ids)) != TEXTS[i]}
    return {"json": written, "plain": plain, "special": special, "decoded": decoded}


def differences(ids, reference):
    """What is not as in `reference`, by index."""
    return {i: a for i, (a, b) in enumerate(zip(ids, reference, strict=True)) if a != b}


def write(path, content):
    """JSON, a line for each entry. Of `special` and `prompt`, and of a case that is `like` another, only what differs."""
    plain = {case["name"]: case["plain"] for case in content["cases"]}
    for case in content["cases"]:
        case |= {k: differences(case[k], case["plain"]) for k in ("special", "prompt") if k in case}
        like = case.get("gguf", {}).get("like")
        if like:
            case["differing"] = differences(case.pop("plain"), plain[like])
    dump = lambda value: json.dumps(value, separators=(",", ":"))  # noqa: E731
    lines = [f" {dump(key)}: {dump(value)}" for key, value in content.items() if key != "cases"]
    cases = ["  {\n" + ",\n".join(f"   {dump(k)}: {dump(v)}" for k, v in case.items()) + "\n  }" for case in content["cases"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{\n" + ",\n".join([*lines, ' "cases": [\n' + ",\n".join(cases) + "\n ]"]) + "\n}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "spec" / "vectors" / "text")
    options = parser.parse_args()
    log = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    about = f"texts as llama.cpp of llama-cpp-python {llama_cpp.__version__} and tokenizers {tokenizers.__version__} cut them"
    if options.files:
        for path in options.files:
            case = {"name": path.stem, "gguf": read_gguf(path)} | ask_llama(path, TEXTS)
            write(options.out / f"{path.stem}.json", {"about": about, "texts": TEXTS, "cases": [case]})
        return
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, vocabulary in vocabularies():
            path = pathlib.Path(folder) / f"{name}.gguf"
            write_gguf(vocabulary, path)
            stored = dict(vocabulary)
            if cases and name.startswith("bpe"):
                # one BPE vocabulary under all names of pre-tokenizers
                first = next((c for c in cases if c["name"].startswith("bpe")), None)
                if first:
                    stored = {"like": first["name"], "pre": vocabulary["pre"]}
            cases.append({"name": name, "gguf": stored} | ask_llama(path, TEXTS))
            if name == "spm":
                cases.append({"name": "json-spm"} | hugging_face(vocabulary, "spm"))
            if name == "bpe-gpt-2":
                cases.append({"name": "json-byte-level"} | hugging_face(vocabulary, "byte-level"))
    write(options.out / "awkward.json", {"about": about, "texts": TEXTS, "cases": cases})


if __name__ == "__main__":
    main()
