// The file that a requester keeps: `gavel task result ID --receipt FILE`. Pure.

export interface Receipt {
  chain_id: number;
  market: string;
  task_id: number;
  attempt: number;
  class_id: string;
  model_id: string;
  input_digest: string;
  output_digest: string;
  trace_root: string;
  steps: number;
  provider: string;
  signature: string;
}

/** Version of the format that this page reads. */
export const FORMAT = 2;

const hex = (bytes: number) => new RegExp(`^0x[0-9a-f]{${bytes * 2}}$`, "i");
const SHAPES: Record<keyof Receipt, RegExp | "number"> = {
  chain_id: "number",
  market: hex(20),
  task_id: "number",
  attempt: "number",
  class_id: hex(32),
  model_id: hex(32),
  input_digest: hex(32),
  output_digest: hex(32),
  trace_root: hex(32),
  steps: "number",
  provider: hex(20),
  signature: hex(65),
};

/** The receipt in a file's text, or what is wrong with it. */
export function parseReceipt(text: string): Receipt | string {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch {
    return "This is no JSON. A receipt is the file that `gavel task result ID --receipt FILE` writes.";
  }
  if (typeof file !== "object" || file === null) return "A receipt is a JSON object.";
  const outer = file as { format?: unknown; receipt?: unknown };
  // a receipt as a blob stands alone; in the file that a requester keeps it is beside inputs and outputs
  if (outer.receipt !== undefined && outer.format !== FORMAT) return `This receipt has format ${JSON.stringify(outer.format)}; this page reads format ${FORMAT}.`;
  const inner = (outer.receipt ?? file) as Record<string, unknown>;
  for (const [name, shape] of Object.entries(SHAPES)) {
    const value = inner[name];
    const good = shape === "number" ? Number.isSafeInteger(value) && (value as number) >= 0 : typeof value === "string" && shape.test(value);
    if (!good) return `\`${name}\` is ${value === undefined ? "missing" : "not what a receipt has there"}: expected ${shape === "number" ? "a whole number" : "0x and hex digits"}.`;
  }
  return inner as unknown as Receipt;
}
