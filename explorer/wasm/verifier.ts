// The project's own verifier (crates/verifier), compiled to WebAssembly: the same code and the same verdicts as `gavel verify`.
// Needs the page's policy to allow it: `script-src 'wasm-unsafe-eval'`.

/** Something that was checked. */
export interface Check {
  what: string;
  ok: boolean;
  expected: string;
  found: string;
}

/** Something that a file says. */
export interface Fact {
  what: string;
  says: string;
}

/** The arithmetic step that goes wrong; bits in hex. */
export interface Step {
  words: string;
  element: number;
  coordinates: number[];
  batch: number;
  block: number | null;
  tap: number | null;
  values: [number, number] | null;
  instruction: string;
  operands: string[];
  result: string;
  claimed: string;
  computed: string;
  loads: { input: number; element: number; bits: string }[];
  dtype: number;
}

/**
 * `signed`: a receipt that its provider signed, about just what lies beside it. `false` and `true`: evidence of a claim that is so.
 * `void`: the file proves nothing. `unjudged`: it asks for more than a page gives; `gavel verify` gives more.
 */
export type Verdict = "signed" | "false" | "true" | "void" | "unjudged";

/** What was found out about a file: `Report` of crates/verifier. */
export interface Report {
  kind: "receipt" | "evidence" | null;
  verdict: Verdict;
  /** The verdict in one sentence. */
  says: string;
  convicts: { party: "provider" | "referee" | "challenger"; address: string | null }[];
  claims: Fact[];
  checks: Check[];
  unchecked: string[];
  step: Step | null;
}

export interface Verifier {
  /** Finds out all that a receipt or an evidence file shows by itself. */
  verify(file: Uint8Array): Promise<Report>;
}

/** What the chain says, by the names of `Report.claims`: "chain", "task", "provider", "model", "trace root", ... */
export type ChainFacts = Record<string, string | number>;

/** The same report with the file's claims compared with the chain's facts: no hash in a file covers those. */
export function against(report: Report, facts: ChainFacts): Report {
  const lines = Object.entries(facts).map(([what, fact]): Check => {
    const expected = String(fact).toLowerCase();
    const found = report.claims.find((claim) => claim.what === what)?.says.toLowerCase() ?? "nothing";
    return { what: `${what} on the chain`, ok: expected === found, expected, found };
  });
  const differs = lines.some((line) => !line.ok);
  return {
    ...report,
    checks: [...report.checks, ...lines],
    ...(differs ? { verdict: "void" as const, says: "this file is about something else than the chain has", convicts: [] } : {}),
  };
}

interface Exports {
  memory: WebAssembly.Memory;
  verifier_alloc(length: number): number;
  verifier_free(at: number, length: number): void;
  verifier_verify(at: number, length: number): number;
}

const LENGTH = 4;

function run(exports: Exports, file: Uint8Array): Report {
  const at = exports.verifier_alloc(file.length) >>> 0;
  if (file.length !== 0 && at === 0) throw new Error("no memory is left for the file");
  new Uint8Array(exports.memory.buffer, at, file.length).set(file);
  const answer = exports.verifier_verify(at, file.length) >>> 0;
  exports.verifier_free(at, file.length);
  if (answer === 0) throw new Error("no memory is left for the report");
  // memory may have grown, which detaches every earlier view of it
  const length = new DataView(exports.memory.buffer).getUint32(answer, true);
  const text = new TextDecoder().decode(new Uint8Array(exports.memory.buffer, answer + LENGTH, length));
  exports.verifier_free(answer, LENGTH + length);
  return JSON.parse(text) as Report;
}

/** The verifier from where `verifier.wasm` is served, or from its bytes. */
export async function loadVerifier(source: string | URL | BufferSource): Promise<Verifier> {
  let bytes: BufferSource;
  if (typeof source === "string" || source instanceof URL) {
    const response = await fetch(source);
    if (!response.ok) throw new Error(`the verifier is not to be had: the server answered ${response.status}`);
    bytes = await response.arrayBuffer();
  } else bytes = source;
  const module = await WebAssembly.compile(bytes);
  return {
    // an instance for every file: what one leaves behind, or breaks, is gone with it
    async verify(file) {
      const instance = await WebAssembly.instantiate(module, {});
      return run(instance.exports as unknown as Exports, file);
    },
  };
}
