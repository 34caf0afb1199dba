// What a page shows while it reads, and when it cannot.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { read, useRead, type ApiError } from "../api";
import { count } from "../format";
import type { Page } from "../types";
import { Loading, PageHead } from "./frame";
import { Notice } from "./text";

export function Failed({ error, again, what }: { error: ApiError; again: () => void; what: string }) {
  return (
    <>
      <PageHead title={error.status === 404 ? "Not here" : error.status === 410 ? "No longer kept" : `No answer about ${what}`} />
      <Notice tone="barred" role="alert" testid="error">
        <p>{error.message}</p>
        {error.hint && <p>{error.hint}</p>}
        <p>
          {error.status === 404 || error.status === 410 ? (
            <a href="/">To the auction</a>
          ) : (
            <button type="button" onClick={again}>
              Try again
            </button>
          )}
        </p>
      </Notice>
    </>
  );
}

/** Shows what is at `path`: loading, failed, or the answer, which stays while it is read again. */
export function Answer<T>({ path, what, children }: { path: string; what: string; children: (data: T) => ComponentChildren }) {
  const { data, error, again } = useRead<T>(path);
  if (data === undefined) return error ? <Failed error={error} again={again} what={what} /> : <Loading what={what} />;
  return <>{children(data)}</>;
}

/** A list in pages. The newest page is live; with older ones below it, it stands still, so that nothing falls between two pages. */
export function Pages<T>({ path, what, children }: { path: string; what: string; children: (items: T[], total: number) => ComponentChildren }) {
  const [older, setOlder] = useState<{ items: T[]; next: string | null } | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => setOlder(null), [path]);
  return (
    <Answer<Page<T>> path={path} what={what}>
      {(page) => {
        const items = older?.items ?? page.items;
        const next = older ? older.next : page.next;
        const more = async () => {
          setBusy(true);
          const got = await read<Page<T>>(`${path}${path.includes("?") ? "&" : "?"}before=${encodeURIComponent(next!)}`).catch(() => null);
          setBusy(false);
          if (got) setOlder({ items: [...items, ...got.items], next: got.next });
        };
        return (
          <>
            {children(items, page.total)}
            {(next || older) && (
              <p class="more">
                {next && (
                  <button type="button" onClick={more} disabled={busy} data-testid="more">
                    {busy ? "Reading" : "Older"}
                  </button>
                )}{" "}
                {older && (
                  <button type="button" onClick={() => setOlder(null)} data-testid="newest">
                    Newest only
                  </button>
                )}{" "}
                <span class="soft">
                  {count(items.length)} of {count(page.total)}
                </span>
              </p>
            )}
          </>
        );
      }}
    </Answer>
  );
}

/** Saves rows as a file: JSON lines, one row each. */
export function Export({ rows, name }: { rows: unknown[]; name: string }) {
  const save = () => {
    const url = URL.createObjectURL(new Blob(rows.map((r) => `${JSON.stringify(r)}\n`), { type: "application/jsonl" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = `${name}.jsonl`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1_000);
  };
  return rows.length > 0 ? (
    <button type="button" onClick={save} data-testid="export">
      Save as JSONL
    </button>
  ) : null;
}
