"""Tests of table 1's parts that need nothing installed: what is written into the page, and that the page is what was measured."""

import copy
import json
import pathlib
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "table1"))
import measure  # noqa: E402
import render  # noqa: E402

RESULTS = json.loads((HERE / "table1" / "results.json").read_text())
QUOTED = json.loads((HERE / "table1" / "quoted.json").read_text())
GAS = measure.gavel_gas()
PAGE = (HERE.parent / "docs" / "comparison.md").read_text()


class Numbers(unittest.TestCase):
    def test_three_digits_whatever_the_size(self) -> None:
        for value, text in ((0, "0"), (0.0004, "0.0004"), (0.0123, "0.012"), (1.5, "1.50"), (37.6, "37.6")):
            self.assertEqual(render.number(value), text)
        self.assertEqual(render.number(12345), "12,345")
        self.assertEqual(render.number(2_000_000), "2.0e6")

    def test_sizes_and_times_have_units(self) -> None:
        self.assertEqual([render.size(v) for v in (258, 3072, 10.8 * 2**30)], ["258 B", "3.00 KiB", "10.8 GiB"])
        self.assertEqual([render.seconds(v) for v in (21e-6, 0.065, 37.6)], ["21.0 µs", "65.0 ms", "37.6 s"])


class Pages(unittest.TestCase):
    def test_the_page_is_what_was_measured(self) -> None:
        """Where gas has changed: `python3 bench/table1 --render-only`."""
        self.assertEqual(PAGE, render.replaced(PAGE, render.page(RESULTS, GAS, QUOTED)))

    def test_another_measurement_is_another_page(self) -> None:
        changed = copy.deepcopy(RESULTS)
        changed["networks"][0]["ezkl"]["prove"]["cpu_seconds"] *= 2
        self.assertNotEqual(PAGE, render.replaced(PAGE, render.page(changed, GAS, QUOTED)))

    def test_what_was_not_run_says_so(self) -> None:
        changed = copy.deepcopy(RESULTS)
        changed["networks"][0]["ezkl"] = {"logrows": 24, "skipped": "may need 352 GiB, 20 are free"}
        self.assertIn("not run: may need 352 GiB", render.page(changed, GAS, QUOTED))

    def test_rows_are_whole_and_quotes_have_sources(self) -> None:
        for row in QUOTED:
            self.assertEqual(list(row), render.TRADE_OFFS)
            self.assertTrue(row["source"].startswith(("quoted: ", "measured on another machine: ")), row["technique"])
        for line in render.trade_offs(RESULTS, GAS, QUOTED).splitlines():
            self.assertEqual(line.count(" | "), len(render.TRADE_OFFS) - 1, line)


if __name__ == "__main__":
    unittest.main()
