// A dispute as it happens, seen on its page.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answers, example } from "./answers.mjs";
import { by, launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

let browser;
let server;
before(async () => {
  server = await serve(answers());
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Sets the network to one state of the dispute, at a time of the chain's clock, and says so. */
function stage(state, time) {
  const status = example("status");
  const clock = { time, wall_ms: Date.now(), speed: 1 };
  const number = status.head.number + time - 1_700_000_000;
  server.state.answers = answers({ "/status": { ...status, head: { ...status.head, number, time }, clock }, "/disputes/1": { ...example(`dispute-${state}`), id: 1 } });
  server.say("head", { number, hash: status.head.hash, time, clock });
  server.say("activity", { ...example("activity").items[0], touches: ["dispute/1", "task/1"] });
}

const seconds = (text) => Number(/(\d+)\smin/.exec(text)?.[1] ?? 0) * 60 + Number(/(\d+)\ss/.exec(text)?.[1] ?? 0);

test("from the challenge to the verdict, without touching the page", async () => {
  stage("level1", 1_700_000_300);
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1`);
  const says = (id) => by(page, id).innerText();

  // the challenger is to pick, and its clock runs
  await by(page, "record").waitFor();
  assert.match(await says("who-what"), /wanda says that mallory\u2019s result of task 1 is wrong/);
  assert.match(await says("whose-move"), /wanda is to name the first commit point that it disagrees with/);
  const deadline = example("dispute-level1").turn.deadline;
  const left = seconds((await says("time-left")).replaceAll("\u00a0", " "));
  assert.ok(Math.abs(left - (deadline + 1 - 1_700_000_300)) <= 5, `${left} s left`);
  const clock = by(page, "clock-challenger");
  assert.equal(await clock.getAttribute("data-runs"), "true");
  assert.equal(await by(page, "clock-provider").getAttribute("data-runs"), "false");
  const was = Number(await clock.getAttribute("data-left"));
  await page.waitForFunction((was) => Number(document.querySelector('[data-testid="clock-challenger"]').dataset.left) < was, was);
  assert.match(await says("what-values"), /first difference is among 9 commit points, 0 to 8/);
  assert.match(await says("who-ruled"), /Nobody yet/);
  assert.match(await says("where-coins"), /wanda\u2019s bond of 5 tokens is held/);
  assert.equal(await by(page, "level").count(), 1);
  await by(page, "dag").waitFor();

  // the pick arrives: the interval closes, one commit point is left
  stage("segment-wanted", 1_700_000_310);
  await by(page, "whose-move").filter({ hasText: "mallory is to show the operators before commit point 1" }).waitFor();
  const trace = page.locator('[data-testid="level"][data-unit="trace"]');
  assert.deepEqual([await trace.getAttribute("data-agreed"), await trace.getAttribute("data-from"), await trace.getAttribute("data-to"), await trace.getAttribute("data-size")], ["1", "1", "2", "9"]);
  assert.equal(await page.locator('[data-testid="dag-node"][data-node="1"]').getAttribute("data-standing"), "agreed");
  assert.equal(await page.locator('[data-testid="dag-node"][data-node="4"]').getAttribute("data-standing"), "disputed");
  assert.equal(await page.locator('[data-testid="dag-node"][data-node="9"]').getAttribute("data-standing"), "undecided");

  // one operator is isolated, and the two values are known
  stage("isolated", 1_700_000_320);
  await by(page, "isolated-name").filter({ hasText: "Conv node 4 (conv2)" }).waitFor();
  assert.equal(await says("claimed-value"), "1.1");
  assert.equal(await says("computed-value"), "1.0999999");
  assert.equal(await says("fork-claimed-bits"), "0x3f8ccccd");
  assert.equal(await says("fork-computed-bits"), "0x3f8ccccc");
  assert.equal(await page.locator('[data-testid="dag-node"][data-standing="disputed"]').count(), 1);
  assert.equal(await page.locator('[data-testid="dag-node"][data-standing="disputed"]').getAttribute("data-node"), "4");

  assert.match(await says("forecast"), /guilty/);

  // a referee is drawn, and rules
  stage("refereed", 1_700_000_335);
  await by(page, "who-ruled").filter({ hasText: "was drawn by stake as referee" }).waitFor();
  assert.equal(await says("referee"), "cyd");
  stage("ruled", 1_700_000_365);
  await by(page, "ruled").filter({ hasText: "guilty" }).waitFor();
  assert.match(await says("who-ruled"), /may be appealed for another/);
  assert.match(await says("whose-move"), /mallory may appeal/);

  // final: everybody's coins are told, and add up
  stage("upheld", 1_700_000_950);
  await by(page, "slash-total").waitFor();
  assert.match(await says("whose-move"), /Nobody\u2019s: the dispute is closed/);
  assert.match(await says("who-ruled"), /final/);
  const coins = await says("where-coins");
  assert.match(coins, /mallory lost 540 tokens of stake/);
  for (const part of ["54 to rosa", "135 to wanda", "27 to cyd", "54 to escrow of task 1", "270 burned", "bond of 5 back"]) assert.ok(coins.includes(part), `${part} in: ${coins}`);
  const drawn = await page.evaluate(() => [...document.querySelectorAll('[data-testid="sankey"] [data-testid="stop"]')].map((s) => s.textContent));
  for (const stop of ["mallory loses540", "burned314", "rosa's credit54", "wanda's credit140", "cyd's credit27"]) assert.ok(drawn.includes(stop), `${stop} in: ${drawn}`);
  assert.deepEqual(faults, []);
  await close();
});

test("an appeal goes on to the states of one element", async () => {
  stage("appealed", 1_700_000_470);
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1`);
  await by(page, "appealable").filter({ hasText: "appealed" }).waitFor();
  assert.equal(await by(page, "clock-accuser").getAttribute("data-runs"), "true");
  const chunks = page.locator('[data-testid="level"][data-unit="chunks"]');
  assert.deepEqual([await chunks.getAttribute("data-from"), await chunks.getAttribute("data-to"), await chunks.getAttribute("data-size")], ["2", "3", "4"]);
  assert.match(await by(page, "part-step").innerText(), /0x3f8ccccd = 1\.1/);
  assert.deepEqual(faults, []);
  await close();
});

test("the step that the contract executed is shown with its operands", async () => {
  const dispute = example("dispute-upheld");
  const appeal = { ...example("dispute-appealed").appeal, outcome: "guilty", decided: { batch: 26, claimed: `0x${"aa".repeat(32)}`, computed: `0x${"bb".repeat(32)}`, text: "the contract executed batch 26, and it does not end as claimed" } };
  const step = { batch: 26, text: "element [0, 10, 4, 0]: fma(0xbcaa8b0e, 0x0, 0x3f3a103f) = 0x3f3a103f", instruction: "Fma", operands: ["0xbcaa8b0e", "0x0", "0x3f3a103f"], result: "0x3f3a103f" };
  server.state.answers = answers({ "/disputes/1": { ...dispute, appeal, fork: { ...dispute.fork, step } } });
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1`);
  await by(page, "step").waitFor();
  assert.equal(await by(page, "step-text").innerText(), step.text);
  assert.equal(await by(page, "step-instruction").innerText(), "Fma");
  assert.deepEqual(await by(page, "step-operand").allInnerTexts(), ["0xbcaa8b0e = \u22120.02081826", "0x0 = 0", "0x3f3a103f = 0.7268104"]);
  assert.match(await by(page, "who-ruled").innerText(), /contract itself executed the step/);

  // the arithmetic that the server knows is that of its own batch and element, and of no other
  for (const other of [{ step: { ...step, batch: 25 } }, { step, element: dispute.fork.element + 1 }]) {
    server.state.answers = answers({ "/disputes/1": { ...dispute, appeal, fork: { ...dispute.fork, ...other } } });
    await page.reload();
    await by(page, "decided").waitFor();
    assert.equal(await by(page, "step").count(), 0);
    assert.match(await by(page, "part-step").innerText(), /Batch\s+26/);
  }
  assert.deepEqual(faults, []);
  await close();
});

test("the scrubber replays move by move, by key and by address", async () => {
  server.state.answers = answers();
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1#round=1&node=4`);
  await by(page, "scrub-at").filter({ hasText: "move 3 of 9, round 1" }).waitFor();
  assert.match(await by(page, "saying").innerText(), /disagrees first at commit point 1/);
  assert.equal(await by(page, "level").count(), 1);
  await by(page, "node-facts").filter({ hasText: "node 4" }).waitFor();

  await by(page, "scrubber").focus();
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowRight");
  await by(page, "scrub-at").filter({ hasText: "move 5 of 9, round 2" }).waitFor();
  assert.equal(await by(page, "level").count(), 2);
  assert.match(page.url(), /#round=2&node=4&move=5$|move=5/);
  await page.keyboard.press("Home");
  await by(page, "scrub-at").filter({ hasText: "move 1 of 9" }).waitFor();
  await by(page, "next").click();
  await by(page, "scrub-at").filter({ hasText: "move 2 of 9" }).waitFor();
  await by(page, "move").nth(6).click();
  await by(page, "saying").filter({ hasText: "draws the referee" }).waitFor();

  // the drawing by keyboard: from operator to operator, and the address follows
  await by(page, "dag").focus();
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() => new URLSearchParams(location.hash.slice(1)).get("node") === "5");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !new URLSearchParams(location.hash.slice(1)).has("node"));
  // the newest move has no name of its own
  await by(page, "scrubber").focus();
  await page.keyboard.press("End");
  await page.waitForFunction(() => location.hash === "");
  assert.deepEqual(faults, []);
  await close();
});

test("a place in the address that is not there is the nearest one that is", async () => {
  const { page, faults, close } = await open(browser, server.url);
  for (const [hash, says] of [["#round=99", "move 9 of 9"], ["#move=0", "move 1 of 9"], ["#move=1e9", "move 9 of 9"], ["#round=x&node=999", "move 9 of 9"]]) {
    await page.goto("about:blank");
    await page.goto(`${server.url}/disputes/1${hash}`);
    await by(page, "scrub-at").filter({ hasText: says }).waitFor();
  }
  assert.deepEqual(faults, []);
  await close();
});

test("a lost line is seen, and found again by itself", async () => {
  stage("level1", 1_700_000_300);
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1`);
  await page.locator('[data-testid="link"][data-state="live"]').waitFor();
  await by(page, "record").waitFor();
  server.state.refuse = true;
  server.drop();
  await page.locator('[data-testid="link"][data-state="stale"]').waitFor();
  assert.match(await by(page, "link").innerText(), /Not live/);
  // what was shown stays
  assert.match(await by(page, "who-what").innerText(), /wanda/);
  stage("isolated", 1_700_000_320);
  server.state.refuse = false;
  await page.locator('[data-testid="link"][data-state="live"]').waitFor();
  await by(page, "isolated-name").waitFor();
  await close();
});

test("a model that the server has no file of leaves the strips", async () => {
  server.state.answers = answers({ [`/models/${example("model").id}`]: { ...example("model"), has_graph: false } });
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/disputes/1`);
  await by(page, "graph-empty").waitFor();
  assert.equal(await by(page, "level").count(), 2);
  assert.deepEqual(faults, []);
  await close();
});
