// The pages of a real network with a cheat in it: GAVEL_BIN names the binary.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { by, launch, open } from "./browser.mjs";
import { fits, labelled, legible } from "./checks.mjs";

const binary = process.env.GAVEL_BIN;
/** A network has to make its models ready, and a dispute runs through its windows. */
const PATIENCE = 300_000;

async function up(...args) {
  const child = spawn(binary, ["up", "--json", "--port", "0", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  child.stderr.on("data", (d) => said.push(String(d)));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      try {
        const event = JSON.parse(line);
        if (event.explorer) resolve(event.explorer);
      } catch {
        said.push(line);
      }
    });
    ended.then((code) => reject(new Error(`gavel up ended with ${code}: ${said.join("").slice(-2000)}`)));
  });
  const stop = () => {
    child.kill("SIGINT");
    return ended;
  };
  return { url, stop };
}

test("a cheat is found, and the page tells it from the first move to the last coin", { skip: !binary && "GAVEL_BIN is not set", timeout: 2 * PATIENCE }, async () => {
  const network = await up("--adversary", "one-ulp", "--speed", "60");
  const browser = await launch();
  try {
    const { page, faults, close } = await open(browser, network.url);
    page.setDefaultTimeout(PATIENCE);
    const get = async (path) => (await fetch(`${network.url}/api/v1${path}`)).json();

    // the auction runs
    await page.goto(network.url);
    await page.locator('[data-testid="link"][data-state="live"]').waitFor();
    await by(page, "activity").waitFor();

    // a dispute opens by itself, and is followed by clicks
    await page.getByRole("link", { name: "Disputes", exact: true }).click();
    await by(page, "disputes-row").first().waitFor();
    await by(page, "disputes-row").last().getByRole("link", { name: /^Dispute \d+$/ }).click();
    await by(page, "record").waitFor();
    const id = new URL(page.url()).pathname.split("/").at(-1);
    assert.match(await by(page, "who-what").innerText(), /says that .+ result of task \d+ is wrong/);
    await by(page, "isolated-name").waitFor();
    const { isolated } = await get(`/disputes/${id}`);
    assert.ok((await by(page, "isolated-name").innerText()).startsWith(isolated.name));
    await by(page, "dag").waitFor();
    assert.equal(await page.locator('[data-testid="dag-node"][data-standing="disputed"]').count(), 1);
    await by(page, "fork").waitFor();
    const { fork } = await get(`/disputes/${id}`);
    assert.equal(await by(page, "fork-claimed-bits").innerText(), fork.claimed.bits);
    assert.equal(await by(page, "fork-computed-bits").innerText(), fork.computed.bits);
    assert.notEqual(fork.claimed.bits, fork.computed.bits);

    // it ends: the amounts on the page are the chain's
    await page.locator('[data-testid="dispute-state"]', { hasText: "provider guilty" }).waitFor();
    const dispute = await get(`/disputes/${id}`);
    for (const slash of dispute.slashes) {
      const sum = slash.split.reduce((all, part) => all + BigInt(part.amount), 0n);
      assert.equal(sum, BigInt(slash.amount));
    }
    await by(page, "slash-total").first().waitFor();
    assert.match(await by(page, "whose-move").innerText(), /closed/);
    assert.match(await by(page, "who-ruled").innerText(), /final/);
    assert.equal(await page.locator('[data-testid="part-money"] [data-testid="transfer-amount"]').count(), dispute.money.length);

    // replayed from the first move, every level closes in and never opens again
    await by(page, "scrubber").focus();
    await page.keyboard.press("Home");
    const widths = new Map();
    for (let move = 1; move <= dispute.moves.length; move++) {
      await by(page, "scrub-at").filter({ hasText: `move ${move} of` }).waitFor();
      for (const l of await by(page, "level").all()) {
        const [unit, from, to] = await Promise.all(["data-unit", "data-from", "data-to"].map((a) => l.getAttribute(a)));
        const width = Number(to) - Number(from);
        assert.ok(width >= 1 && width <= (widths.get(unit) ?? Infinity), `${unit} at move ${move}: ${width}`);
        widths.set(unit, width);
      }
      await page.keyboard.press("ArrowRight");
    }

    // every other page of the same network
    const first = async (path) => (await get(path)).items[0];
    const audit = await first("/audits");
    const places = ["/", "/tasks", `/tasks/${dispute.task}`, "/disputes", `/disputes/${id}`, "/providers", `/providers/${dispute.provider.address}`, `/accounts/${dispute.challenger.address}`, "/audits", `/audits/${audit.task}/${audit.attempt}`, "/models", ...(await get("/models")).items.map((m) => `/models/${m.id}`), "/trust", "/parameters", "/receipt"];
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      for (const path of places) {
        await page.goto(network.url + path);
        await page.locator("h1").waitFor();
        await by(page, "loading").waitFor({ state: "detached" });
        assert.equal(await by(page, "error").count(), 0, path);
        await fits(page, `${path} at ${width}`);
        await labelled(page, path);
        await legible(page, path);
      }
    }
    assert.deepEqual(faults, []);
    await close();
  } finally {
    await browser.close();
    await network.stop();
  }
});
