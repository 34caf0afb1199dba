// Every page, at both widths, in both colours.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { answers, example, STATES } from "./answers.mjs";
import { by, launch, open } from "./browser.mjs";
import { fits, labelled, legible } from "./checks.mjs";
import { serve } from "./server.mjs";

const model = example("model").id;
const places = {
  "/": "The auction",
  "/tasks": "Tasks",
  "/tasks?state=open": "Tasks",
  "/tasks/1": "Task 1",
  "/tasks/2": "Task 2",
  "/disputes": "Disputes",
  ...Object.fromEntries(STATES.map((_, i) => [`/disputes/${i + 1}`, `Dispute ${i + 1}`])),
  "/providers": "Providers",
  [`/providers/${example("provider-frozen").address}`]: example("provider-frozen").name,
  [`/providers/${example("provider-tombstoned").address}`]: example("provider-tombstoned").name,
  [`/accounts/${example("account").address}`]: example("account").name,
  "/audits": "Audits",
  "/audits/1/0": "Audit of task 1",
  "/models": "Models",
  [`/models/${model}`]: example("model").name,
  "/trust": "Whom to trust",
  "/parameters": "Parameters",
  "/receipt": "Receipt",
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
      assert.match(await page.title(), new RegExp(`^${title.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}`), where);
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

test("a receipt is compared with the chain, and a false or broken one is told", async () => {
  const task = example("task-settled");
  const attempt = task.attempts[1];
  const status = example("status");
  const receipt = {
    chain_id: status.chain_id,
    market: status.contracts.market,
    task_id: 1,
    attempt: 1,
    class_id: task.class,
    model_id: task.model.id,
    input_digest: task.input_digest,
    output_digest: attempt.result.output_digest,
    trace_root: attempt.result.trace_root,
    steps: attempt.result.steps,
    provider: attempt.provider.address,
    signature: `0x${"11".repeat(65)}`,
  };
  const { page, faults, close } = await open(browser, server.url);
  await page.goto(`${server.url}/receipt`);
  const give = (value) => by(page, "receipt-file").setInputFiles({ name: "receipt.json", mimeType: "application/json", buffer: Buffer.from(typeof value === "string" ? value : JSON.stringify(value)) });
  await give({ format: 2, receipt, inputs: [], outputs: [] });
  await page.locator('[data-testid="receipt-compared"].agreed').waitFor();
  assert.match(await by(page, "receipt-compared").innerText(), /not checked on this page/);
  await give({ format: 2, receipt: { ...receipt, trace_root: `0x${"ab".repeat(32)}` }, inputs: [], outputs: [] });
  await page.locator('[data-testid="receipt-compared"].disputed').waitFor();
  assert.match(await by(page, "receipt-compared").innerText(), /differs from the chain in trace root/);
  await give("no json");
  await by(page, "receipt-refused").waitFor();
  await give({ format: 2, receipt: { ...receipt, signature: "0x12" } });
  await page.locator('[data-testid="receipt-refused"]', { hasText: "signature" }).waitFor();
  assert.deepEqual(faults, []);
  await close();
});
