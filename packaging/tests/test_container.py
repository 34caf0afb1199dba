"""The container file and the compose file: what they must never say, and whether the binary takes their command lines."""

import copy
import json
import re
import unittest

from support import PACKAGING, ROOT, Network, gavel

import command_lines

try:
    import yaml
except ImportError:
    yaml = None

FOLDER = PACKAGING / "container"
PARTIES = ("provider-1", "provider-2", "provider-3", "watcher", "gateway")
# The port of the gateway, of Prometheus, of Grafana.
PUBLISHED = {"4280", "9090", "3000"}


def instructions(text: str) -> list[tuple[str, str]]:
    """A container file's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.M))
    return [(w.upper(), rest.strip()) for w, _, rest in (line.partition(" ") for line in text.splitlines()) if w]


def pinned(image: str) -> bool:
    """Whether an image has a tag with a version."""
    name, _, tag = image.rpartition("/")[2].partition(":")
    return bool(name) and bool(re.match(r"v?\d+\.\d+", tag))


def container_problems(text: str) -> list[str]:
    found = []
    lines = instructions(text)
    arguments = dict(rest.split("=", 1) for word, rest in lines if word == "ARG")
    froms = [i for i, (word, _) in enumerate(lines) if word == "FROM"]
    stages = {rest.split(" AS ")[1] for word, rest in lines if word == "FROM" and " AS " in rest}
    for i in froms:
        base = lines[i][1].split()[0]
        base = arguments.get(base.strip("${}"), base)
        if base not in stages and not pinned(base):
            found.append(f"base {base} is not pinned")
    last = lines[froms[-1] :]
    words = dict(last)
    if not re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", words.get("USER", "")):
        found.append("it does not run as a numbered user that is not root")
    if words.get("STOPSIGNAL") != "SIGTERM":
        found.append("it is not stopped by SIGTERM")
    if json.loads(words.get("ENTRYPOINT", "null")) != ["gavel"]:
        found.append("its entry point is not gavel itself, which would not see the signal")
    if "HEALTHCHECK" not in words or "CMD [" not in words["HEALTHCHECK"]:
        found.append("it has no health check")
    if any(word == "ADD" or (word == "RUN" and re.search(r"\b(curl|wget)\b", rest)) for word, rest in lines):
        found.append("it fetches what nobody has checked")
    if any(word in ("ENV", "ARG") and re.search(r"PASSWORD|SECRET|TOKEN", rest) for word, rest in lines):
        found.append("a secret would be in a layer")
    return found


def compose_problems(compose: dict) -> list[str]:
    found = []
    services = compose["services"]
    key_holders: dict[str, list[str]] = {}
    used = set()
    for name, service in services.items():
        def say(what: str, name: str = name) -> None:
            found.append(f"{name}: {what}")

        if not pinned(service["image"]):
            say(f"image {service['image']} is not pinned")
        if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user", ""))):
            say("runs as root, or as whom the image says")
        if service.get("read_only") is not True:
            say("may write to its image")
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add") or service.get("privileged"):
            say("has capabilities")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            say("may gain privileges")
        if "mem_limit" not in service:
            say("has no bound on memory")
        if name != "net" and service.get("network_mode") != "service:net":
            say("is outside of the namespace")
        if name != "net" and "ports" in service:
            say("publishes ports")
        for port in service.get("ports", []):
            if not re.fullmatch(r"127\.0\.0\.1:(\d+):\1", str(port)) or str(port).rpartition(":")[2] not in PUBLISHED:
                say(f"publishes {port}")
        if re.search(r"(?i)(password|secret)", json.dumps(service.get("environment", {}))):
            say("has a secret in its environment")
        for needed in service.get("depends_on", {}):
            if needed not in services:
                say(f"depends on {needed}, which is not there")
        for volume in service.get("volumes", []):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                if mode != ["ro"]:
                    say(f"may write to {source}")
                continue
            used.add(source)
            if source not in compose["volumes"]:
                say(f"mounts {source}, which is not declared")
            if source.startswith("keys-") and name != "setup":
                key_holders.setdefault(source, []).append(name)
                if target != "/keys" or mode != ["ro"]:
                    say("may write to its key")
    found += [f"{volume} is seen by {', '.join(who)}" for volume, who in key_holders.items() if len(who) > 1]
    found += [f"volume {volume} is of no use" for volume in compose["volumes"] if volume not in used]
    return found


class Containerfile(unittest.TestCase):
    TEXT = (FOLDER / "Containerfile").read_text()

    def test_invariants(self) -> None:
        self.assertEqual(container_problems(self.TEXT), [])

    def test_what_is_wrong_is_found(self) -> None:
        for old, new in (
            ("debian:13.2-slim", "debian:latest"),
            ("debian:13.2-slim", "debian"),
            ("USER 10001:10001", "USER root"),
            ("STOPSIGNAL SIGTERM", "STOPSIGNAL SIGKILL"),
            ('ENTRYPOINT ["gavel"]', 'ENTRYPOINT ["sh", "-c", "gavel"]'),
            ("HEALTHCHECK ", "LABEL "),
            ("COPY . .", "ADD https://example.org/x .\nCOPY . ."),
            ("ENV CARGO_INCREMENTAL=0", "ENV GAVEL_PASSWORD=x"),
        ):
            self.assertIn(old, self.TEXT)
            with self.subTest(new):
                self.assertEqual(len(container_problems(self.TEXT.replace(old, new))), 1)

    def test_the_toolchain_is_new_enough(self) -> None:
        needed = re.search(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())[1]
        self.assertIn(f"rust:{needed}", self.TEXT)

    def test_the_context_has_what_is_compiled_in(self) -> None:
        lines = (FOLDER / "Containerfile.dockerignore").read_text().splitlines()
        let_in = [line[1:] for line in lines if line.startswith("!")]
        wanted = {"Cargo.toml", "Cargo.lock", "packaging/container/setup"}
        for source in [*ROOT.glob("crates/*/src/**/*.rs"), *ROOT.glob("crates/*/build.rs")]:
            for path in re.findall(r'"((?:\.\./)+[\w./-]+)"', source.read_text()):
                # a macro's path starts at its file, one that is joined to the manifest's folder at the crate
                for base in (source.parent, ROOT.joinpath(*source.relative_to(ROOT).parts[:2])):
                    to = (base / path).resolve()
                    if to.exists() and to.is_relative_to(ROOT):
                        wanted.add(str(to.relative_to(ROOT)))
        self.assertGreater(len(wanted), 8)
        for path in sorted(wanted):
            self.assertTrue(any(path == p or path.startswith(p + "/") for p in let_in), f"{path} is not let in")

    @unittest.skipUnless(gavel(), "no built gavel")
    def test_the_binary_takes_the_health_check(self) -> None:
        check = dict(instructions(self.TEXT))["HEALTHCHECK"]
        words = json.loads(check[check.index("CMD ") + 4 :])
        self.assertEqual(words[0], "gavel")
        self.assertEqual(command_lines.Binary(gavel()).problems(command_lines.CommandLine(tuple(words[1:]), "Containerfile")), [])


@unittest.skipUnless(yaml, "no PyYAML: pip install --requirement packaging/tests/requirements.txt")
class Compose(unittest.TestCase):
    def setUp(self) -> None:
        self.compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())

    def test_invariants(self) -> None:
        self.assertEqual(compose_problems(self.compose), [])

    def test_what_is_wrong_is_found(self) -> None:
        for service, change in (
            ("net", {"ports": ["4280:4280"]}),
            ("net", {"ports": ["0.0.0.0:4280:4280"]}),
            ("net", {"ports": ["127.0.0.1:8545:8545"]}),
            ("gateway", {"ports": ["127.0.0.1:4280:4280"]}),
            ("gateway", {"user": "0:0"}),
            ("grafana", {"image": "docker.io/grafana/grafana:latest"}),
            ("watcher", {"read_only": False}),
            ("watcher", {"cap_drop": []}),
            ("watcher", {"privileged": True}),
            ("watcher", {"environment": {"GAVEL_PASSWORD": "x"}}),
            ("prometheus", {"network_mode": "host"}),
            ("prometheus", {"depends_on": {"alertmanager": {}}}),
            ("watcher", {"volumes": ["net:/net", "keys-watcher:/keys", "watcher:/var/lib/gavel"]}),
            ("watcher", {"volumes": ["net:/net", "keys-watcher:/keys:ro", "watcher:/var/lib/gavel", "keys-gateway:/keys:ro"]}),
        ):
            with self.subTest(service, change=change):
                changed = copy.deepcopy(self.compose)
                changed["services"][service].update(change)
                self.assertEqual(len(compose_problems(changed)), 1, compose_problems(changed))

    def test_everybody_is_there(self) -> None:
        self.assertLessEqual({"chain", "setup", "prometheus", "grafana", *PARTIES}, set(self.compose["services"]))

    def test_versions_agree(self) -> None:
        version = re.search(r'^version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]
        ours = [s["image"] for s in self.compose["services"].values() if "gavel" in s["image"]]
        self.assertEqual(set(ours), {f"localhost/gavel:{version}"})

    def test_bind_mounts_are_there(self) -> None:
        for name, service in self.compose["services"].items():
            for volume in service.get("volumes", []):
                source = FOLDER / volume.split(":")[0]
                if volume.startswith(".") and (source.exists() or source.resolve() != ROOT / "ops"):
                    self.assertTrue(source.exists(), f"{name} mounts {volume}")

    def test_monitoring(self) -> None:
        config = yaml.safe_load((FOLDER / "monitoring/prometheus.yml").read_text())
        targets = {t for job in config["scrape_configs"] for s in job["static_configs"] for t in s["targets"]}
        command = self.compose["services"]["gateway"]["command"]
        self.assertEqual(targets, {command[command.index("--ops") + 1]})
        for file in (FOLDER / "monitoring/grafana").rglob("*.yml"):
            self.assertEqual(yaml.safe_load(file.read_text())["apiVersion"], 1)
        if not (ROOT / "ops").exists():
            self.skipTest("ops/ is not there yet")
        for file in config["rule_files"]:
            self.assertTrue((ROOT / file.lstrip("/")).exists(), file)
        self.assertTrue(list((ROOT / "ops/grafana").rglob("*.json")))

    @unittest.skipUnless(gavel(), "no built gavel")
    def test_the_binary_takes_the_command_lines(self) -> None:
        binary = command_lines.Binary(gavel())
        ours = {n: s for n, s in self.compose["services"].items() if "gavel" in s["image"] and "entrypoint" not in s}
        self.assertEqual(set(ours), {"chain", *PARTIES})
        for name, service in ours.items():
            with self.subTest(name):
                self.assertEqual(binary.problems(command_lines.CommandLine(tuple(service["command"]), f"compose.yaml {name}")), [])


@unittest.skipUnless(gavel(), "no built gavel")
class Setup(unittest.TestCase):
    """The script that makes the network, on a chain of its own."""

    def test_once_and_again(self) -> None:
        network = Network(self)
        seen = []
        for _ in range(2):
            self.assertTrue(network.set_up().endswith("the network is ready\n"))
            seen.append({p: p.read_bytes() for folder in ("keys", "net") for p in (network.base / folder).rglob("*") if p.is_file()})
        self.assertEqual(*seen)
        for party in ("deployer", *PARTIES):
            for file in ("key.json", "password"):
                self.assertEqual((network.base / "keys" / party / file).stat().st_mode & 0o777, 0o600)
        key = network.base / "keys/watcher"
        address = network.run("gavel", "key", "address", key / "key.json", "--password-file", key / "password").stdout.strip()
        shown = network.run("gavel", "--json", "account", "show", address)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("100000", shown.stdout)
        listed = network.run("gavel", "provider", "list")
        self.assertEqual(listed.returncode, 0, listed.stderr)


if __name__ == "__main__":
    unittest.main()
