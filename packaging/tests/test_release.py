"""The release recipe: reproducible archives, the bill of materials, signing, and that falsified releases do not verify."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
import unittest

from support import PACKAGING, ROOT

RELEASE = PACKAGING / "release"


def run(*command: str | pathlib.Path, **more: object) -> subprocess.CompletedProcess:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, check=False, **more)


def build_target() -> str:
    return next(line.removeprefix("host: ") for line in run("rustc", "-vV").stdout.splitlines() if line.startswith("host: "))


@unittest.skipUnless(shutil.which("cargo") and shutil.which("ssh-keygen"), "cargo or ssh-keygen is missing")
class Release(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.base = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        binary = cls.base / "gavel"
        binary.write_bytes(b"\x7fELF stands for the compiled one")
        cls.built = []
        for name in ("one", "two"):
            # the second one in another zone, at another time, under another mask
            environment = os.environ | ({"TZ": "Asia/Tokyo"} if name == "two" else {})
            os.utime(binary, (1, 1) if name == "two" else None)
            done = run(RELEASE / "build", "--allow-dirty", "--binary", binary, cls.base / name, env=environment, umask=0o077 if name == "two" else 0o022)
            assert done.returncode == 0, done.stderr
            cls.built.append(cls.base / name)
        for who in ("maintainer", "stranger"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", cls.base / who)
        key = " ".join((cls.base / "maintainer.pub").read_text().split()[:2])
        cls.signers = cls.base / "allowed_signers"
        cls.signers.write_text(f'releases@gavel namespaces="gavel-release" {key}\n')

    def signed(self) -> pathlib.Path:
        """A signed copy of the release to do harm to."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.base)) / "release"
        shutil.copytree(self.built[0], folder)
        done = run(RELEASE / "sign", folder, self.base / "maintainer", self.signers)
        self.assertEqual(done.returncode, 0, done.stderr)
        return folder

    def verify(self, folder: pathlib.Path, signers: pathlib.Path | None = None) -> subprocess.CompletedProcess:
        return run(RELEASE / "verify", folder, signers or self.signers)

    def test_twice_the_same_bytes(self) -> None:
        names = sorted(p.name for p in self.built[0].iterdir())
        self.assertEqual(names, sorted(p.name for p in self.built[1].iterdir()))
        self.assertEqual(len(names), 3)
        for name in names:
            self.assertEqual((self.built[0] / name).read_bytes(), (self.built[1] / name).read_bytes(), name)

    def test_what_is_in_the_archive(self) -> None:
        archive = next(self.built[0].glob("*.tar.gz"))
        listed = run("tar", "--list", "--verbose", "--numeric-owner", "--gzip", "--file", archive).stdout
        self.assertRegex(listed, r"-rwxr-xr-x 0/0 .*/gavel\n")
        for file in ("LICENSE-MIT", "SECURITY.md", "systemd/gavel-provider@.service"):
            self.assertIn(file, listed)

    def test_a_signed_release_verifies(self) -> None:
        done = self.verify(self.signed())
        self.assertEqual((done.returncode, done.stdout), (0, "verified: 2 files\n"), done.stderr)

    def test_one_wrong_byte_anywhere(self) -> None:
        for pattern in ("*.tar.gz", "*.json", "SHA256SUMS", "SHA256SUMS.sig"):
            folder = self.signed()
            file = next(folder.glob(pattern))
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
            with self.subTest(pattern):
                done = self.verify(folder)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn("not verified", done.stderr)

    def test_checksums_made_anew_are_not_signed(self) -> None:
        folder = self.signed()
        next(folder.glob("*.tar.gz")).write_bytes(b"something else")
        with (folder / "SHA256SUMS").open("w") as sums:
            subprocess.run("sha256sum -- *.tar.gz *.json", shell=True, cwd=folder, stdout=sums, check=True)
        self.assertIn("is not signed by anybody", self.verify(folder).stderr)

    def test_missing_and_added_files(self) -> None:
        folder = self.signed()
        (folder / "gavel-for-windows.exe").write_bytes(b"MZ")
        self.assertIn("is not among what was signed", self.verify(folder).stderr)
        folder = self.signed()
        next(folder.glob("*.json")).unlink()
        self.assertIn("is not what was signed", self.verify(folder).stderr)

    def test_strangers_and_other_namespaces(self) -> None:
        folder = self.signed()
        (folder / "SHA256SUMS.sig").unlink()
        run("ssh-keygen", "-q", "-Y", "sign", "-f", self.base / "stranger", "-n", "gavel-release", folder / "SHA256SUMS")
        self.assertEqual(self.verify(folder).returncode, 1)
        (folder / "SHA256SUMS.sig").unlink()
        run("ssh-keygen", "-q", "-Y", "sign", "-f", self.base / "maintainer", "-n", "git", folder / "SHA256SUMS")
        self.assertEqual(self.verify(folder).returncode, 1)

    def test_a_list_without_signers(self) -> None:
        empty = self.base / "empty"
        empty.write_text("# nobody\n")
        done = self.verify(self.signed(), empty)
        self.assertEqual(done.returncode, 1)
        self.assertIn("names nobody", done.stderr)

    def test_signing_refuses_checksums_that_do_not_fit(self) -> None:
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.base)) / "release"
        shutil.copytree(self.built[0], folder)
        next(folder.glob("*.tar.gz")).write_bytes(b"")
        self.assertNotEqual(run(RELEASE / "sign", folder, self.base / "maintainer", self.signers).returncode, 0)
        self.assertFalse((folder / "SHA256SUMS.sig").exists())

    def test_a_folder_that_is_not_empty(self) -> None:
        self.assertEqual(run(RELEASE / "build", "--allow-dirty", self.built[0]).returncode, 2)

    def test_the_place_of_the_checkout_is_not_in_the_program(self) -> None:
        """The flags of the recipe on a program that says where it was compiled: two places, the same bytes; without them, others."""
        flags = dict(line.split("=", 1) for line in run(RELEASE / "build", "--print-environment").stdout.splitlines())["RUSTFLAGS"]
        self.assertIn(str(ROOT), flags)
        made: dict[bool, list[bytes]] = {True: [], False: []}
        for with_flags in made:
            for name in ("here", "there/and/deeper"):
                folder = self.base / f"place-{with_flags}" / name
                folder.mkdir(parents=True)
                (folder / "main.rs").write_text('fn main() { let v: Vec<u8> = vec![]; println!("{} {}", file!(), v[std::env::args().count()]); }\n')
                more = flags.replace(str(ROOT), str(folder)).split() if with_flags else []
                # what the linker is given is named after the output, which is the same in both places
                done = run("rustc", "-O", "-C", "strip=debuginfo", "--crate-name", "place", *more, folder / "main.rs", "-o", folder / "place", cwd=folder)
                self.assertEqual(done.returncode, 0, done.stderr)
                made[with_flags].append((folder / "place").read_bytes())
        self.assertEqual(*made[True])
        self.assertNotEqual(*made[False])


@unittest.skipUnless(shutil.which("cargo"), "cargo is missing")
class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        done = run(RELEASE / "sbom", "--target", build_target(), env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})
        assert done.returncode == 0, done.stderr
        cls.text = done.stdout
        cls.bill = json.loads(done.stdout)
        cls.components = {c["bom-ref"]: c for c in cls.bill["components"]}

    def test_what_is_in_the_binary_and_what_is_not(self) -> None:
        names = {c["name"] for c in self.components.values()}
        self.assertLessEqual({"alloy", "revm", "axum", "rusqlite", "libsqlite3-sys", "gavel-numerics", "tales-q8_0.gguf", "@openzeppelin/contracts"}, names)
        # a dependency of tests alone
        self.assertNotIn("proptest", names)

    def test_every_crate_is_pinned_and_licensed(self) -> None:
        lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
        checksums = {p["name"] + "@" + p["version"]: p["checksum"] for p in lock["package"] if "checksum" in p}
        crates = [c for r, c in self.components.items() if r.startswith("pkg:cargo/")]
        self.assertGreater(len(crates), 300)
        for crate in crates:
            self.assertTrue(crate["licenses"], crate["name"])
            if not crate["name"].startswith("gavel-"):
                self.assertEqual(crate["hashes"], [{"alg": "SHA-256", "content": checksums[crate["name"] + "@" + crate["version"]]}])

    def test_dependencies_are_components(self) -> None:
        known = set(self.components) | {self.bill["metadata"]["component"]["bom-ref"]}
        for entry in self.bill["dependencies"]:
            self.assertLessEqual({entry["ref"], *entry["dependsOn"]}, known)

    def test_every_model_inside_the_binary_is_listed(self) -> None:
        listed = {c["name"]: c["hashes"][0]["content"] for c in self.components.values() if c["type"] == "machine-learning-model"}
        self.assertEqual(set(listed), {"digits.onnx", "digits-small.onnx", "digits-mlp.onnx", "shapes.onnx", "tales-q8_0.gguf"})
        for name, digest in listed.items():
            self.assertEqual(hashlib.sha256((ROOT / "models" / name).read_bytes()).hexdigest(), digest)

    def test_the_same_checkout_gives_the_same_bill(self) -> None:
        again = run(RELEASE / "sbom", "--target", build_target(), env=os.environ | {"SOURCE_DATE_EPOCH": "1700000000"})
        self.assertEqual(again.stdout, self.text)

    def test_schema(self) -> None:
        """CycloneDX's own schema, strictly."""
        python = sys.executable
        if run(python, "-c", "import cyclonedx, jsonschema").returncode != 0:
            self.skipTest("no cyclonedx-python-lib: pip install --requirement packaging/tests/requirements.txt")
        program = (
            "import sys\nfrom cyclonedx.schema import SchemaVersion\nfrom cyclonedx.validation.json import JsonStrictValidator\n"
            "print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))"
        )
        self.assertEqual(run(python, "-c", program, input=self.text).stdout, "None\n")
        broken = json.dumps(self.bill | {"components": [{"type": "thing", "name": "x"}]})
        self.assertNotEqual(run(python, "-c", program, input=broken).stdout, "None\n")


if __name__ == "__main__":
    unittest.main()
