// Reading the server's interface. Every answer is kept, so that going back shows at once what was there.
import { useEffect, useRef, useState } from "preact/hooks";
import { concerns } from "./concerns";
import { onChange } from "./live";

export const API = "/api/v1";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly hint?: string,
  ) {
    super(message);
  }
}

interface Problem {
  error?: { message?: string; expected?: string | null; hint?: string | null };
}

export async function read<T>(path: string, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`${API}${path}`, { headers: { accept: "application/json" }, ...(signal ? { signal } : {}) });
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "The server does not answer.", "Is `gavel up` still running?");
  }
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    const { error } = (body ?? {}) as Problem;
    const hint = error?.expected ? `Expected ${error.expected}.` : undefined;
    throw new ApiError(response.status, error?.message ?? `The server answered ${response.status}.`, hint);
  }
  if (body === null) throw new ApiError(response.status, "The server's answer is no JSON.");
  return body as T;
}

const kept = new Map<string, unknown>();
const KEEP = 64;

export interface Reading<T> {
  data: T | undefined;
  error: ApiError | undefined;
  again: () => void;
}

/** No more than one reading at a time, and none sooner after the last than this. */
const PAUSE_MS = 500;
/** With a new head alone only what depends on the clock changes: that is read again less often. */
const HEAD_MS = 4_000;

/** What is at `path`, read again when something changes. */
export function useRead<T>(path: string | null): Reading<T> {
  const [, draw] = useState(0);
  const state = useRef<{ path: string | null; data: T | undefined; error: ApiError | undefined }>({ path: null, data: undefined, error: undefined });
  const again = useRef<() => void>(() => {});
  if (state.current.path !== path) {
    state.current = { path, data: path === null ? undefined : (kept.get(path) as T | undefined), error: undefined };
  }
  useEffect(() => {
    if (path === null) return;
    const stop = new AbortController();
    let busy = false;
    let wanted = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const go = async () => {
      if (busy || timer !== undefined) {
        wanted = true;
        return;
      }
      busy = true;
      try {
        const data = await read<T>(path, stop.signal);
        kept.delete(path);
        kept.set(path, data);
        if (kept.size > KEEP) kept.delete(kept.keys().next().value!);
        state.current = { path, data, error: undefined };
      } catch (cause) {
        if (stop.signal.aborted) return;
        const error = cause instanceof ApiError ? cause : new ApiError(0, String(cause));
        state.current = { ...state.current, error };
      }
      busy = false;
      draw((n) => n + 1);
      timer = setTimeout(() => {
        timer = undefined;
        if (wanted) {
          wanted = false;
          void go();
        }
      }, PAUSE_MS);
    };
    again.current = () => void go();
    void go();
    let last = performance.now();
    let later: ReturnType<typeof setTimeout> | undefined;
    const unwatch = onChange((change) => {
      if (!concerns(path, change)) return;
      const wait = change === "head" ? last + HEAD_MS - performance.now() : 0;
      if (change === "head" && later !== undefined) return;
      clearTimeout(later);
      later = setTimeout(
        () => {
          later = undefined;
          last = performance.now();
          void go();
        },
        Math.max(0, wait),
      );
    });
    return () => {
      stop.abort();
      clearTimeout(timer);
      clearTimeout(later);
      unwatch();
    };
  }, [path]);
  return { data: state.current.data, error: state.current.error, again: () => again.current() };
}
