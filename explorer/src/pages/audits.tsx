// The lottery: a seed that nobody knew when the result was committed says whether it is audited, and by whom.
import { count, percent } from "../format";
import { useChainNow } from "../live";
import type { Audit } from "../types";
import { Answer, Pages } from "../ui/answer";
import { Empty, PageHead, Part, Table } from "../ui/frame";
import { AuditMark } from "../ui/marks";
import { Facts, Hex, Left, Mark, Tokens, When, Who } from "../ui/text";

export function AuditsPage() {
  return (
    <>
      <PageHead title="Audits" under="The system challenges results at random. A round of the beacon, which nobody can know before the result is committed, draws a number; below the threshold, a provider drawn by stake runs the task again." />
      <Part id="audits" title="All audits" wide>
        <Pages<Audit> path="/audits" what="the audits">
          {(rows) => (
            <Table
              testid="audits"
              caption="Audits"
              empty="No result has been committed yet, so there was nothing to draw."
              rows={rows}
              rowKey={(a) => `${a.task}-${a.attempt}`}
              columns={[
                {
                  name: "Result",
                  cell: (a) => (
                    <>
                      <a href={`/audits/${a.task}/${a.attempt}`}>Task {a.task}</a>
                      {a.attempt > 0 && <small>attempt {a.attempt + 1}</small>}
                    </>
                  ),
                },
                { name: "Of", cell: (a) => <Who party={a.provider} as="providers" /> },
                { name: "Outcome", cell: (a) => <AuditMark state={a.state} /> },
                { name: "Number drawn", num: true, cell: (a) => (a.draw !== null ? count(a.draw) : a.probation ? "probation" : <span class="faint">not yet</span>) },
                { name: "Threshold", num: true, cell: (a) => count(a.threshold) },
                { name: "Auditor", cell: (a) => (a.auditors.length ? <Who party={a.auditors[a.auditors.length - 1]!.party} as="providers" /> : <span class="faint">nobody</span>) },
                { name: "Round", num: true, cell: (a) => count(a.round) },
              ]}
            />
          )}
        </Pages>
      </Part>
    </>
  );
}

const MILLION = 1_000_000;

export function AuditPage({ task, attempt }: { task: string; attempt: string }) {
  const now = useChainNow();
  return (
    <Answer<Audit> path={`/audits/${encodeURIComponent(task)}/${encodeURIComponent(attempt)}`} what="the audit">
      {(a) => (
        <>
          <PageHead title={`Audit of task ${a.task}`} crumb={<a href="/audits">Audits</a>} under={a.text.charAt(0).toUpperCase() + a.text.slice(1) + "."}>
            <AuditMark state={a.state} />
            {a.attempt > 0 && <Mark>attempt {a.attempt + 1}</Mark>}
            {a.dispute !== null && <a href={`/disputes/${a.dispute}`}>dispute {a.dispute}</a>}
          </PageHead>
          <Part id="draw" title="The draw" note={`Of a million numbers, the lowest ${count(a.threshold)} mean an audit: ${percent(a.rate_ppm / MILLION, 2)} of results.`}>
            <Lottery audit={a} />
            <div class="more">
              <Facts
                rows={[
                  ["Result", <a href={`/tasks/${a.task}`}>task {a.task}, attempt {a.attempt + 1}</a>],
                  ["Of provider", <Who party={a.provider} as="providers" />],
                  ["Beacon round", <>{count(a.round)}{a.round_at > now ? <>, out in <Left until={a.round_at} /></> : ""}</>, "audit-round"],
                  ["Seed", a.seed ? <Hex value={a.seed} whole label="seed" testid="audit-seed" /> : <span class="soft">not out yet: nobody can know it</span>],
                  ["Number drawn", a.draw !== null ? <span class="mono" data-testid="audit-draw">{count(a.draw)}</span> : a.probation ? "none needed: a newcomer's first tasks are always audited" : <span class="faint">not yet</span>],
                  a.draw !== null && ["How", <code class="hex whole">keccak256(abi.encode(seed, {a.task}, {a.attempt})) mod 1000000 = {a.draw}</code>],
                  a.leaf !== null && ["Commit point to open", <span class="mono">{count(a.leaf)}</span>],
                ]}
              />
            </div>
          </Part>
          <Part id="auditors" title="Auditors" note="Drawn by stake from those who serve the model. Each commits to its own run before it can see anybody else's.">
            <Table
              testid="auditors"
              caption="Auditors"
              empty="Nobody has been drawn."
              rows={a.auditors}
              rowKey={(x) => x.party.address}
              columns={[
                { name: "Auditor", cell: (x) => <Who party={x.party} as="providers" testid="auditor" /> },
                { name: "Drawn", cell: (x) => <When at={x.drawn_at} /> },
                { name: "Has until", cell: (x) => (x.outcome === "waiting" ? <Left until={x.deadline + 1} over="out of time" /> : <When at={x.deadline} />) },
                { name: "Outcome", cell: (x) => <><Mark tone={x.outcome === "matched" ? "agreed" : x.outcome === "mismatched" ? "disputed" : x.outcome === "failed" ? "slashed" : "plain"}>{x.outcome}</Mark>{x.reason && <small>{x.reason}</small>}</> },
                { name: "Fee", num: true, cell: (x) => <Tokens units={x.fee} /> },
                { name: "Penalty", num: true, cell: (x) => <Tokens units={x.penalty} /> },
              ]}
            />
          </Part>
          <Part id="candidates" title="Who could be drawn" note="Each by its weight, as it stood before the seed existed.">
            {a.candidates.length === 0 ? <Empty>Nobody serves this model.</Empty> : <Weights rows={a.candidates} drawn={a.auditors.map((x) => x.party.address)} />}
          </Part>
        </>
      )}
    </Answer>
  );
}

/** The line of all numbers, the audited part of it, and where the draw fell. */
function Lottery({ audit: a }: { audit: Audit }) {
  const x = (n: number) => (n / MILLION) * 1000;
  const edge = Math.max(2, x(a.threshold));
  return (
    <svg class="lottery" viewBox="0 -26 1000 64" role="img" aria-label={a.text} data-testid="lottery">
      <rect class="no" x="0" y="0" width="1000" height="18" />
      <rect class="yes" x="0" y="0" width={edge} height="18" />
      {a.draw !== null && (
        <>
          <path class="pin" d={`M${x(a.draw)} -6V24`} />
          <circle class="pin-head" cx={x(a.draw)} cy="-9" r="5" />
        </>
      )}
    </svg>
  );
}

export interface Weighted {
  provider: { address: string; name: string | null };
  weight: string;
  excluded?: boolean;
  why?: string | null;
}

export function Weights({ rows, drawn }: { rows: Weighted[]; drawn: string[] }) {
  const all = rows.filter((r) => !r.excluded).reduce((sum, r) => sum + BigInt(r.weight), 0n);
  const share = (r: Weighted) => (r.excluded || all === 0n ? 0 : Number((BigInt(r.weight) * 10_000n) / all) / 10_000);
  return (
    <ul class="weights" data-testid="weights">
      {rows.map((r) => {
        const picked = drawn.some((d) => d.toLowerCase() === r.provider.address.toLowerCase());
        return (
          <li key={r.provider.address} class={picked ? "picked" : r.excluded ? "excluded" : ""}>
            <span>
              <Who party={r.provider} as="providers" />
              {picked && <Mark tone="solid">drawn</Mark>}
            </span>
            <span class="bar" aria-hidden="true">
              <i style={{ width: `${share(r) * 100}%` }} />
            </span>
            <span class="num">{r.excluded ? <span class="soft">not drawn: {r.why}</span> : percent(share(r))}</span>
          </li>
        );
      })}
    </ul>
  );
}
