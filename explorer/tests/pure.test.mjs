// What needs no browser.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { example, STATES } from "./answers.mjs";

async function load(...files) {
  const contents = files.map((f) => `export * from "./src/${f}";`).join("\n");
  const { outputFiles } = await build({ stdin: { contents, resolveDir: fileURLToPath(new URL("..", import.meta.url)) }, bundle: true, format: "esm", write: false, jsx: "automatic", jsxImportSource: "preact" });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
const { tokens, fixed, duration, clock, float, floatText, short, sankey, concerns, levelsAt, rangeAt, moveOf, standingAt, disputeFlows } = await load("format.ts", "sankey.ts", "concerns.ts", "dispute/replay.ts", "dispute/flows.ts");

test("amounts are rounded to nearest, and never to zero what is not zero", () => {
  const cases = { 0: "0", "1000000000000000000": "1", "1500000000000000000": "1.5", "1234567890123456789012": "1\u202f234.5679", "99999999999999999": "0.1", "1": "<\u202f0.0001", "-2500000000000000000": "\u22122.5" };
  for (const [units, text] of Object.entries(cases)) assert.equal(tokens(units), text);
  assert.equal(tokens("1234567", 6), "1.2346");
  assert.equal(tokens("12", 0), "12");
  assert.equal(fixed(1999999999999999999n), "1.99");
});

test("times are told in two units", () => {
  assert.deepEqual([0, 59, 60, 61, 3_600, 3_660, 90_000].map(duration), ["0\u00a0s", "59\u00a0s", "1\u00a0min", "1\u00a0min 1\u00a0s", "1\u00a0h", "1\u00a0h 1\u00a0min", "1\u00a0d 1\u00a0h"]);
  assert.deepEqual([0, 5, 65, 3_725].map(clock), ["0:00", "0:05", "1:05", "1:02:05"]);
});

test("a float is told by its shortest name", () => {
  const cases = { "0x3f8ccccd": "1.1", "0x80000000": "\u22120", "0x7fc00000": "NaN", "0xff800000": "\u2212\u221e", "0x00000001": "1e\u221245", "0x3f3a103f": "0.7268104" };
  for (const [bits, text] of Object.entries(cases)) assert.equal(floatText(float(bits).value), text);
  assert.equal(float("0x12"), null);
  assert.equal(short(`0x${"ab".repeat(32)}`), "0xababab\u2026abab");
});

test("who reads again", () => {
  const yes = [["/tasks/1", ["task/1"]], ["/tasks/1", "all"], ["/tasks/1", "head"], ["/providers/0xAb", ["provider/0xaB"]], ["/audits/1/0", ["audit/1/0"]], ["/auction", ["auction"]], ["/tasks?state=open", ["dispute/4"]], ["/trust", ["parameters"]], ["/parameters", ["parameters"]], ["/accounts/0x1", ["task/1"]], ["/activity?limit=12", ["model/0x"]]];
  const no = [["/tasks/1", ["task/11"]], ["/tasks/1", ["dispute/1"]], ["/auction", ["task/1"]], ["/models/0xa/graph", "all"], ["/models/0xa/graph?expand=all", "head"], ["/trust", ["auction"]]];
  for (const [path, change] of yes) assert.ok(concerns(path, change), `${path} ${change}`);
  for (const [path, change] of no) assert.ok(!concerns(path, change), `${path} ${change}`);
});

test("money that is drawn is money that moved", () => {
  const flows = disputeFlows(example("dispute-upheld"));
  const sum = (list) => list.reduce((all, f) => all + f.amount, 0n);
  for (const stop of ["mallory loses", "the bond"]) assert.equal(sum(flows.filter((f) => f.to === stop)), sum(flows.filter((f) => f.from === stop)), stop);
  const drawn = sankey(flows, 900, 200);
  assert.equal(drawn.ribbons.length, flows.length);
  for (const { path } of drawn.ribbons) assert.doesNotMatch(path, /NaN|undefined/);
  // nobody stands on somebody else
  for (const a of drawn.stops) for (const b of drawn.stops) if (a !== b && a.column === b.column && a.y <= b.y) assert.ok(a.y + a.height <= b.y, `${a.name} and ${b.name}`);
  // a ring does not hang it
  sankey([{ from: "a", to: "b", amount: 1n, tone: "" }, { from: "b", to: "a", amount: 1n, tone: "" }], 300, 100);
});

for (const state of STATES) {
  test(`${state}: replayed, the interval only ever closes`, () => {
    const { moves, rounds } = example(`dispute-${state}`);
    const widths = new Map();
    for (let upto = 0; upto <= moves.length; upto++) {
      for (const l of levelsAt(moves, upto)) {
        assert.ok(0 <= l.agreed && l.agreed === l.from && l.from < l.to && l.to <= l.size, JSON.stringify(l));
        assert.ok(l.to - l.from <= (widths.get(l.unit) ?? Infinity), `${l.unit} at ${upto}`);
        widths.set(l.unit, l.to - l.from);
      }
    }
    for (const round of rounds.filter((r) => moves[r.move - 1]?.kind === "pick")) assert.deepEqual(rangeAt(moves, round.move), round.disputed);
    assert.equal(moveOf({ moves, rounds }, new URLSearchParams("move=2")), Math.min(2, moves.length));
    assert.equal(moveOf({ moves, rounds }, new URLSearchParams("move=-1&round=nan")), moves.length);
  });
}

test("nodes stand where the interval leaves them, in runs of several steps too", () => {
  const of = (range, graph = example("graph")) => Object.fromEntries(graph.nodes.map((n) => [n.id, standingAt(range, graph)(n)]));
  const place = (leaf, step, segment, node) => ({ leaf, step, segment, node });
  // 9 commit points a step: leaves 29 to 53 are in steps 3 to 5
  const wide = of({ level: "trace", first: place(29, 3, 2, 8), last: place(53, 5, 8, 18), count: 25 });
  assert.deepEqual([wide.in0, wide.n5, wide.n6, wide.n18], ["agreed", "agreed", "disputed", "disputed"]);
  const within = of({ level: "trace", first: place(28, 3, 1, 5), last: place(29, 3, 2, 8), count: 2 });
  assert.deepEqual([within.n2, within.n3, within.n8, within.n9], ["agreed", "disputed", "disputed", "undecided"]);
  const one = { level: "operators", first: place(1, 3, 1, 4), last: place(1, 3, 1, 4), count: 1 };
  assert.deepEqual(Object.values(of(one)).filter((s) => s === "disputed").length, 1);
  // a block that hides the place is in dispute as a whole
  assert.equal(of(one, example("graph-collapsed")).b0, "disputed");
  assert.equal(of(null).n4, "outside");
});
