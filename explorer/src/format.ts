// How numbers, times and digests are written. Pure.

/** Groups of three with a thin space, so that long amounts can be read. */
const group = (digits: string) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

export const count = (n: number | bigint | string) => group(String(n));

/** Units of the asset as tokens: at most `places` decimals, rounded to nearest, never to zero what is not zero. */
export function tokens(units: string | bigint, decimals = 18, places = 4): string {
  let value: bigint;
  try {
    value = BigInt(units);
  } catch {
    return String(units);
  }
  const sign = value < 0n ? "\u2212" : "";
  if (value < 0n) value = -value;
  const kept = Math.min(places, decimals);
  const cut = 10n ** BigInt(decimals - kept);
  const rounded = (value + cut / 2n) / cut;
  if (rounded === 0n && value > 0n) return `${sign}<\u202f0.${"0".repeat(Math.max(kept - 1, 0))}1`;
  const unit = 10n ** BigInt(kept);
  const fraction = (rounded % unit).toString().padStart(kept, "0").replace(/0+$/, "");
  return sign + group((rounded / unit).toString()) + (kept && fraction ? `.${fraction}` : "");
}

/** With exactly two decimals, rounded down: a price that runs does not change its width. */
export function fixed(units: bigint, decimals = 18): string {
  const cents = (units * 100n) / 10n ** BigInt(decimals);
  return `${group((cents / 100n).toString())}.${(cents % 100n).toString().padStart(2, "0")}`;
}

/** The exact amount, for a title. */
export const exactTokens = (units: string | bigint, decimals = 18) => tokens(units, decimals, decimals);

/** A length of time in its two largest units. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  const units: [number, string][] = [
    [86_400, "d"],
    [3_600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([size]) => s >= size);
  if (first < 0) return "0\u00a0s";
  const [size, name] = units[first]!;
  const next = units[first + 1];
  const rest = next ? Math.floor((s % size) / next[0]) : 0;
  return `${Math.floor(s / size)}\u00a0${name}${rest && next ? ` ${rest}\u00a0${next[1]}` : ""}`;
}

/** A running clock: 1:02:03 or 2:03. */
export function clock(seconds: number): string {
  const s = Math.max(0, Math.ceil(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, r] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return h ? `${h}:${two(m)}:${two(r)}` : `${m}:${two(r)}`;
}

export function dateTime(unix: number): string {
  return new Date(unix * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
}
export const timeOfDay = (unix: number) => dateTime(unix).slice(11, 19);

/** `0x1234…cdef`. */
export function short(hex: string, head = 6, tail = 4): string {
  return hex.length > 2 + head + tail + 1 ? `${hex.slice(0, 2 + head)}\u2026${hex.slice(-tail)}` : hex;
}

export const percent = (part: number, places = 1) => `${(part * 100).toFixed(places).replace(/\.0+$/, "")}\u202f%`;

export const plural = (n: number, one: string, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** The binary32 of 8 hex digits, and its three fields. */
export interface Float {
  value: number;
  sign: string;
  exponent: string;
  fraction: string;
}

export function float(hex: string): Float | null {
  const match = /^0x([0-9a-f]{8})$/i.exec(hex);
  if (!match) return null;
  const bits = parseInt(match[1]!, 16) >>> 0;
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits);
  const text = bits.toString(2).padStart(32, "0");
  return { value: view.getFloat32(0), sign: text.slice(0, 1), exponent: text.slice(1, 9), fraction: text.slice(9) };
}

/** The shortest decimal that names this binary32 and no other. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+\u221e" : "\u2212\u221e";
  if (Object.is(value, -0)) return "\u22120";
  for (let digits = 1; digits <= 9; digits++) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text)).replaceAll("-", "\u2212");
  }
  return String(value);
}
