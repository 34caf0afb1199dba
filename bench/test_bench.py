"""Tests of what does not need llama.cpp or gavel: `python -m unittest discover bench` where gguf and numpy are there."""

import json
import pathlib
import tempfile
import unittest

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, quants

import vocabulary
from blocks import encode
from gguf_models import FORMATS, SHAPES, VARIANTS, Model
from llm_vs_llamacpp import as_run, compare, parse_gavel
from logits_distance import distance
from logits_vs_llamacpp import nearer
from make_gguf import write


def values(rows: int, columns: int) -> np.ndarray:
    x = np.random.default_rng(5).standard_normal((rows, columns), dtype=np.float32)
    x[0, :256] = 0
    x[1] *= np.exp2(np.arange(columns) // 32 % 8 - 4)  # groups of unlike size in a block
    x[2] = np.abs(x[2])
    return x


class Blocks(unittest.TestCase):
    def test_decoded_values_are_within_half_a_step(self) -> None:
        x = values(4, 512)
        # steps relative to the largest value of a group, with what 6-bit and 8-bit scales of a block add
        for kind, group, bound in ((Type.Q4_K, 256, 0.5 * 2 / 15 + 0.04), (Type.Q6_K, 256, 0.5 / 31 + 0.006)):
            decoded = quants.dequantize(encode(x, kind), kind)
            largest = np.abs(x).reshape(-1, group).max(axis=1, keepdims=True)
            error = np.abs(decoded - x).reshape(-1, group)
            self.assertTrue((error <= bound * largest).all(), kind.name)

    def test_every_quant_survives_a_second_encoding(self) -> None:
        """Values on the grid stay where they are: the packing of every bit is that of the reader."""
        for kind in (Type.Q4_K, Type.Q6_K):
            once = quants.dequantize(encode(values(4, 512), kind), kind)
            twice = quants.dequantize(encode(once, kind), kind)
            self.assertLess(np.abs(once - twice).max(), 0.05 * np.abs(once).max(), kind.name)

    def test_rows_that_do_not_fill_blocks_are_refused(self) -> None:
        with self.assertRaises(ValueError):
            encode(values(3, 288), Type.Q4_K)


class Vocabularies(unittest.TestCase):
    def test_sizes_and_uniqueness(self) -> None:
        for size in (512, 32000):
            for made in (vocabulary.spm(size), vocabulary.bpe(size, "qwen2")):
                self.assertEqual(len(made.tokens), size)
                self.assertEqual(len(set(made.tokens)), size)
                self.assertEqual(len(made.types), size)

    def test_every_merge_is_of_tokens_that_earlier_merges_made(self) -> None:
        made = vocabulary.bpe(32000, "qwen2")
        known = set(vocabulary.byte_letters())
        for merge in made.merges:
            left, right = merge.split(" ")
            self.assertTrue(left in known and right in known, merge)
            known.add(left + right)


class Files(unittest.TestCase):
    def test_formats_of_a_seed_hold_the_same_weights(self) -> None:
        model = Model(SHAPES["small"], VARIANTS["qwen3"], tied=True)
        with tempfile.TemporaryDirectory() as scratch:
            weights = {}
            for file_format in FORMATS:
                path = pathlib.Path(scratch, file_format)
                write(model, file_format, file_format, False, 1, path)
                tensors = {t.name: t for t in GGUFReader(path).tensors}
                self.assertNotIn("output.weight", tensors)
                t = tensors["blk.1.ffn_down.weight"]
                weights[file_format] = quants.dequantize(t.data, t.tensor_type)
        exact = weights.pop("F32")
        for file_format, decoded in weights.items():
            self.assertEqual(decoded.shape, exact.shape)
            self.assertLess(np.sqrt(np.mean((decoded - exact) ** 2)) / exact.std(), 0.1, file_format)

    def test_exact_files_hold_the_values_of_quantised_ones(self) -> None:
        model = Model(SHAPES["small"], VARIANTS["llama"], tied=False)
        with tempfile.TemporaryDirectory() as scratch:
            found = []
            for as_f32 in (False, True):
                path = pathlib.Path(scratch, str(as_f32))
                write(model, "m", "Q4_K", as_f32, 1, path)
                found.append({t.name: t for t in GGUFReader(path).tensors})
            for name, stored in found[0].items():
                exact = found[1][name]
                self.assertEqual(exact.tensor_type, Type.F32)
                same = np.array_equal(quants.dequantize(stored.data, stored.tensor_type), exact.data)
                self.assertTrue(same, name)

    def test_mixture_of_q4_k_m(self) -> None:
        model = Model(SHAPES["tinyllama"], VARIANTS["llama"], tied=False)
        kinds = [model.kind(t.name, t.dims, "Q4_K_M") for t in model.tensors()]
        self.assertEqual(kinds.count(Type.Q6_K), 1 + 2 * 10)
        self.assertEqual(kinds.count(Type.F32), 2 * 22 + 1)


class Comparison(unittest.TestCase):
    def test_nearer_to_exact_needs_exact_values(self) -> None:
        self.assertFalse(nearer({"gavel_exact": None, "llama_exact": None}))
        self.assertFalse(nearer({"gavel_exact": 0.03, "llama_exact": 0.02}))
        self.assertTrue(nearer({"gavel_exact": 0.02, "llama_exact": 0.03}))

    RESULT = {"prefill_tokens_per_second": 20.0, "decode_tokens_per_second": 4.0}

    def test_a_result_is_found_in_any_wrapping(self) -> None:
        for output in (
            json.dumps(self.RESULT),
            "loading\n" + json.dumps(self.RESULT) + "\n",
            json.dumps({"model": "m", "runs": [self.RESULT]}, indent=2),
        ):
            self.assertEqual(parse_gavel(output), self.RESULT)
        with self.assertRaises(SystemExit):
            parse_gavel('{"prefill_tokens_per_second": 1}')

    def test_ratios_are_of_rounds_and_cpu_time_needs_both(self) -> None:
        llama = [as_run({"prefill_tokens_per_second": p, "decode_tokens_per_second": 2}, 100, 0) for p in (10, 5, 8)]
        ratios = compare(llama, [as_run(self.RESULT, 150, 0)] * 3)
        self.assertEqual(str(ratios["prefill"]), "2.50 (2.00..4.00)")
        self.assertEqual(ratios["rss"].median, 1.5)
        self.assertNotIn("prefill_cpu", ratios)

    def test_distance(self) -> None:
        a = np.array([[0, 1], [5, 2]], np.float32)
        found = distance(a, a + np.array([[2, 0], [0, 0]], np.float32))
        self.assertEqual((found["rms"], found["max"], found["argmax"]), (1.0, 2.0, 0.5))


if __name__ == "__main__":
    unittest.main()
