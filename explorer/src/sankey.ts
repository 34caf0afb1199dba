// Where ribbons of money go on a plane. Pure.

export interface Flow<Tone = string> {
  from: string;
  to: string;
  amount: bigint;
  tone: Tone;
}
export interface Stop {
  name: string;
  column: number;
  total: bigint;
  x: number;
  y: number;
  height: number;
  last: boolean;
}
export interface Ribbon<Tone = string> {
  flow: Flow<Tone>;
  path: string;
}
export interface Sankey<Tone = string> {
  stops: Stop[];
  ribbons: Ribbon<Tone>[];
  height: number;
}

export const BAR = 9;
/** Each stop has room for two lines of text beside it. */
const SLOT = 44;
const THINNEST = 2;
/** Room for the names over the first stops. */
const HEAD = 8;

/** Lays flows out from left to right; `right` is kept free beside the last column. A flow back into an earlier stop is not drawn as such: flows form no ring. */
export function sankey<Tone>(flows: Flow<Tone>[], width: number, right: number, tall = 300): Sankey<Tone> {
  const drawn = flows.filter((f) => f.amount > 0n && f.from !== f.to);
  const names = [...new Set(drawn.flatMap((f) => [f.from, f.to]))];
  const column = new Map(names.map((n) => [n, 0]));
  for (let pass = 0; pass < names.length; pass++) {
    for (const f of drawn) {
      const next = column.get(f.from)! + 1;
      if (next > column.get(f.to)! && next < names.length) column.set(f.to, next);
    }
  }
  const columns = Math.max(0, ...column.values()) + 1;
  const sum = (list: Flow<Tone>[]) => list.reduce((all, f) => all + f.amount, 0n);
  const total = (name: string) => {
    const [into, out] = [sum(drawn.filter((f) => f.to === name)), sum(drawn.filter((f) => f.from === name))];
    return into > out ? into : out;
  };
  // who only receives stands in the last column, so that all ends read as one list
  for (const name of names) if (!drawn.some((f) => f.from === name)) column.set(name, columns - 1);

  const members = Array.from({ length: columns }, (_, c) => names.filter((n) => column.get(n) === c));
  const largest = members.reduce((most, list) => {
    const all = list.reduce((s, n) => s + total(n), 0n);
    return all > most ? all : most;
  }, 1n);
  const scale = (amount: bigint) => Math.max(THINNEST, (Number((amount * 100_000n) / largest) / 100_000) * tall);
  const step = columns > 1 ? (width - right - BAR) / (columns - 1) : 0;

  const stops = new Map<string, Stop>();
  let height = 0;
  members.forEach((list, c) => {
    let y = HEAD;
    for (const name of list) {
      const h = scale(total(name));
      stops.set(name, { name, column: c, total: total(name), x: c * step, y, height: h, last: c === columns - 1 });
      y += Math.max(h, SLOT) + 10;
    }
    height = Math.max(height, y);
  });

  // ribbons leave and arrive in the order of the other end, so that they cross little
  const leave = new Map<string, number>();
  const arrive = new Map<string, number>();
  const order = [...drawn].sort((a, b) => stops.get(a.from)!.y - stops.get(b.from)!.y || stops.get(a.to)!.y - stops.get(b.to)!.y);
  const ribbons = order.map((flow) => {
    const [a, b] = [stops.get(flow.from)!, stops.get(flow.to)!];
    const h = scale(flow.amount);
    const [ya, yb] = [a.y + (leave.get(a.name) ?? 0), b.y + (arrive.get(b.name) ?? 0)];
    leave.set(a.name, ya - a.y + h);
    arrive.set(b.name, yb - b.y + h);
    const [xa, xb] = [a.x + BAR, b.x];
    const mid = (xa + xb) / 2;
    const r = (n: number) => Math.round(n * 10) / 10;
    const path = `M${r(xa)} ${r(ya)}C${r(mid)} ${r(ya)} ${r(mid)} ${r(yb)} ${r(xb)} ${r(yb)}V${r(yb + h)}C${r(mid)} ${r(yb + h)} ${r(mid)} ${r(ya + h)} ${r(xa)} ${r(ya + h)}Z`;
    return { flow, path };
  });
  return { stops: [...stops.values()], ribbons, height };
}
