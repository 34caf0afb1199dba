// The project's own verifier, compiled to wasm, is to be had here. Until it is, this page compares digests
// with the chain and says plainly what it did not check.

export interface Verdict {
  holds: boolean;
  /** What was checked and found, in words. */
  says: string;
}

export interface Verifier {
  /** Checks the signature of a receipt, and its digests against the inputs and outputs in the file. */
  receipt(file: Uint8Array): Promise<Verdict>;
}

/** `null` while this build carries no verifier. */
export async function loadVerifier(): Promise<Verifier | null> {
  return null;
}
