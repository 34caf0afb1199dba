"""The check of the documents finds what it is for."""

import unittest

from support import ROOT, gavel

import command_lines
import shown_outputs


def whole(*words: str, environment: frozenset[str] = frozenset()) -> command_lines.CommandLine:
    return command_lines.CommandLine(words, "page.md:1", True, environment)


class Reading(unittest.TestCase):
    def read(self, text: str) -> list[tuple[str, ...]]:
        return [line.words for line in command_lines.in_markdown(text, "page.md")]

    def test_blocks(self) -> None:
        text = "```\n$ gavel key new a.json && gavel key new b.json  # two\ngavel run digits \\\n  x.png > out\n0:01 Ada gavel wins\n```\n"
        self.assertEqual(self.read(text), [("key", "new", "a.json"), ("key", "new", "b.json"), ("run", "digits", "x.png")])

    def test_substitutions_and_lists_of_flags(self) -> None:
        text = '```sh\nfor k in a b; do m="$m --mint $(gavel key address $k.json)"; done\ngavel chain deploy --key d.json $m\n```\n'
        self.assertEqual(self.read(text), [("key", "address", "x.json"), ("chain", "deploy", "--key", "d.json")])

    def test_outputs_and_other_languages_are_left_alone(self) -> None:
        self.assertEqual(self.read("```python\ngavel run\n```\n```text\ngavel run\n```\n"), [])

    def test_spans_with_alternatives(self) -> None:
        self.assertEqual(self.read(r"`gavel model id\|inspect MODEL`, the `gavel` binary"), [("model", "id", "MODEL"), ("model", "inspect", "MODEL")])

    def test_cargo_run(self) -> None:
        self.assertEqual(self.read("```\ncargo run --release -- demo --seed 6\n```\n"), [("demo", "--seed", "6")])


class Shown(unittest.TestCase):
    LINES = ["0:01  Ada wins", "0:02  Ada delivers", "0:02  Ben waits", "0:03  Ben settles"]

    def test_lines_may_be_left_out_and_not_be_others(self) -> None:
        self.assertIsNone(shown_outputs.not_printed(["0:01  Ada wins", "0:03  Ben settles"], self.LINES))
        self.assertEqual(shown_outputs.not_printed(["0:01  Ada wins", "0:02  Cleo delivers"], self.LINES), "0:02  Cleo delivers")

    def test_order_counts(self) -> None:
        self.assertEqual(shown_outputs.not_printed(["0:02  Ben waits", "0:02  Ada delivers"], self.LINES), "0:02  Ada delivers")

    def test_what_is_written_anew_is_printed(self) -> None:
        anew = shown_outputs.likest(["0:01  Cleo wins", "", "0:04  Ben settles"], ["", *self.LINES])
        self.assertEqual(anew, ["0:01  Ada wins", "", "0:03  Ben settles"])

    @unittest.skipUnless(gavel(), "no built gavel")
    def test_a_page_is_held_against_the_binary(self) -> None:
        page = "<!-- shown: --version -->\n```\n{}\n```\n"
        right = shown_outputs.printed(gavel(), "--version")[0]
        self.assertEqual(shown_outputs.problems(gavel(), page.format(right), "page.md"), [])
        self.assertEqual(len(shown_outputs.problems(gavel(), page.format("gavel 99"), "page.md")), 1)
        self.assertEqual(len(shown_outputs.problems(gavel(), page.format(right).replace("--version", "levitate"), "page.md")), 1)


@unittest.skipUnless(gavel(), "no built gavel")
class Judging(unittest.TestCase):
    def setUp(self) -> None:
        self.binary = command_lines.Binary(gavel(), ["levitate"])

    def test_right_lines(self) -> None:
        for line in (
            whole("verify", "receipt.json", "--model", "llm@96"),
            whole("task", "result", "ID", "--model", "digits"),
            whole("--json", "demo", "--fault", "weight"),
            whole("provider", "run", "--model", "digits", environment=frozenset({"GAVEL_KEY"})),
        ):
            self.assertEqual(self.binary.problems(line), [], str(line))

    def test_wrong_lines(self) -> None:
        for line, why in (
            (whole("verifi", "x"), "unrecognized subcommand"),
            (whole("run", "digits", "x.png", "--colour", "red"), "unexpected argument"),
            (whole("demo", "--fault", "nonsense"), "invalid value"),
            (whole("key", "new", "a", "b"), "unexpected argument"),
            (whole("task", "result", "1"), "it lacks --model"),
            (whole("provider", "run", "--model", "digits"), "it lacks --key"),
            (whole("task", "result", "--model", "digits"), "0 of the 1 arguments"),
            (whole("provider"), "subcommand"),
        ):
            problems = self.binary.problems(line)
            self.assertEqual(len(problems), 1, str(line))
            self.assertIn(why, problems[0])

    def test_pending_commands(self) -> None:
        self.assertEqual(self.binary.problems(whole("levitate", "--high")), [])
        self.assertEqual(self.binary.stale(), [])
        self.assertEqual(len(command_lines.Binary(gavel(), ["verify", "levitate"]).stale()), 1)


class Pages(unittest.TestCase):
    def test_the_pages_that_are_checked_have_command_lines(self) -> None:
        for page in ("README.md", "docs/network.md", "docs/quickstart-user.md", "docs/quickstart-provider.md", "docs/quickstart-watcher.md"):
            self.assertGreater(len(command_lines.in_markdown((ROOT / page).read_text(), page)), 5, page)


if __name__ == "__main__":
    unittest.main()
