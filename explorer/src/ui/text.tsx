// The smallest pieces: digests, amounts, times, marks.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { dateTime, duration, exactTokens, short, timeOfDay, tokens } from "../format";
import { useChainNow, useStatus } from "../live";
import type { Party } from "../types";

type Children = { children?: ComponentChildren };

export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      // no clipboard on an insecure origin: the text can still be selected
    }
  };
  return (
    <button type="button" class="copy" data-done={done || undefined} aria-label={done ? "copied" : `copy ${what}`} title={done ? "copied" : "copy"} onClick={copy}>
      <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" aria-hidden="true">
        {done ? <path d="m2.500 8.500 3.500 3.500 7.500-8" /> : <path d="M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3" />}
      </svg>
    </button>
  );
}

/** A digest or an address: shortened, whole in its title, copied by the button. */
export function Hex({ value, href, whole, label, testid }: { value: string; href?: string; whole?: boolean; label?: string; testid?: string }) {
  const text = whole ? value : short(value);
  return (
    <span class="nowrap-hex">
      {href ? (
        <a class={whole ? "hex whole" : "hex"} href={href} title={value} data-testid={testid}>
          {text}
        </a>
      ) : (
        <span class={whole ? "hex whole" : "hex"} title={value} data-testid={testid}>
          {text}
        </span>
      )}
      <Copy text={value} what={label ?? "digest"} />
    </span>
  );
}

/** Decimals of the asset, 18 until the server has said. */
export const useDecimals = () => useStatus()?.asset.decimals ?? 18;

export function Tokens({ units, testid }: { units: string | bigint; testid?: string }) {
  const decimals = useDecimals();
  return (
    <span class="nowrap" title={`${exactTokens(units, decimals)} tokens`} data-testid={testid}>
      {tokens(units, decimals)}
    </span>
  );
}

export const partyName = (p: Party) => p.name ?? short(p.address);

/** Who somebody is: a name where the server knows one, the address in the title. */
export function Who({ party, as = "accounts", testid }: { party: Party; as?: "providers" | "accounts"; testid?: string }) {
  return (
    <a href={`/${as}/${party.address}`} title={party.address} class={party.name ? undefined : "hex"} data-testid={testid}>
      {partyName(party)}
    </a>
  );
}

/** A moment of the chain's clock. */
export function When({ at, testid, ago }: { at: number; testid?: string; ago?: boolean }) {
  const now = useChainNow();
  return (
    <time dateTime={new Date(at * 1000).toISOString()} title={dateTime(at)} data-testid={testid}>
      {ago ? (at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`) : timeOfDay(at)}
    </time>
  );
}

/** Time left until a moment, counting. */
export function Left({ until, testid, over = "over" }: { until: number; testid?: string; over?: string }) {
  const left = until - useChainNow();
  return (
    <time class="nowrap" dateTime={new Date(until * 1000).toISOString()} title={dateTime(until)} data-testid={testid}>
      {left > 0 ? duration(left) : over}
    </time>
  );
}

export type Tone = "agreed" | "disputed" | "slashed" | "barred" | "solid" | "plain";

export function Mark({ tone = "plain", testid, title, children }: Children & { tone?: Tone; testid?: string; title?: string }) {
  return (
    <span class={`mark ${tone}`} data-testid={testid} title={title}>
      {children}
    </span>
  );
}

export function Notice({ tone, role, testid, children }: Children & { tone?: Tone; role?: "alert" | "status"; testid?: string }) {
  return (
    <div class={`notice ${tone ?? ""}`} role={role} data-testid={testid}>
      {children}
    </div>
  );
}

export function Facts({ rows }: { rows: (readonly [string, ComponentChildren, string?] | null | false | undefined)[] }) {
  return (
    <dl class="facts">
      {rows.map(
        (row) =>
          row && (
            <div key={row[0]}>
              <dt>{row[0]}</dt>
              <dd data-testid={row[2]}>{row[1]}</dd>
            </div>
          ),
      )}
    </dl>
  );
}
