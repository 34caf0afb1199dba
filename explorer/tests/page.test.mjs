// Every page, at both widths, in both colours.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { answers, example, STATES } from "./answers.mjs";
import { by, launch, open } from "./browser.mjs";
import { fits, labelled, legible } from "./checks.mjs";
import { serve } from "./server.mjs";

const model = example("model").id;
const audit = example("audit");
const places = {
  "/": "The auction",
  "/tasks": "Tasks",
  "/tasks?state=open": "Tasks",
  ...Object.fromEntries(["task-settled", "task-disputed"].map((name) => [`/tasks/${example(name).id}`, `Task ${example(name).id}`])),
  "/disputes": "Disputes",
  ...Object.fromEntries(STATES.map((_, i) => [`/disputes/${i + 1}`, `Dispute ${i + 1}`])),
  "/providers": "Providers",
  [`/providers/${example("provider-frozen").address}`]: example("provider-frozen").name,
  [`/providers/${example("provider-tombstoned").address}`]: example("provider-tombstoned").name,
  [`/accounts/${example("account").address}`]: example("account").name,
  "/audits": "Audits",
  [`/audits/${audit.task}/${audit.attempt}`]: `Audit of task ${audit.task}`,
  "/models": "Models",
  [`/models/${model}`]: example("model").name,
  "/trust": "Whom to trust",
  "/parameters": "Parameters",
  "/receipt": "Receipt or evidence",
};

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

for (const [width, colorScheme] of [
  [1280, "light"],
  [1280, "dark"],
  [390, "light"],
  [390, "dark"],
]) {
  test(`every page at ${width} px, ${colorScheme}`, async () => {
    const { page, faults, close } = await open(browser, server.url, { viewport: { width, height: 900 }, colorScheme });
    for (const [path, title] of Object.entries(places)) {
      const where = `${path} at ${width}, ${colorScheme}`;
      await page.goto(server.url + path);
      await page.locator("h1", { hasText: title }).waitFor();
      await by(page, "loading").waitFor({ state: "detached" });
      await page.locator('[data-testid="link"][data-state="live"]').waitFor();
      // the title follows the heading by an effect
      await page.waitForFunction((title) => document.title.startsWith(title), title);
      await fits(page, where);
      await labelled(page, where);
      await legible(page, where);
    }
    assert.deepEqual(faults, []);
    await close();
  });
}

test("links, back and the title go together, without loading the page anew", async () => {
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(server.url);
  await by(page, "lots").waitFor();
  await page.evaluate(() => (window.stays = true));
  await page.getByRole("link", { name: "Providers" }).click();
  await by(page, "providers").waitFor();
  await page.getByRole("link", { name: "mallory" }).first().click();
  await by(page, "why").waitFor();
  assert.match(await by(page, "why").innerText(), /removed for ever: convicted in dispute 1/);
  await page.goBack();
  await by(page, "providers").waitFor();
  assert.equal(await page.evaluate(() => window.stays), true);
  assert.deepEqual(faults, []);
  await close();
});

test("the price of a lot is the contract's formula, and runs", async () => {
  const { page, close } = await open(browser, server.url);
  await page.goto(server.url);
  const lot = page.locator('[data-testid="lot"][data-task="5"] [data-testid="price-now"]');
  await lot.waitFor();
  // 20 of 60 seconds between 1 and 20 when the page was loaded, 20 of the chain's seconds in one of ours
  const first = Number(await lot.innerText());
  assert.ok(first >= 7.33 && first <= 20, `${first}`);
  await page.waitForFunction((was) => Number(document.querySelector('[data-task="5"] [data-testid="price-now"]').textContent) > was || was === 20, first);
  await close();
});

test("prices are drawn where there are some", async () => {
  const auction = example("auction");
  const recent = [4, 2, 9, 3].map((price, i) => ({ ...auction.recent[0], task: 10 + i, price: `${price}000000000000000000`, time: 1_700_001_990 - 10 * i }));
  server.state.answers = answers({ "/auction": { ...auction, recent } });
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(server.url);
  await page.locator('[data-testid="chart"] canvas').waitFor();
  assert.match(await by(page, "percentiles").innerText(), /a tenth at most 2, half at most 4, nine tenths at most 9 tokens\./);
  await fits(page, "the chart");
  await labelled(page, "the chart");
  assert.deepEqual(faults, []);
  server.state.answers = answers();
  await close();
});

test("the checks of every page can fail", async () => {
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/models`);
  await by(page, "models").waitFor();
  const spoil = async (change, check) => {
    await page.evaluate(change);
    await assert.rejects(check(page, "spoilt"));
    await page.reload();
    await by(page, "models").waitFor();
  };
  await spoil(() => (document.querySelector("h1").style.color = "#ccc"), legible);
  await spoil(() => document.querySelector("nav a").replaceChildren(), labelled);
  await spoil(() => (document.querySelector("h1").style.minWidth = "3000px"), fits);
  await page.evaluate(() => fetch("http://127.0.0.1:9/").catch(() => null));
  assert.ok(faults.some((f) => f.includes("http://127.0.0.1:9/")), String(faults));
  await close();
});

test("a long list is read page by page, and stands still while older ones are shown", async () => {
  const all = example("tasks");
  const row = (id) => ({ ...all.items[0], id });
  let newest = 4;
  server.state.answers = answers({
    "/tasks": (query) => (query.get("before") === "c" ? { items: [row(2), row(1)], next: null, total: 4 } : { items: [row(newest), row(newest - 1)], next: "c", total: newest }),
  });
  const { page, faults, close } = await open(browser, server.url);
  const shown = () => page.locator('[data-testid="tasks-row"]').evaluateAll((rows) => rows.map((r) => Number(r.dataset.key)));
  await page.goto(`${server.url}/tasks`);
  await by(page, "more").click();
  await by(page, "newest").waitFor();
  assert.deepEqual(await shown(), [4, 3, 2, 1]);
  assert.equal(await by(page, "more").count(), 0);
  newest = 6;
  await by(page, "newest").click();
  while (server.listening() === 0) await page.waitForTimeout(20);
  server.say("activity", { ...example("activity").items[0], touches: ["task/6"] });
  await page.locator('[data-testid="tasks-row"][data-key="6"]').waitFor();
  assert.deepEqual(await shown(), [6, 5]);
  assert.deepEqual(faults, []);
  await close();
  server.state.answers = answers();
});

test("a task shows its stages, its attempts and where its money went", async () => {
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/tasks/1`);
  await by(page, "stages").waitFor();
  const task = example("task-settled");
  assert.equal(await page.locator('[data-testid="stages"] li').count(), task.history.length);
  assert.deepEqual(await by(page, "attempt-provider").allInnerTexts(), task.attempts.map((a) => a.provider.name));
  assert.deepEqual(await by(page, "attempt-outcome").allInnerTexts(), ["guilty", "settled"]);
  assert.equal(await by(page, "transfer-amount").count(), task.money.length);
  assert.equal(await by(page, "total-paid").innerText(), "3");
  assert.equal(await page.locator('[data-testid="task-sankey"]').count(), 1);
  assert.match(await by(page, "command").nth(2).innerText(), /gavel verify receipt-1\.json --model digits/);
  await close();
});

test("the search finds, with the keyboard alone", async () => {
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/trust`);
  await by(page, "statements").waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("1");
  await by(page, "found").getByRole("link", { name: "Dispute 1" }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.locator("h1", { hasText: "Dispute 1" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/disputes/1");
  await close();
});

test("the colours can be chosen, and are remembered", async () => {
  const { page, close } = await open(browser, server.url, { colorScheme: "light" });
  await page.goto(`${server.url}/models`);
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await by(page, "theme").click();
  assert.notEqual(await ground(), light);
  await page.reload();
  await by(page, "models").waitFor();
  assert.notEqual(await ground(), light);
  await by(page, "theme").click();
  assert.equal(await ground(), light);
  await close();
});

test("empty lists say so", async () => {
  const none = { items: [], next: null, total: 0 };
  server.state.answers = answers({ "/tasks": none, "/disputes": none, "/providers": none, "/audits": none, "/models": none, "/activity": none, "/auction": { lanes: [], recent: [] } });
  const { page, faults, close } = await open(browser, server.url);
  for (const [path, id] of [["/", "lots-empty"], ["/tasks", "tasks-empty"], ["/disputes", "disputes-empty"], ["/providers", "providers-empty"], ["/audits", "audits-empty"], ["/models", "models-empty"]]) {
    await page.goto(server.url + path);
    await by(page, id).waitFor();
  }
  assert.deepEqual(faults, []);
  server.state.answers = answers();
  await close();
});

test("what is not there is said so, and what fails can be tried again", async () => {
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/tasks/99`);
  await by(page, "error").waitFor();
  assert.match(await by(page, "error").innerText(), /there is nothing/);
  await page.goto(`${server.url}/nowhere/at/all`);
  await page.locator("h1", { hasText: "no such page" }).waitFor();
  server.state.refuse = true;
  await page.goto(`${server.url}/disputes/1`);
  await by(page, "error").waitFor();
  assert.match(await by(page, "error").innerText(), /the index is not ready/);
  server.state.refuse = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await by(page, "record").waitFor();
  await close();
});

test("an answer that the page does not understand breaks that page alone", async () => {
  server.state.answers = answers({ "/tasks/1": { id: 1 } });
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/tasks/1`);
  await by(page, "error").waitFor();
  await page.getByRole("link", { name: "Models" }).click();
  await by(page, "models").waitFor();
  server.state.answers = answers();
  await close();
});

test("a page is read again when something touches it, and after a gap", async () => {
  const task = example("task-settled");
  const { page, close } = await open(browser, server.url);
  await page.goto(`${server.url}/tasks/1`);
  await by(page, "stages").waitFor();
  while (server.listening() === 0) await page.waitForTimeout(20);
  const line = example("activity").items[0];
  for (const [price, say] of [["5", () => server.say("activity", { ...line, touches: ["task/1"] })], ["6", () => server.say("reset", {})]]) {
    server.state.answers = answers({ "/tasks/1": { ...task, price: `${price}000000000000000000` } });
    say();
    await by(page, "task-price").filter({ hasText: price }).waitFor();
  }
  await close();
  server.state.answers = answers();
});

/** A file of the verifier's own tests. */
const kept = (name) => readFileSync(new URL(`../wasm/fixtures/${name}.json`, import.meta.url), "utf8");

/** A network whose chain says what a kept file says of it. */
function chainOf(report, over = {}) {
  const said = Object.fromEntries(report.claims.map(({ what, says }) => [what, says]));
  const status = example("status");
  const task = example("task-settled");
  const result = { ...task.attempts[1].result, steps: Number(said.steps), trace_root: said["trace root"], ...(said["output digest"] && { output_digest: said["output digest"] }) };
  const attempt = { ...task.attempts[1], attempt: Number(said.attempt), provider: { address: said.provider, name: null }, result };
  return answers({
    "/status": { ...status, chain_id: Number(said.chain), contracts: { ...status.contracts, ...(said.market && { market: said.market }), ...(said.court && { court: said.court }) } },
    [`/tasks/${said.task}`]: { ...task, id: Number(said.task), class: said.class ?? task.class, model: { id: said.model, name: null }, input_digest: said["input digest"], seed: said.seed ?? "0", attempts: [attempt], ...over },
  });
}
const verdicts = JSON.parse(kept("verdicts"));

/** The receipt page, and how a file is given to it. */
async function checking(options) {
  const { page, faults, close } = await open(browser, server.url, options);
  await page.goto(`${server.url}/receipt`);
  const give = (text, name = "file.json") => by(page, "check-file").setInputFiles({ name, mimeType: "application/json", buffer: Buffer.from(text) });
  const verdict = (tone, says) => page.locator(`[data-testid="verdict"].${tone}`, { hasText: says }).waitFor();
  const bad = () => page.locator('[data-testid="check"][data-ok="false"]').allInnerTexts();
  return { page, faults, close, give, verdict, bad };
}

test("a receipt is verified in the browser and compared with the chain", async () => {
  server.state.answers = chainOf(verdicts["receipt.json"]);
  const { page, faults, close, give, verdict, bad } = await checking();
  await give(kept("receipt"));
  await verdict("agreed", /A receipt\s*Provider 0xbd80.* signed that model/);
  assert.deepEqual(await bad(), []);
  const lines = await by(page, "check").allInnerTexts();
  for (const what of ["who signed the receipt", "output digest of the outputs in the file", "market on the chain", "trace root on the chain", "output digest on the chain"]) assert.ok(lines.some((line) => line.includes(what)), what);
  assert.match(await by(page, "unchecked").innerText(), /whether the model gives this output/);

  // one nibble of the signature: every digest is still what the chain says
  const bent = kept("receipt").replace(/("signature":"0x.{20})(.)/, (_, before, nibble) => before + (nibble === "0" ? "1" : "0"));
  await give(bent);
  await verdict("disputed", /who signed the receipt/);
  const [line, ...others] = await bad();
  assert.match(line, /^not ok who signed the receipt\s+expected 0xbd80d1/);
  assert.deepEqual(others, []);

  // true in itself, and about another task than this chain has
  server.state.answers = chainOf(verdicts["receipt.json"], { input_digest: `0x${"ab".repeat(32)}` });
  await give(kept("receipt"));
  await verdict("disputed", /something else than the chain has/);
  assert.match((await bad()).join("\n"), /^not ok input digest on the chain/);
  server.state.answers = chainOf(verdicts["receipt.json"], { attempts: [] });
  await give(kept("receipt"));
  await page.locator('[data-testid="check"][data-ok="false"]', { hasText: "attempt on the chain" }).waitFor();

  await give("no json");
  await verdict("disputed", /No receipt, and no evidence/);
  assert.match((await bad()).join("\n"), /kind of file/);
  await fits(page, "a verdict");
  assert.deepEqual(faults, []);
  server.state.answers = answers();
  await close();
});

test("what was not compared with the chain is not shown as agreed", async () => {
  const { page, close, give, verdict } = await checking();
  server.state.refuse = true;
  await give(kept("receipt"));
  await verdict("barred", /not compared with the chain: the index is not ready/);
  server.state.refuse = false;
  // a chain without the task
  await give(kept("receipt").replaceAll('"task_id":2', '"task_id":99'));
  await page.locator('[data-testid="check"][data-ok="false"]', { hasText: "task on the chain" }).waitFor();
  await close();
});

test("evidence shows whom it convicts, and the step that goes wrong", async () => {
  const { page, faults, close, give, verdict } = await checking({ viewport: { width: 390, height: 900 } });
  for (const name of ["evidence-false-weight", "evidence-lying-referee", "evidence-true"]) {
    const report = verdicts[`${name}.json`];
    server.state.answers = chainOf(report);
    await give(kept(name), `it's $(${name}).json`);
    await verdict(report.verdict === "true" ? "agreed" : "disputed", new RegExp(`Evidence\\s*${report.says.slice(0, 40)}`, "i"));
    assert.equal(await by(page, "convicts").count(), report.convicts.length);
    for (const [i, { party, address }] of report.convicts.entries()) {
      assert.ok((await by(page, "convicts").nth(i).innerText()).startsWith(`It convicts the ${party}`));
      if (address) assert.equal(await by(page, "convicts").nth(i).getByRole("link").getAttribute("href"), `/accounts/${address}`);
    }
    if (report.step) {
      assert.equal(await by(page, "step-text").innerText(), report.step.words);
      assert.deepEqual((await by(page, "step-operand").allInnerTexts()).map((text) => text.split(" ")[0]), report.step.operands);
    } else assert.equal(await by(page, "step").count(), 0);
    // as one word of a shell
    assert.ok((await by(page, "command").innerText()).includes(`gavel verify './it'\\''s $(${name}).json' --model`));
    await fits(page, name);
    await labelled(page, name);
    await legible(page, name);
  }
  assert.deepEqual(faults, []);
  server.state.answers = answers();
  await close();
});

test("a dispute page takes only evidence of its own dispute", async () => {
  const report = verdicts["evidence-false-weight.json"];
  const said = Object.fromEntries(report.claims.map(({ what, says }) => [what, says]));
  const dispute = example("dispute-upheld");
  const of = (digest) => {
    const known = chainOf(report);
    const own = { ...dispute, id: 1, task: Number(said.task), attempt: Number(said.attempt), isolated: { ...dispute.isolated, claimed_digest: digest } };
    server.state.answers = (path, query) => (path === "/disputes/1" ? own : known(path, query));
  };
  const { page, faults, close } = await open(browser, server.url);
  for (const [digest, says, wrong] of [[said["claimed digest"], "did not compute what it claims", 0], [`0x${"ab".repeat(32)}`, "something else than the chain has", 1]]) {
    of(digest);
    await page.goto(`${server.url}/disputes/1`);
    await by(page, "check-file").setInputFiles({ name: "dispute-1.json", mimeType: "application/json", buffer: Buffer.from(kept("evidence-false-weight")) });
    await page.locator('[data-testid="verdict"].disputed', { hasText: says }).waitFor();
    assert.equal(await by(page, "convicts").count(), 1 - wrong);
    assert.equal(await page.locator('[data-testid="check"][data-ok="false"]', { hasText: "claimed digest on the chain" }).count(), wrong);
  }
  assert.deepEqual(faults, []);
  server.state.answers = answers();
  await close();
});

test("a verifier that cannot be had is told, and asked for again with the next file", async () => {
  server.state.answers = chainOf(verdicts["receipt.json"]);
  const { page, close, give, verdict } = await checking();
  for (const missing of [/\.wasm$/, /verifier-worker/]) {
    server.state.missing = missing;
    await give(kept("receipt"));
    await page.locator('[data-testid="unchecked-file"]', { hasText: "Nothing in the file was checked" }).waitFor();
    assert.equal(await by(page, "verdict").count(), 0);
    server.state.missing = null;
    await give(kept("receipt"));
    await verdict("agreed", /signed/);
    // what the browser keeps by then is not had from the server
    await page.goto(`${server.url}/receipt?`);
  }
  server.state.answers = answers();
  await close();
});

test("a file that is too large is not read", async () => {
  const { page, faults, close } = await checking();
  await page.evaluate(() => {
    const large = new File(["{}"], "large.json");
    Object.defineProperty(large, "size", { value: 256 * 2 ** 20 + 1 });
    large.arrayBuffer = () => Promise.reject(new Error("it was read"));
    const event = new Event("drop", { bubbles: true, cancelable: true });
    Object.defineProperty(event, "dataTransfer", { value: { files: [large] } });
    document.querySelector('[data-testid="drop"]').dispatchEvent(event);
  });
  await page.locator('[data-testid="unchecked-file"]', { hasText: "256 MiB at most" }).waitFor();
  assert.deepEqual(faults, []);
  await close();
});
