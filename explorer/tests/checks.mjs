// What must hold on every page.
import assert from "node:assert/strict";

/** Nothing is wider than the window. */
export async function fits(page, where) {
  const wide = await page.evaluate(() => {
    const most = document.documentElement.clientWidth;
    const out = [...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > most + 1 && !e.closest("svg, .sr, [aria-hidden=true]")).map((e) => e.outerHTML.slice(0, 90));
    return { scroll: document.documentElement.scrollWidth - most, out };
  });
  assert.ok(wide.scroll <= 0, `${where} scrolls sideways by ${wide.scroll}px: ${wide.out.slice(0, 3)}`);
}

/** Names for everything that can be used, one heading, no id twice, heads for columns. */
export async function labelled(page, where) {
  const faults = await page.evaluate(() => {
    const faults = [];
    const name = (e) => (e.getAttribute("aria-label") ?? "") + (e.getAttribute("aria-labelledby") ?? "") + (e.textContent ?? "") + (e.labels?.[0]?.textContent ?? "");
    for (const e of document.querySelectorAll("a, button, input, select, [role=img], [role=application], [role=meter]")) {
      if (e.closest("[role=img]") && e.closest("[role=img]") !== e) continue;
      if (!name(e).trim()) faults.push(`no name: ${e.outerHTML.slice(0, 90)}`);
    }
    if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} h1`);
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`id twice: ${id}`);
    for (const e of document.querySelectorAll("th")) if (!e.getAttribute("scope")) faults.push("th without scope");
    for (const e of document.querySelectorAll("[aria-labelledby]")) if (!document.getElementById(e.getAttribute("aria-labelledby"))) faults.push(`labelledby: ${e.getAttribute("aria-labelledby")}`);
    if (!document.documentElement.lang) faults.push("no lang");
    if (document.querySelectorAll("main").length !== 1) faults.push("no single main");
    return faults;
  });
  assert.deepEqual(faults, [], where);
}

/** Contrast of every piece of text with what is behind it, by WCAG: 4.5, or 3 where it is large. */
export async function legible(page, where) {
  const faint = await page.evaluate(() => {
    const parse = (c) => {
      const m = /rgba?\(([^)]+)\)/.exec(c);
      if (!m) return null;
      const [r, g, b, a = 1] = m[1].split(/[ ,/]+/).map(Number);
      return { r, g, b, a };
    };
    const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
    const light = ({ r, g, b }) => {
      const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
    };
    const ratio = (a, b) => {
      const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
      return (x + 0.05) / (y + 0.05);
    };
    const behind = (e) => {
      const layers = [];
      for (let at = e; at; at = at.parentElement) {
        const c = parse(getComputedStyle(at).backgroundColor);
        if (c && c.a > 0) layers.push(c);
        if (c && c.a === 1) break;
      }
      return layers.reduceRight((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
    };
    const found = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const e = node.parentElement;
      if (!node.data.trim() || !e || e.closest("noscript, script, .sr, title, .u-legend") || !e.getClientRects().length || e.matches(":disabled")) continue;
      const style = getComputedStyle(e);
      if (style.visibility === "hidden") continue;
      let back;
      if (e.closest("svg")) {
        const box = e.closest(".op")?.querySelector("rect:not(.behind)");
        const fill = box && parse(getComputedStyle(box).fill);
        back = fill && fill.a > 0 ? fill : behind(e.closest("svg"));
      } else back = behind(e);
      const ink = parse(e.closest("svg") ? style.fill : style.color);
      if (!ink) continue;
      seen++;
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const r = ratio(over(ink, back), back);
      if (r < (large ? 3 : 4.5)) found.push(`${r.toFixed(2)} "${node.data.trim().slice(0, 30)}"`);
    }
    return { found: [...new Set(found)], seen };
  });
  assert.ok(faint.seen > 10, `${where}: only ${faint.seen} pieces of text were measured`);
  assert.deepEqual(faint.found, [], where);
}
