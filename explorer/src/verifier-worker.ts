// Runs in a worker of its own: one file in, one answer out.
import { loadVerifier, type Verifier } from "../wasm/verifier";
import wasm from "../wasm/verifier.wasm";
import type { Answer } from "./verifier";

const words = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

async function answer(file: ArrayBuffer): Promise<Answer> {
  let verifier: Verifier;
  try {
    verifier = await loadVerifier(wasm);
  } catch (cause) {
    return { unloaded: words(cause) };
  }
  try {
    return { report: await verifier.verify(new Uint8Array(file)) };
  } catch (cause) {
    return { failed: words(cause) };
  }
}

onmessage = async ({ data }: MessageEvent<ArrayBuffer>) => postMessage(await answer(data));
