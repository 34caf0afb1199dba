// Pictures of every page, to be looked at: node tests/shots.mjs [dark|light] [widths...]
import { mkdirSync } from "node:fs";
import { answers, example, STATES } from "./answers.mjs";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const scheme = process.argv[2] ?? "light";
const widths = process.argv[3] ? process.argv[3].split(",").map(Number) : [1280, 390];
const only = process.argv[4];
mkdirSync("shots", { recursive: true });
const server = await serve(answers());
const model = example("model").id;
const places = {
  auction: "/",
  tasks: "/tasks",
  task: "/tasks/1",
  "task-disputed": "/tasks/2",
  disputes: "/disputes",
  ...Object.fromEntries(STATES.map((s, i) => [`dispute-${s}`, `/disputes/${i + 1}`])),
  "dispute-scrubbed": "/disputes/1#round=1&node=4",
  providers: "/providers",
  provider: `/providers/${example("provider-tombstoned").address}`,
  audits: "/audits",
  audit: "/audits/1/0",
  models: "/models",
  model: `/models/${model}`,
  trust: "/trust",
  parameters: "/parameters",
  receipt: "/receipt",
  account: `/accounts/${example("account").address}`,
  missing: "/tasks/99",
};
const browser = await launch();
for (const width of widths) {
  const { page, faults, close } = await open(browser, server.url, { viewport: { width, height: 900 }, colorScheme: scheme });
  for (const [name, path] of Object.entries(places)) {
    if (only && !only.split(",").includes(name)) continue;
    await page.goto("about:blank");
    await page.goto(server.url + path);
    await page.waitForSelector("h1");
    await page.waitForTimeout(250);
    // in pieces that can be read
    const tall = await page.evaluate(() => document.documentElement.scrollHeight);
    const piece = 1400;
    for (let y = 0, n = 0; y < tall; y += piece, n++) {
      await page.screenshot({ path: `shots/${name}-${width}-${scheme}-${n}.png`, fullPage: true, clip: { x: 0, y, width, height: Math.min(piece, tall - y) } });
    }
  }
  if (faults.length) console.log(width, [...new Set(faults)]);
  await close();
}
await browser.close();
await server.close();
