"""The systemd units: what systemd itself says of them, and whether the binary takes their command lines."""

import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

from support import PACKAGING, Network, gavel

import command_lines

UNITS = PACKAGING / "systemd"
INSTANCES = {"gavel-provider@.service": "gavel-provider@ann.service"}
NAMES = ["gavel-chain.service", "gavel-provider@.service", "gavel-watcher.service", "gavel-gateway.service"]
# systemd's scale goes from 0 to 100 here, 20 being the 2.0 of its report
MOST_EXPOSURE = "20"
ALWAYS = {
    "DynamicUser": "yes",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "MemoryDenyWriteExecute": "yes",
    "CapabilityBoundingSet": "",
    "SystemCallArchitectures": "native",
    "StateDirectoryMode": "0700",
    "LimitCORE": "0",
    "Restart": "on-failure",
    # a dispute's clock does not stop because a service gave up
    "StartLimitIntervalSec": "0",
}


def settings(path: pathlib.Path) -> list[tuple[str, str]]:
    """Names and values of a unit or an environment file, in order."""
    return [(k, v) for k, _, v in (line.partition("=") for line in path.read_text().splitlines()) if _ and not k.startswith("#")]


def seconds(span: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(s|min|h)", span).groups()
    return int(number) * {"s": 1, "min": 60, "h": 3600}[unit]


class Units(unittest.TestCase):
    def test_all_are_here(self) -> None:
        self.assertEqual(sorted(NAMES), sorted(p.name for p in UNITS.glob("*.service")))

    def test_hardening(self) -> None:
        for name in NAMES:
            found = dict(settings(UNITS / name))
            for key, value in ALWAYS.items():
                with self.subTest(name, key=key):
                    self.assertEqual(found.get(key), value)
            with self.subTest(name):
                self.assertRegex(found.get("MemoryMax", ""), r"^\d+G$")
                self.assertIn("StateDirectory", found)

    def test_time_to_drain(self) -> None:
        stop = {name: seconds(dict(settings(UNITS / name))["TimeoutStopSec"]) for name in NAMES}
        # the longest fast window, a quarter of an hour, after the longest run
        self.assertGreaterEqual(stop["gavel-provider@.service"], 1800)
        self.assertGreaterEqual(stop["gavel-gateway.service"], 60)

    def test_keys_are_credentials(self) -> None:
        for name in NAMES:
            found = settings(UNITS / name)
            start = dict(found)["ExecStart"]
            if "--key" not in start:
                continue
            loaded = dict(v.split(":") for k, v in found if k == "LoadCredential")
            for flag, credential in (("--key", "key.json"), ("--password-file", "password")):
                with self.subTest(name, flag=flag):
                    self.assertIn(f"{flag} %d/{credential}", start)
                    self.assertTrue(loaded[credential].startswith("/etc/gavel/"))
            self.assertNotIn("GAVEL_PASSWORD", (UNITS / name).read_text())

    @unittest.skipUnless(gavel(), "no built gavel")
    def test_the_binary_takes_the_command_lines(self) -> None:
        binary = command_lines.Binary(gavel())
        for name in NAMES:
            variables: dict[str, str] = {}
            for key, value in settings(UNITS / name):
                if key == "EnvironmentFile":
                    file = UNITS / "etc" / pathlib.Path(value.replace("%i", "ann")).name
                    self.assertTrue(file.exists(), f"{name} reads {value}, of which there is no example")
                    variables.update(settings(file))
            start = dict(settings(UNITS / name))["ExecStart"]
            for variable in set(re.findall(r"\$(GAVEL_\w+)", start)):
                start = start.replace(f"${variable}", variables[variable])
            words = shlex.split(start.replace("${STATE_DIRECTORY}", "/var/lib/x").replace("%d", "/run/x"))
            self.assertEqual(words[0], "/usr/bin/gavel")
            with self.subTest(name):
                self.assertEqual(binary.problems(command_lines.CommandLine(tuple(words[1:]), name, True, frozenset(variables))), [])


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze: apt-get install systemd")
class Systemd(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        # something to run where /usr/bin/gavel is not installed
        stand_in = shutil.which("true")
        for name in NAMES:
            text = (UNITS / name).read_text().replace("/usr/bin/gavel", stand_in)
            (self.folder / INSTANCES.get(name, name)).write_text(text)

    def analyze(self, *words: str) -> subprocess.CompletedProcess:
        return subprocess.run(["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, timeout=120, cwd=self.folder, check=False)

    def test_verify(self) -> None:
        for file in sorted(self.folder.iterdir()):
            with self.subTest(file.name):
                done = self.analyze("verify", "--man=no", f"./{file.name}")
                self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_verify_finds_a_wrong_unit(self) -> None:
        file = self.folder / "gavel-watcher.service"
        file.write_text(file.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
        done = self.analyze("verify", "--man=no", f"./{file.name}")
        self.assertIn("strictly", done.stderr)

    def test_exposure(self) -> None:
        for file in sorted(self.folder.iterdir()):
            with self.subTest(file.name):
                done = self.analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", f"./{file.name}")
                self.assertEqual(done.returncode, 0, done.stdout[-400:] + done.stderr)

    def test_exposure_of_a_soft_unit_is_too_much(self) -> None:
        file = self.folder / "gavel-watcher.service"
        soft = [line for line in file.read_text().splitlines() if not re.match("Protect|Private|SystemCall|Restrict|Capab|Dynamic", line)]
        file.write_text("\n".join(soft))
        self.assertNotEqual(self.analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", f"./{file.name}").returncode, 0)


def allowed(group: str) -> set[str]:
    """System calls of one of systemd's groups, with those of the groups in it."""
    listed = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter", group], capture_output=True, text=True, timeout=60, check=True).stdout
    words = [line.strip() for line in listed.splitlines()[1:] if line.strip() and not line.strip().startswith("#")]
    return set().union(*(allowed(word) if word.startswith("@") else {word} for word in words))


@unittest.skipUnless(gavel() and shutil.which("strace") and shutil.which("systemd-analyze"), "no built gavel, strace or systemd-analyze")
class SystemCalls(unittest.TestCase):
    """What the units refuse, the program does not ask for: a chain, and a provider that stakes, serves and drains."""

    def test_filters_and_families(self) -> None:
        traces = {name: pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "trace" for name in ("gavel-chain.service", "gavel-provider@.service")}
        chain, provider = (("strace", "-f", "-qq", "-o", str(trace)) for trace in traces.values())
        try:
            network = Network(self, prefix=chain)
        except TypeError:
            self.skipTest("strace may not trace here")
        network.set_up()
        key = network.base / "keys/provider-1"
        said = network.start("provider", "run", "--model", "digits", "--key", str(key / "key.json"), "--password-file", str(key / "password"), prefix=provider)
        self.assertIn("provider", said)
        network.stop()
        for name, trace in traces.items():
            text = trace.read_text()
            unit = settings(UNITS / name)
            refused = {c for k, v in unit if k == "SystemCallFilter" and v.startswith("~") for g in v[1:].split() for c in allowed(g)}
            named = [w for k, v in unit if k == "SystemCallFilter" and not v.startswith("~") for w in v.split()]
            there = set().union(*(allowed(w) if w.startswith("@") else {w} for w in named)) - refused
            used = set(re.findall(r"^\d+ +(\w+)\(", text, re.M))
            with self.subTest(name):
                self.assertGreater(len(used), 20)
                # SQLite gives files to their folder's owner where it runs as root: as this test may, and the units do not
                self.assertEqual(used - there - {"fchown"}, set())
                self.assertLessEqual(set(re.findall(r"\bsocket\((AF_\w+)", text)), set(dict(unit)["RestrictAddressFamilies"].split()))
                self.assertNotIn("PROT_WRITE|PROT_EXEC", text)


if __name__ == "__main__":
    unittest.main()
