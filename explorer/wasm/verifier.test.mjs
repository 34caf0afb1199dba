// The committed wasm on the files of real disputes and receipts, and on each with one field changed.
// usage: node --test explorer/wasm/verifier.test.mjs     (esbuild of explorer/node_modules makes the loader JavaScript)
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { transformSync } from "esbuild";

const here = new URL(".", import.meta.url);
const read = (name) => readFileSync(new URL(name, here));
const { code } = transformSync(read("verifier.ts").toString(), { loader: "ts" });
const { against, loadVerifier } = await import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);

const wasm = read("verifier.wasm");
const verifier = await loadVerifier(wasm);
const names = readdirSync(new URL("fixtures", here)).filter((name) => name.endsWith(".json") && name !== "verdicts.json");
const verdicts = JSON.parse(read("fixtures/verdicts.json"));
const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));
const red = (report) => report.checks.filter((check) => !check.ok).map((check) => `${check.what}|${check.expected}|${check.found}`);

test("the wasm is the one whose digest is beside it, and asks the host for nothing", () => {
  const [sum] = read("verifier.wasm.sha256").toString().split(" ");
  assert.equal(createHash("sha256").update(wasm).digest("hex"), sum);
  const module = new WebAssembly.Module(wasm);
  assert.deepEqual(WebAssembly.Module.imports(module), []);
  const functions = WebAssembly.Module.exports(module).filter((e) => e.kind === "function").map((e) => e.name);
  assert.deepEqual(functions.sort(), ["verifier_alloc", "verifier_free", "verifier_verify"]);
});

for (const name of names) {
  test(`${name}: the verdict is the native one, line by line`, async () => {
    assert.deepEqual(await verifier.verify(read(`fixtures/${name}`)), verdicts[name]);
  });
}

/** All places of a JSON value that hold a string or a number. */
function* leaves(value, path = []) {
  if (typeof value === "string" || typeof value === "number") yield path;
  else if (value && typeof value === "object") for (const key of Object.keys(value)) yield* leaves(value[key], [...path, key]);
}

const at = (value, path) => path.reduce((inner, key) => inner[key], value);

/** Another value of the same shape. */
function falsified(value) {
  if (typeof value === "number") return value + 1;
  if (value.startsWith("0x")) return value.slice(0, -1) + (value.endsWith("0") ? "1" : "0");
  return (value.startsWith("A") ? "B" : "A") + value.slice(1);
}

// what no hash in evidence covers: the file's word, which `against` compares with the chain
const CHAIN = {
  "task.chain_id": "chain",
  "task.court": "court",
  "task.task_id": "task",
  "task.attempt": "attempt",
  "task.input_digest": "input digest", // the leaf before the first is this; in any other place nothing is
  "task.seed": "seed",
  "task.provider": "provider",
  "ruling.referee": "referee",
};
// another element of the chunk may be wrong too, and another batch be one of the run
const FREE = new Set(["element.element", "element.batch"]);

for (const name of names) {
  test(`${name}: each falsified field turns a check red`, async () => {
    const good = JSON.parse(read(`fixtures/${name}`));
    const baseline = await verifier.verify(bytes(good));
    const facts = Object.fromEntries(baseline.claims.map((claim) => [claim.what, claim.says]));
    const before = new Set(red(baseline));
    let tried = 0;
    for (const path of leaves(good)) {
      const place = path.join(".");
      if (FREE.has(place)) continue;
      const bad = structuredClone(good);
      at(bad, path.slice(0, -1))[path.at(-1)] = falsified(at(good, path));
      const alone = await verifier.verify(bytes(bad));
      const found = CHAIN[place] && baseline.kind === "evidence" ? against(alone, { [CHAIN[place]]: facts[CHAIN[place]] }) : alone;
      assert(red(found).some((line) => !before.has(line)), `${place}: ${JSON.stringify(at(good, path)).slice(0, 80)}`);
      tried += 1;
    }
    assert(tried > 10);
  });
}

test("a right element is not passed off as a wrong one", async () => {
  const good = JSON.parse(read("fixtures/evidence-false-one-ulp.json"));
  good.element.element += good.element.element === 0 ? 1 : -1;
  const report = await verifier.verify(bytes(good));
  assert(report.checks.some((check) => !check.ok && check.what === "wrong element, step by step"), JSON.stringify(report.checks.at(-1)));
  assert.equal(report.step, null);
});

test("what is no file is said to be none, whatever it is", async () => {
  const good = read("fixtures/evidence-true.json");
  const files = ["", "no", "{}", "[]", "null", '{"receipt":1}', '{"signature":{}}', '{"claimed_digest":[]}', "[".repeat(100000), '{"receipt":' + "[".repeat(1000)];
  for (const file of [...files.map((text) => new TextEncoder().encode(text)), good.subarray(0, good.length / 2), new Uint8Array([0, 255, 254])]) {
    const report = await verifier.verify(file);
    assert.equal(report.verdict, "void");
    assert.equal(report.checks.length, 1);
    assert.equal(report.checks[0].ok, false);
  }
});

test("a few bytes that stand for many zeros are not filled in", async () => {
  const file = JSON.parse(read("fixtures/receipt.json"));
  file.outputs[0] = { header: { dtype: 4, dims: [2 ** 40] }, bytes: "" };
  assert.equal((await verifier.verify(bytes(file))).verdict, "unjudged");
  file.outputs = Array(1000).fill({ header: { dtype: 4, dims: [2 ** 20] }, bytes: "" });
  assert.equal((await verifier.verify(bytes(file))).verdict, "unjudged");
});
