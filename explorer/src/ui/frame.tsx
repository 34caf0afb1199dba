// Page heads, sections, tables, states of loading.
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

type Children = { children?: ComponentChildren };

/** The head of a page: takes the focus when the page changes, so that a screen reader begins here. */
export function PageHead({ title, name, crumb, children, under }: Children & { title: string; name?: ComponentChildren; crumb?: ComponentChildren; under?: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} \u00b7 Gavel`;
    if (first) first = false;
    else heading.current?.focus({ preventScroll: true });
  }, [title]);
  return (
    <div class="page-head">
      {crumb && <p class="crumb">{crumb}</p>}
      <h1 ref={heading} tabIndex={-1} data-testid="title">
        {name ?? title}
      </h1>
      {children}
      {under && <p class="under">{under}</p>}
    </div>
  );
}
let first = true;

export function Part({ id, title, note, wide, children }: Children & { id: string; title: string; note?: ComponentChildren; wide?: boolean }) {
  return (
    <section class={wide ? "part wide" : "part"} id={id} aria-labelledby={`${id}-h`} data-testid={`part-${id}`}>
      <header>
        <h2 id={`${id}-h`}>{title}</h2>
        {note && <p>{note}</p>}
      </header>
      <div class="body">{children}</div>
    </section>
  );
}

export interface Column<Row> {
  name: string;
  num?: boolean;
  cell: (row: Row) => ComponentChildren;
}

export function Table<Row>({ rows, columns, rowKey, caption, empty, testid }: { rows: Row[]; columns: Column<Row>[]; rowKey: (row: Row) => string | number; caption: string; empty: string; testid: string }) {
  if (rows.length === 0) return <Empty testid={`${testid}-empty`}>{empty}</Empty>;
  return (
    <table class="table" data-testid={testid}>
      <caption class="sr">{caption}</caption>
      <thead>
        <tr>
          {columns.map((c) => (
            <th key={c.name} scope="col" class={c.num ? "num" : undefined}>
              {c.name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={rowKey(row)} data-testid={`${testid}-row`} data-key={rowKey(row)}>
            {columns.map((c) => (
              <td key={c.name} class={c.num ? "num" : undefined} data-label={c.name}>
                <div>{c.cell(row)}</div>
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

export function Empty({ children, testid = "empty" }: Children & { testid?: string }) {
  return (
    <p class="empty" data-testid={testid}>
      {children}
    </p>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="loading" role="status" data-testid="loading">
      Reading {what}
    </p>
  );
}
