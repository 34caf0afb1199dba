// The project's own verifier, compiled to wasm, in a worker: evidence may take seconds, in which the page still answers.
import type { Report } from "../wasm/verifier";

/** Where the worker is served: build.mjs says so. */
declare const VERIFIER_WORKER: string;

/** Most bytes of a file: what the wasm reads, `Limits::page` of crates/verifier. */
export const MOST_BYTES = 256 * 2 ** 20;

/** What the worker answers. */
export type Answer = { report: Report } | { unloaded: string } | { failed: string };

/** The verifier cannot be had, so that nothing is known of the file. */
export class Unloaded extends Error {}

/** Verifies one file in a worker of its own, which ends with it: what a file breaks, and a load that failed, are not kept. */
export function verify(file: ArrayBuffer, signal: AbortSignal): Promise<Report> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(VERIFIER_WORKER, { type: "module" });
    signal.addEventListener("abort", () => {
      worker.terminate();
      reject(signal.reason);
    });
    worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      worker.terminate();
      if ("report" in data) resolve(data.report);
      else reject("unloaded" in data ? new Unloaded(data.unloaded) : new Error(data.failed));
    };
    // an error within the worker is an answer of it: this is a script that did not load
    worker.onerror = () => {
      worker.terminate();
      reject(new Unloaded("its script does not load"));
    };
    worker.postMessage(file, [file]);
  });
}
