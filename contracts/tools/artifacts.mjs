// Writes artifacts/<Name>.json for every deployable contract of src/, or with --check recompiles and compares.
//
//   node tools/artifacts.mjs           recompile and write
//   node tools/artifacts.mjs --check   recompile and fail on any difference
//   node tools/artifacts.mjs --names   list what is written
//
// The compiler and its settings are read from foundry.toml, so that the bytes are those that `forge test` ran. Output is
// deterministic: no metadata hash, keys in a fixed order, no paths.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const require = createRequire(path.join(root, "package.json"));
const solc = require("solc");

const CODE_SIZE_MAX = 24_576; // EIP-170
const INIT_CODE_SIZE_MAX = 49_152; // EIP-3860
// Interfaces that clients bind to; they have an ABI and no code.
const INTERFACES = ["IStakeVault", "IMarket", "ICourt", "IAudits", "IBeacon", "IProviderPool", "IParameters", "IAppealLevels", "IDemands", "ITraps"];

function setting(toml, key) {
  const line = toml.split("\n").find((l) => l.startsWith(`${key} =`));
  if (!line) throw new Error(`foundry.toml has no '${key}'`);
  return line.slice(line.indexOf("=") + 1).trim().replaceAll('"', "");
}

function walk(folder) {
  return fs
    .readdirSync(folder, { withFileTypes: true })
    .flatMap((e) => (e.isDirectory() ? walk(path.join(folder, e.name)) : [path.join(folder, e.name)]))
    .filter((f) => f.endsWith(".sol"))
    .sort();
}

function compile() {
  const toml = fs.readFileSync(path.join(root, "foundry.toml"), "utf8");
  const settings = {
    remappings: ["@openzeppelin/contracts/=node_modules/@openzeppelin/contracts/"],
    optimizer: { enabled: setting(toml, "optimizer") === "true", runs: Number(setting(toml, "optimizer_runs")) },
    evmVersion: setting(toml, "evm_version"),
    viaIR: /^via_ir = true$/m.test(toml),
    metadata: { useLiteralContent: false, bytecodeHash: setting(toml, "bytecode_hash"), appendCBOR: setting(toml, "cbor_metadata") === "true" },
  };
  const sources = {};
  for (const file of walk(path.join(root, "src"))) {
    sources[path.relative(root, file)] = { content: fs.readFileSync(file, "utf8") };
  }
  const input = {
    language: "Solidity",
    sources,
    settings: { ...settings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.linkReferences"] } } },
  };
  const find = (name) => {
    const file = path.join(root, name.startsWith("@openzeppelin/") ? path.join("node_modules", name) : name);
    return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: `no such file: ${name}` };
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: find }));
  const errors = (output.errors ?? []).filter((e) => e.severity === "error");
  if (errors.length) throw new Error(errors.map((e) => e.formattedMessage).join("\n"));
  return { contracts: output.contracts, compiler: { version: solc.version().replace(/\.Emscripten.*/, ""), settings } };
}

function artifacts() {
  const { contracts, compiler } = compile();
  const written = new Map();
  for (const [file, named] of Object.entries(contracts)) {
    if (!file.startsWith("src/")) continue;
    for (const [contractName, c] of Object.entries(named)) {
      const code = c.evm.deployedBytecode.object;
      const isInterface = INTERFACES.includes(contractName);
      const isLibrary = code !== "" && c.abi.every((item) => item.type === "error");
      if (isLibrary || (code === "" && !isInterface)) continue;
      if (written.has(contractName)) throw new Error(`two contracts are called ${contractName}`);
      if (Object.keys(c.evm.deployedBytecode.linkReferences).length) throw new Error(`${contractName} needs linking`);
      if (code.length / 2 > CODE_SIZE_MAX) throw new Error(`${contractName}: ${code.length / 2} bytes of code, at most ${CODE_SIZE_MAX}`);
      const init = c.evm.bytecode.object;
      if (init.length / 2 > INIT_CODE_SIZE_MAX) throw new Error(`${contractName}: ${init.length / 2} bytes of init code, at most ${INIT_CODE_SIZE_MAX}`);
      const artifact = {
        contractName,
        abi: c.abi,
        bytecode: isInterface ? "0x" : `0x${init}`,
        deployedBytecode: isInterface ? "0x" : `0x${code}`,
        compiler,
      };
      written.set(contractName, `${JSON.stringify(artifact, null, 1)}\n`);
    }
  }
  return written;
}

const folder = path.join(root, "artifacts");
const fresh = artifacts();
const mode = process.argv[2] ?? "";
if (mode === "--names") {
  console.log([...fresh.keys()].sort().join("\n"));
} else if (mode === "--check") {
  const found = fs.existsSync(folder) ? fs.readdirSync(folder).filter((f) => f.endsWith(".json")) : [];
  const wrong = [];
  for (const [name, text] of fresh) {
    const file = path.join(folder, `${name}.json`);
    if (!fs.existsSync(file)) wrong.push(`${name}: missing`);
    else if (fs.readFileSync(file, "utf8") !== text) wrong.push(`${name}: differs from its recompilation`);
  }
  for (const file of found) if (!fresh.has(file.replace(/\.json$/, ""))) wrong.push(`${file}: no such contract`);
  if (wrong.length) {
    console.error(wrong.join("\n"));
    console.error("run: npm --prefix contracts run artifacts");
    process.exit(1);
  }
  console.log(`${fresh.size} artifacts agree with their sources`);
} else if (mode === "") {
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { recursive: true });
  for (const [name, text] of fresh) fs.writeFileSync(path.join(folder, `${name}.json`), text);
  console.log(`${fresh.size} artifacts written`);
} else {
  console.error("usage: node tools/artifacts.mjs [--check | --names]");
  process.exit(2);
}
