// The head of the site: where to go, the search, the line to the server, the theme.
import { useEffect, useRef, useState } from "preact/hooks";
import { read } from "../api";
import { count, dateTime, duration } from "../format";
import { useChainNow, useLink } from "../live";
import { navigate, useRoute } from "../router";
import { useStore } from "../store";
import { setTheme, theme, type Theme } from "../theme";
import type { Found } from "../types";

export const PLACES = [
  ["", "Auction"],
  ["tasks", "Tasks"],
  ["disputes", "Disputes"],
  ["providers", "Providers"],
  ["audits", "Audits"],
  ["models", "Models"],
  ["trust", "Trust"],
  ["receipt", "Receipt"],
] as const;

export function Top() {
  const { path } = useRoute();
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <header class="top">
        <a class="brand" href="/" aria-label="Gavel, the auction">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M5.200 12.600 12.600 5.200l6.200 6.200-7.400 7.400zM16.600 14.300l2-2L28 21.600a1.500 1.500 0 0 1-2.100 2.100zM4 25.500h15v3H4z" />
          </svg>
          Gavel
        </a>
        <nav class="nav" aria-label="Pages">
          <ul>
            {PLACES.map(([to, name]) => (
              <li key={to}>
                <a href={`/${to}`} aria-current={(path[0] ?? "") === to ? "page" : undefined}>
                  {name}
                </a>
              </li>
            ))}
          </ul>
        </nav>
        <div class="tools">
          <Search />
          <ThemeButton />
        </div>
      </header>
      <Pulse />
    </>
  );
}

const NEXT: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };

function ThemeButton() {
  const now = useStore(theme);
  return (
    <button type="button" class="theme" data-testid="theme" data-theme-now={now} title={`colours: ${now}`} aria-label={`colours: ${now}; change to ${NEXT[now]}`} onClick={() => setTheme(NEXT[now])}>
      <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.400" aria-hidden="true">
        {now === "dark" ? (
          <path d="M13.500 9.800A6 6 0 0 1 6.200 2.500a6 6 0 1 0 7.300 7.300z" />
        ) : now === "light" ? (
          <path d="M8 4.800a3.200 3.200 0 1 1 0 6.400 3.200 3.200 0 0 1 0-6.400zM8 .8v1.800M8 13.400v1.800M.8 8h1.800M13.400 8h1.800M2.900 2.900l1.300 1.300M11.800 11.800l1.300 1.300M2.900 13.100l1.300-1.300M11.800 4.200l1.300-1.300" />
        ) : (
          <>
            <circle cx="8" cy="8" r="6.200" />
            <path d="M8 1.800a6.200 6.200 0 0 1 0 12.400z" fill="currentColor" />
          </>
        )}
      </svg>
    </button>
  );
}

function Pulse() {
  const line = useLink();
  const now = useChainNow();
  return (
    <div class="pulse" data-state={line.state} data-testid="link" role="status">
      <span class="link">
        <i class="dot" aria-hidden="true" />
        {line.state === "live"
          ? "Live"
          : line.state === "connecting"
            ? "Connecting"
            : line.time
              ? "Not live: the server is silent. Trying again; what is shown may be old."
              : "Not live: the server does not answer. Trying again."}
      </span>
      {line.time > 0 && (
        <>
          {line.state === "stale" && <span aria-hidden="true">last heard of {duration((performance.now() - line.heard) / 1000)} ago</span>}
          <span>
            block <span data-testid="head-block">{count(line.block)}</span>
          </span>
          <time class="nowrap" dateTime={new Date(now * 1000).toISOString()} title="the chain's clock" aria-hidden="true">
            {dateTime(now)}
          </time>
          {line.speed !== 1 && <span>{line.speed} times as fast as the wall's clock</span>}
        </>
      )}
    </div>
  );
}

function Search() {
  const [text, setText] = useState("");
  const [found, setFound] = useState<Found[] | null>(null);
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLInputElement>(null);

  useEffect(() => {
    const wanted = text.trim();
    setFound(null);
    if (!wanted) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      read<{ items: Found[] }>(`/search?q=${encodeURIComponent(wanted)}`, stop.signal)
        .then(({ items }) => setFound(items))
        .catch(() => !stop.signal.aborted && setFound([]));
    }, 150);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [text]);

  useEffect(() => {
    const key = (event: KeyboardEvent) => {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test((event.target as Element).tagName);
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        input.current?.focus();
      }
    };
    const outside = (event: FocusEvent | PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    addEventListener("keydown", key);
    addEventListener("pointerdown", outside);
    addEventListener("focusin", outside);
    return () => {
      removeEventListener("keydown", key);
      removeEventListener("pointerdown", outside);
      removeEventListener("focusin", outside);
    };
  }, []);

  const go = (to: string) => {
    setOpen(false);
    setText("");
    navigate(to);
  };
  const move = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      setOpen(false);
      input.current?.focus();
    }
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step || !box.current) return;
    event.preventDefault();
    const stops = [input.current!, ...box.current.querySelectorAll<HTMLElement>(".found a")];
    const at = stops.indexOf(document.activeElement as HTMLElement);
    stops[(at + step + stops.length) % stops.length]?.focus();
  };

  return (
    <div class="search" ref={box} onKeyDown={move}>
      <form
        role="search"
        onSubmit={(e) => {
          e.preventDefault();
          if (found?.[0]) go(found[0].path);
        }}
      >
        <input
          ref={input}
          type="search"
          data-testid="search"
          aria-label="Search: id, address or digest (press /)"
          placeholder="Id, address or digest"
          autocomplete="off"
          spellcheck={false}
          value={text}
          onFocus={() => setOpen(true)}
          onInput={(e) => {
            setText(e.currentTarget.value);
            setOpen(true);
          }}
        />
      </form>
      {open && text.trim() && (
        <div class="found" data-testid="found">
          {found === null ? (
            <p class="faint">Searching</p>
          ) : found.length === 0 ? (
            <p class="soft">Nothing here has that id, address or digest.</p>
          ) : (
            found.map((f) => (
              <a
                key={f.path + f.title}
                href={f.path}
                onClick={(e) => {
                  e.preventDefault();
                  go(f.path);
                }}
              >
                {f.title}
                <small class="sub">{f.text}</small>
              </a>
            ))
          )}
        </div>
      )}
    </div>
  );
}
