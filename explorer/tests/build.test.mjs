// What is committed is what the sources build, and it is small.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const files = readdirSync(dist).sort();

test("a rebuild gives the same bytes", () => {
  const other = mkdtempSync(join(tmpdir(), "gavel-dist-"));
  try {
    execFileSync(process.execPath, ["build.mjs", other], { cwd: root });
    assert.deepEqual(readdirSync(other).sort(), files);
    for (const name of files) assert.ok(readFileSync(join(dist, name)).equals(readFileSync(join(other, name))), `${name} is not what the sources build: npm run build`);
  } finally {
    rmSync(other, { recursive: true });
  }
});

test("the page stays within its budget", () => {
  const size = (pattern) => files.filter((n) => pattern.test(n)).reduce((sum, n) => sum + gzipSync(readFileSync(join(dist, n)), { level: 9 }).length, 0);
  const first = size(/^(main-.*\.(js|css)|theme-.*\.js|index\.html|icon-.*)$/);
  const all = size(/(?<!\.wasm)$/);
  const wasm = size(/\.wasm$/);
  console.log(`first load ${first} bytes gzipped, all but the verifier ${all}, the verifier ${wasm}`);
  assert.ok(first <= 48 * 1024, `first load ${first}`);
  assert.ok(all <= 80 * 1024, `all ${all}`);
  assert.ok(wasm <= 320 * 1024, `the verifier ${wasm}`);
});

test("the verifier is the committed one, and the page's scripts lead to it", () => {
  const named = (pattern) => {
    const found = files.filter((n) => pattern.test(n));
    assert.equal(found.length, 1, `${pattern}: ${found}`);
    return found[0];
  };
  const wasm = named(/\.wasm$/);
  const worker = named(/^verifier-worker-.*\.js$/);
  assert.ok(readFileSync(join(dist, wasm)).equals(readFileSync(join(root, "wasm", "verifier.wasm"))), "npm run build");
  assert.ok(readFileSync(join(dist, worker), "utf8").includes(`"/${wasm}"`));
  assert.ok(readFileSync(join(dist, named(/^main-.*\.js$/)), "utf8").includes(`"/${worker}"`));
});

test("nothing inline, nothing from elsewhere", () => {
  const html = readFileSync(join(dist, "index.html"), "utf8");
  assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=/i);
  for (const name of files.filter((n) => /\.(html|css|js)$/.test(n))) {
    const text = readFileSync(join(dist, name), "utf8");
    const urls = (text.match(/https?:\/\/[^"'`\s)]+/g) ?? []).filter((u) => !/^http:\/\/www\.w3\.org\//.test(u));
    assert.deepEqual(urls, [], name);
    assert.doesNotMatch(text, /@import|\beval\(|new Function\(/, name);
  }
});
