// The example answers, by route.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

// another folder of answers, from a newer run say, can be shown and checked page by page (tests/page.test.mjs: "every page")
const folder = process.env.GAVEL_FIXTURES ? `${process.env.GAVEL_FIXTURES}/` : fileURLToPath(new URL("./fixtures/", import.meta.url));
export const example = (name) => JSON.parse(readFileSync(`${folder}${name}.json`, "utf8"));

/** A dispute in each state that it can be in, by the id under which a test finds it. */
export const STATES = ["upheld", "level1", "segment-wanted", "level2", "isolated", "refereed", "ruled", "appealed", "cleared", "void"];

const lower = (value) => (typeof value === "string" ? value.toLowerCase() : value);

/** What a server would answer whose network is the one of the examples; `over` replaces single routes. */
export function answers(over = {}) {
  const none = { items: [], next: null, total: 0 };
  return (path, query) => {
    if (path in over) return typeof over[path] === "function" ? over[path](query) : over[path];
    const [first, second, third] = path.split("/").slice(1);
    switch (first) {
      case "status":
      case "activity":
      case "auction":
      case "parameters":
      case "trust":
      case "search":
        return path === `/${first}` ? example(first) : undefined;
      case "tasks": {
        if (!second) {
          const all = example("tasks");
          const items = all.items.filter((t) => !query.get("state") || t.state === query.get("state"));
          return { ...all, items, total: items.length };
        }
        const task = ["task-settled", "task-disputed", "task-open"].map(example).find((t) => String(t.id) === second);
        return task;
      }
      case "providers": {
        if (!second) return example("providers");
        return ["provider-frozen", "provider-tombstoned"].map(example).find((p) => lower(p.address) === lower(second));
      }
      case "accounts":
        return second ? { ...example("account"), ...(lower(second) === lower(example("account").address) ? {} : { address: second, name: null, tasks: [], money: none, challenges: [] }) } : undefined;
      case "models": {
        if (!second) return example("models");
        if (lower(second) !== example("model").id) return undefined;
        return third === "graph" ? example(query.get("expand") ? "graph" : "graph-collapsed") : example("model");
      }
      case "disputes": {
        if (!second) return query.get("open") === "true" ? { ...example("disputes"), items: example("disputes").items.filter((d) => d.turn) } : example("disputes");
        const state = STATES[Number(second) - 1];
        return state && { ...example(`dispute-${state}`), id: Number(second) };
      }
      case "audits":
        if (!second) return example("audits");
        return [example("audit")].find((a) => String(a.task) === second && String(a.attempt) === third);
      default:
        return undefined;
    }
  };
}
