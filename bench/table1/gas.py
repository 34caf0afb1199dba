"""Gas of verifying one EZKL proof on chain: the verifier contract that EZKL writes, compiled by the project's pinned compiler, on an anvil of
its own. Tools come from `contracts/node_modules` (`npm ci` there); nothing is fetched."""

import json
import pathlib
import platform
import socket
import subprocess
import time
from dataclasses import dataclass

CONTRACTS = pathlib.Path(__file__).resolve().parents[2] / "contracts"
# anvil's first well-known development account
KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


@dataclass(frozen=True)
class Gas:
    verify: int
    deploy: int
    code_bytes: int


def tool(name: str) -> pathlib.Path | None:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    path = CONTRACTS / "node_modules" / "@foundry-rs" / f"{name}-linux-{machine}" / "bin" / name
    return path if path.exists() else None


def compiled(solidity: pathlib.Path) -> tuple[str, int]:
    """Creation code in hexadecimal, and the bytes that are deployed."""
    settings = {
        "optimizer": {"enabled": True, "runs": 200},
        "evmVersion": "cancun",
        "outputSelection": {"*": {"*": ["evm.bytecode.object", "evm.deployedBytecode.object"]}},
    }
    task = {"language": "Solidity", "sources": {"v": {"content": solidity.read_text()}}, "settings": settings}
    command = [CONTRACTS / "tools" / "solc", "--standard-json"]
    answer = json.loads(subprocess.run(command, input=json.dumps(task), stdout=subprocess.PIPE, text=True, check=True).stdout)
    code = answer["contracts"]["v"]["Halo2Verifier"]["evm"]
    return code["bytecode"]["object"], len(code["deployedBytecode"]["object"]) // 2


def measure(solidity: pathlib.Path, proof: pathlib.Path) -> Gas | None:
    """None where the tools are not installed."""
    anvil, cast = tool("anvil"), tool("cast")
    if not anvil or not cast:
        return None
    creation, code_bytes = compiled(solidity)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = subprocess.Popen([anvil, "--port", str(port), "--code-size-limit", "1000000", "--silent"])

    def ask(command: str, *arguments: str) -> str:
        whole = [cast, command, "--rpc-url", f"http://127.0.0.1:{port}", *arguments]
        return subprocess.run(whole, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=True).stdout.strip()

    try:
        wait(ask)
        deployed = json.loads(ask("send", "--private-key", KEY, "--json", "--create", "0x" + creation))
        made = json.loads(proof.read_text())
        instances = [int.from_bytes(bytes.fromhex(word), "little") for column in made["instances"] for word in column]
        call = [deployed["contractAddress"], "verifyProof(bytes,uint256[])(bool)", made["hex_proof"]]
        call.append("[" + ",".join(map(str, instances)) + "]")
        if ask("call", *call) != "true":
            raise SystemExit("the contract does not accept the proof")
        call[1] = call[1].removesuffix("(bool)")
        return Gas(int(ask("estimate", *call)), int(deployed["gasUsed"], 16), code_bytes)
    finally:
        node.kill()
        node.wait()


def wait(ask) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            ask("block-number")
            return
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise SystemExit("anvil did not start within a minute") from None
            time.sleep(0.1)
