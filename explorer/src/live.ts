// What the server says as it happens: the chain's head, and that something has changed.
import { useEffect, useState } from "preact/hooks";
import { API, read } from "./api";
import type { Change } from "./concerns";
import { store, useStore } from "./store";
import type { Activity, ChainClock, Status } from "./types";

export interface Link {
  state: "connecting" | "live" | "stale";
  block: number;
  /** The chain's clock when it was last heard of, and ours (`performance.now`). */
  time: number;
  heard: number;
  /** Seconds of the chain's clock in one of ours. */
  speed: number;
}

export const link = store<Link>({ state: "connecting", block: 0, time: 0, heard: 0, speed: 1 });
const listeners = new Set<(change: Change) => void>();
export function onChange(listener: (change: Change) => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** What the server says of itself. */
export const status = store<Status | null>(null);
export const useStatus = () => useStore(status);

/** Silence longer than this is a lost line: the server sends a sign of life more often. */
const SILENCE_MS = 25_000;
const RETRY_MS = [500, 1_000, 2_000, 5_000, 10_000];

interface HeadEvent {
  number: number;
  clock: ChainClock;
}

/** Takes over where the chain stands. The wall's clock is only compared with itself. */
export function hear(head: HeadEvent) {
  link.set({ state: "live", block: head.number, time: head.clock.time, heard: performance.now(), speed: head.clock.speed });
}

let source: EventSource | null = null;
let opened = false;
let tries = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
let silence: ReturnType<typeof setTimeout> | undefined;

function lost() {
  source?.close();
  source = null;
  clearTimeout(silence);
  clearTimeout(timer);
  link.set({ ...link.get(), state: "stale" });
  timer = setTimeout(listen, RETRY_MS[Math.min(tries++, RETRY_MS.length - 1)]);
}

const changed = (change: Change) => [...listeners].forEach((l) => l(change));

export function listen() {
  clearTimeout(timer);
  source?.close();
  const events = new EventSource(`${API}/events`);
  source = events;
  const alive = () => {
    clearTimeout(silence);
    silence = setTimeout(check, SILENCE_MS);
  };
  alive();
  events.onopen = () => {
    tries = 0;
    alive();
    // a new line does not know the last event of the old one: all that is shown is read at once
    if (opened) changed("all");
    opened = true;
    void refresh();
  };
  events.onerror = () => {
    if (source === events) lost();
  };
  events.addEventListener("head", (event) => {
    alive();
    hear(JSON.parse((event as MessageEvent<string>).data) as HeadEvent);
    changed("head");
  });
  events.addEventListener("activity", (event) => {
    alive();
    changed((JSON.parse((event as MessageEvent<string>).data) as Activity).touches);
  });
  events.addEventListener("values", (event) => changed([`dispute/${(JSON.parse((event as MessageEvent<string>).data) as { dispute: number }).dispute}`]));
  for (const name of ["reorg", "reset"]) events.addEventListener(name, () => changed("all"));
}

/** Comments of the stream are not shown to a page: on a quiet chain it asks whether the server is there. */
async function check() {
  if (await refresh()) silence = setTimeout(check, SILENCE_MS);
  else lost();
}

async function refresh(): Promise<boolean> {
  try {
    const now = await read<Status>("/status");
    status.set(now);
    hear({ number: now.head.number, clock: now.clock });
    return true;
  } catch {
    return false;
  }
}

/** The chain's clock now: between two heads it is ours, at the chain's speed. */
export function chainNow(): number {
  const { time, heard, speed } = link.get();
  return time === 0 ? Math.floor(Date.now() / 1000) : time + (speed * (performance.now() - heard)) / 1000;
}

const second = store(0);
let ticking: ReturnType<typeof setInterval> | undefined;
let watchers = 0;

/** The chain's clock, ticking once a second while somebody looks. */
export function useChainNow(): number {
  const [now, setNow] = useState(chainNow);
  useEffect(() => {
    if (watchers++ === 0) ticking = setInterval(() => second.set(second.get() + 1), 1_000);
    const update = () => setNow(chainNow());
    const stop = [second.watch(update), link.watch(update)];
    update();
    return () => {
      stop.forEach((s) => s());
      if (--watchers === 0) clearInterval(ticking);
    };
  }, []);
  return now;
}

export const useLink = () => useStore(link);
