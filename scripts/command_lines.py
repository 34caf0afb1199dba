"""Command lines of `gavel` in documents, units and container files, judged by the binary itself.

A line is run with `--help` behind it: the binary's own parser then sees every flag and value before it prints the help of the
command it got to. What a command demands is read from the usage line of that help.
"""

import dataclasses
import functools
import re
import shlex
import subprocess

# Commands that documents may name before the binary has them. Whoever merges one takes it off this list: a command that is
# on it and in the binary fails the check.
PENDING = []

# What documents write in the place of a value that has to parse.
EXAMPLES = {"ID": "1", "N": "1", "SECONDS": "60", "TOKENS": "1", "ADDRESS": "0x" + "0" * 40}
SEPARATORS = {"&&", "||", ";", "|", "&", "(", ")", "{", "}", "do", "then", "else", "if", "while", "!", "time", "exec", "sudo"}
REDIRECTIONS = {">", ">>", "<", "2>", "&>", ">&"}


@dataclasses.dataclass(frozen=True)
class CommandLine:
    """What follows `gavel`, where it stands, and whether it is meant to be run as it is."""

    words: tuple[str, ...]
    where: str
    whole: bool = True
    # variables that are set where it runs
    environment: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return shlex.join(("gavel", *self.words))


class Binary:
    """A built `gavel`, asked for help."""

    def __init__(self, path: str, pending: list[str] | None = None) -> None:
        self.path = str(path)
        self.pending = [tuple(entry.split()) for entry in (PENDING if pending is None else pending)]

    @functools.cache
    def help(self, words: tuple[str, ...]) -> tuple[int, str]:
        """Exit status and text of `gavel WORDS --help`."""
        done = subprocess.run([self.path, *words, "--help"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)
        return done.returncode, done.stdout if done.returncode == 0 else done.stderr

    def is_pending(self, line: CommandLine) -> bool:
        return any(line.words[: len(entry)] == entry for entry in self.pending)

    def stale(self) -> list[str]:
        """Pending commands that are there."""
        return [
            f"`gavel {' '.join(entry)}` is there: take it off PENDING in scripts/command_lines.py"
            for entry in self.pending
            if self.help(entry)[0] == 0
        ]

    def problems(self, line: CommandLine) -> list[str]:
        """What is wrong with a line; nothing for a pending command."""
        if self.is_pending(line):
            return []
        words = tuple(EXAMPLES.get(word, word) for word in line.words)
        status, text = self.help(words)
        if status != 0:
            return [f"{line.where}: {line}\n    {text.strip().splitlines()[0] if text.strip() else f'status {status}'}"]
        return [f"{line.where}: {line}\n    {missing}" for missing in self._missing(line, words, text)] if line.whole else []

    def _missing(self, line: CommandLine, words: tuple[str, ...], text: str) -> list[str]:
        usage = re.search(r"^Usage: \S+((?: [a-z][a-z-]*)*)(.*)$", text, re.M)
        if usage is None:
            return ["its help has no usage line"]
        if "<COMMAND>" in usage[2]:
            return ["it lacks a subcommand"]
        demanded = re.sub(r"\[[^]]*\]\S*", "", usage[2])
        flags = re.findall(r"(--[a-z-]+) <", demanded)
        positional = re.findall(r"<", re.sub(r"--[a-z-]+ <[^>]*>", "", demanded))
        given = [word.partition("=")[0] for word in words]
        found = []
        variables = dict(re.findall(r"(--[a-z-]+) <[^>]+>(?:(?!\n +(?:-\w, )?--[a-z]).)*?\[env:\s+([A-Z_]+)=", text, re.S))
        found += [f"it lacks {flag}" for flag in flags if flag not in given and variables.get(flag) not in line.environment]
        rest = self._positionals(words[len(usage[1].split()) :], text)
        if rest < len(positional):
            found.append(f"it has {rest} of the {len(positional)} arguments that it needs")
        return found

    @staticmethod
    def _positionals(words: tuple[str, ...], text: str) -> int:
        with_value = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+) <", text, re.M)) | set(re.findall(r"^ +(-\w), --[a-z-]+ <", text, re.M))
        count, skip = 0, False
        for word in words:
            if skip:
                skip = False
            elif word.startswith("-") and word != "-":
                skip = word in with_value
            else:
                count += 1
        return count


def in_shell(text: str, where: str, environment: frozenset[str] = frozenset()) -> list[CommandLine]:
    """The command lines of a piece of shell."""
    found = []
    for inner in re.findall(r"\$\((gavel [^()]*)\)", text):
        found += in_shell(inner, where, environment)
    text = re.sub(r"\$\([^()]*\)", EXAMPLES["ADDRESS"], text)
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        tokens = list(lexer)
    except ValueError as error:
        return [*found, CommandLine(("(cannot be read: " + str(error) + ")",), where)] if "gavel " in text else found
    start, words, skip = True, None, False
    for token in [*tokens, ";"]:
        if skip:
            skip = False
        elif token in SEPARATORS:
            if words is not None:
                found.append(CommandLine(tuple(words), where, True, environment))
            start, words = True, None
        elif token in REDIRECTIONS:
            skip = True
        elif words is not None:
            variable = re.fullmatch(r"\$\w+|\$\{\w+\}", token)
            if variable and words and words[-1].startswith("--"):
                words.append(EXAMPLES["ADDRESS"])
            # otherwise a variable is a list of flags, and dots are "and so on"
            elif not variable and token != "...":
                words.append(re.sub(r"\$\{?\w+\}?", "x", token))
        elif start and token == "gavel":
            words = []
        elif not re.match(r"\w+=", token):
            start = False
    return found


def alternatives(words: list[str]) -> list[list[str]]:
    """`model id|inspect` says two command lines."""
    for i, word in enumerate(words):
        if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word):
            return [line for choice in word.split("|") for line in alternatives([*words[:i], choice, *words[i + 1 :]])]
    return [words]


def in_markdown(text: str, where: str) -> list[CommandLine]:
    """The command lines of a page: those of its code blocks, to be run as they are, and those that its sentences name."""
    found = []
    environment = frozenset(re.findall(r"\b(GAVEL_[A-Z_]+)=", text))
    block, pending = None, ""
    for number, line in enumerate(text.splitlines(), 1):
        fence = re.match(r"\s*```(\w*)", line)
        if fence:
            block = None if block is not None else fence[1]
            pending = ""
        elif block in ("", "sh", "bash", "console", "shell"):
            code = pending + re.sub(r"^\s*\$ ", "", line).strip()
            if code.endswith("\\"):
                pending = code[:-1]
                continue
            pending = ""
            code = re.sub(r"cargo run --release -- ", "gavel ", code)
            if re.search(r"(^|[\s(])gavel ", code):
                found += in_shell(re.sub(r"\s#.*", "", code), f"{where}:{number}", environment)
        elif block is None:
            for span in re.findall(r"`([^`]+)`", line):
                span = span.replace(r"\|", "|").replace("cargo run --release -- ", "gavel ")
                if not re.match(r"gavel [a-z]", span):
                    continue
                try:
                    words = shlex.split(span)[1:]
                except ValueError:
                    continue
                words = [word for word in words if word not in ("...", "…") and not word.startswith("[")]
                found += [CommandLine(tuple(w), f"{where}:{number}", False) for w in alternatives(words)]
    return found
