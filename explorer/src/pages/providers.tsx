import { percent, plural } from "../format";
import type { AccountPage as Account, Provider, ProviderSummary } from "../types";
import { Answer, Export, Pages } from "../ui/answer";
import { PageHead, Part, Table } from "../ui/frame";
import { StandingMark } from "../ui/marks";
import { Transfers } from "../ui/money";
import { Facts, Hex, Left, Mark, Notice, partyName, Tokens, When, Who } from "../ui/text";
import { DisputeTable } from "./disputes";
import { TaskTable } from "./tasks";

export function ProvidersPage() {
  return (
    <>
      <PageHead title="Providers" under="Who runs models here, what they have at stake, and how they have done." />
      <Part id="providers" title="All providers" wide>
        <Pages<ProviderSummary> path="/providers" what="the providers">
          {(rows, total) => (
            <>
              <Table
                testid="providers"
                caption="Providers"
                empty="Nobody serves here yet: `gavel provider run` does."
                rows={rows}
                rowKey={(p) => p.address}
                columns={[
                  { name: "Provider", cell: (p) => <Who party={p} as="providers" /> },
                  { name: "Standing", cell: (p) => <StandingMark standing={p.standing} /> },
                  { name: "Stake", num: true, cell: (p) => <Tokens units={p.stake} testid="stake" /> },
                  { name: "Free", num: true, cell: (p) => <Tokens units={p.free} /> },
                  { name: "Collateral", num: true, cell: (p) => <Tokens units={p.locked} /> },
                  { name: "Runs now", num: true, cell: (p) => `${p.live_tasks} of ${p.max_concurrency}` },
                  { name: "Settled", num: true, cell: (p) => p.settled },
                  { name: "Slashed", num: true, cell: (p) => (BigInt(p.slashed) > 0n ? <span class="slashed"><Tokens units={p.slashed} /></span> : <span class="faint">none</span>) },
                ]}
              />
              <p class="more soft">
                {plural(total, "provider")} <Export rows={rows} name="providers" />
              </p>
            </>
          )}
        </Pages>
      </Part>
    </>
  );
}

export function ProviderPage({ address }: { address: string }) {
  return (
    <Answer<Provider> path={`/providers/${encodeURIComponent(address)}`} what="the provider">
      {(p) => (
        <>
          <PageHead title={partyName(p)} crumb={<a href="/providers">Providers</a>} under={<Hex value={p.address} whole label="address" />}>
            <StandingMark standing={p.standing} />
          </PageHead>
          {p.why && (
            <Notice tone={p.standing === "tombstoned" ? "slashed" : "barred"} testid="why">
              <p>
                It is {p.why.replace(/^(it is|is) /i, "")}.{" "}
                {p.frozen_by.map((d) => (
                  <a key={d} href={`/disputes/${d}`}>
                    See dispute {d}.
                  </a>
                ))}
                {p.jailed_until !== null && p.standing === "jailed" && (
                  <>
                    {" "}
                    It may come back in <Left until={p.jailed_until} over="a moment" />.
                  </>
                )}
              </p>
            </Notice>
          )}
          <Part id="stake" title="Stake" note="What it loses if it is found to have lied. Collateral is locked for the tasks that it runs.">
            <StakeBar provider={p} />
            <div class="columns more">
              <Facts
                rows={[
                  ["Whole stake", <Tokens units={p.stake} testid="stake-total" />],
                  ["Free", <Tokens units={p.free} testid="stake-free" />],
                  ["Locked as collateral", <Tokens units={p.locked} testid="stake-locked" />],
                  ["Leaving", <Tokens units={p.unbonding} />],
                  ["Slashed so far", <Tokens units={p.slashed} testid="stake-slashed" />],
                  ["Earned so far", <Tokens units={p.earned} />],
                ]}
              />
              <Facts
                rows={[
                  ["Owner", <Who party={p.owner} />],
                  ["Paid out to", <Who party={p.payout} />],
                  ["Registered", <When at={p.registered_at} ago />],
                  ["Runs now", `${p.live_tasks} of at most ${p.max_concurrency}`],
                  ["Serves", p.classes.length ? p.classes.map((c) => <span key={c.class}><a href={`/models/${c.class}`}>{c.name ?? "unnamed"}</a> </span>) : <span class="faint">nothing</span>],
                ]}
              />
            </div>
          </Part>
          <Part id="record" title="Record">
            <Record provider={p} />
          </Part>
          {p.slashes.length > 0 && (
            <Part id="slashes" title="Slashes">
              <Table
                testid="slashes"
                caption="Slashes"
                empty=""
                rows={p.slashes}
                rowKey={(s) => s.transaction + s.amount}
                columns={[
                  { name: "When", cell: (s) => <When at={s.time} /> },
                  { name: "Kind", cell: (s) => (s.safety ? <Mark tone="slashed">safety</Mark> : <Mark tone="barred">liveness</Mark>) },
                  { name: "Why", cell: (s) => s.why },
                  { name: "Task", cell: (s) => (s.task !== null ? <a href={`/tasks/${s.task}`}>Task {s.task}</a> : "") },
                  { name: "Tokens", num: true, cell: (s) => <Tokens units={s.amount} /> },
                ]}
              />
            </Part>
          )}
          <Part id="disputes" title="Disputes">
            <DisputeTable rows={p.disputes} empty="Nobody has disputed a result of this provider." />
          </Part>
          <Part id="tasks" title="Tasks">
            <TaskTable tasks={p.tasks} empty="It has not served a task yet." />
          </Part>
          <Part id="money" title="Money" note="Its stake, its collateral and what it earned.">
            <Transfers rows={p.money} />
          </Part>
        </>
      )}
    </Answer>
  );
}

function StakeBar({ provider: p }: { provider: Provider }) {
  const all = BigInt(p.free) + BigInt(p.locked) + BigInt(p.unbonding) + BigInt(p.slashed);
  const share = (v: string) => (all === 0n ? 0 : Number((BigInt(v) * 10_000n) / all) / 10_000);
  const parts = [
    ["free", p.free, "--agreed"],
    ["locked as collateral", p.locked, "--ink"],
    ["leaving", p.unbonding, "--undecided"],
    ["slashed", p.slashed, "--slashed"],
  ] as const;
  return (
    <>
      <div class="stack" aria-hidden="true">
        {parts.map(([name, v, c]) => share(v) > 0 && <i key={name} style={{ width: `${share(v) * 100}%`, background: `var(${c})` }} />)}
      </div>
      <div class="key" data-testid="stake-key">
        {parts.map(
          ([name, v, c]) =>
            BigInt(v) > 0n && (
              <span key={name} style={{ "--c": `var(${c})` }}>
                {name} <Tokens units={v} /> <span class="soft">({percent(share(v))})</span>
              </span>
            ),
        )}
      </div>
    </>
  );
}

function Record({ provider: { record: r } }: { provider: Provider }) {
  const done = r.settled + r.missed + r.retracted + r.reversed + r.convicted;
  return (
    <div class="columns">
      <Facts
        rows={[
          ["Claimed", r.claimed, "record-claimed"],
          ["Settled", done > 0 ? `${r.settled} (${percent(r.settled / done)} of what ended)` : r.settled, "record-settled"],
          ["Deadlines missed", r.missed],
          ["Results retracted", r.retracted],
          ["Results reversed", r.reversed],
          ["Disputes lost", r.convicted, "record-convicted"],
          ["Disputes won", r.cleared],
        ]}
      />
      <Facts
        rows={[
          ["Results audited", r.audited],
          ["Audits done for others", r.audits_done],
          ["Audits failed", r.audits_failed],
          ["Rulings as referee", r.rulings],
          ["Rulings overturned", r.rulings_overturned],
          ["Rulings missed", r.rulings_missed],
        ]}
      />
    </div>
  );
}

export function AccountPage({ address }: { address: string }) {
  return (
    <Answer<Account> path={`/accounts/${encodeURIComponent(address)}`} what="the account">
      {(a) => (
        <>
          <PageHead title={partyName(a)} under={<Hex value={a.address} whole label="address" />}>
            <span class="marks">
              {a.roles.map((r) => (
                <Mark key={r}>{r === "provider" ? <a href={`/providers/${a.address}`}>provider</a> : r}</Mark>
              ))}
            </span>
          </PageHead>
          <Part id="credit" title="Credit" note="Paid, and not taken out of the vault yet.">
            <Facts
              rows={[
                ["To be withdrawn", <Tokens units={a.credit} testid="credit" />],
                ["Earned so far", <Tokens units={a.earned} />],
              ]}
            />
          </Part>
          {a.challenges.length > 0 && (
            <Part id="challenges" title="Challenges">
              <Table
                testid="challenges"
                caption="Challenges"
                empty=""
                rows={a.challenges}
                rowKey={(c) => `${c.task}-${c.attempt}`}
                columns={[
                  { name: "Of", cell: (c) => <a href={`/tasks/${c.task}`}>Task {c.task}</a> },
                  { name: "Bond", num: true, cell: (c) => <Tokens units={c.bond} /> },
                  { name: "Leads to", cell: (c) => (c.dispute !== null ? <a href={`/disputes/${c.dispute}`}>dispute {c.dispute}</a> : <span class="soft">{c.closed ? "closed" : "not revealed yet"}</span>) },
                ]}
              />
            </Part>
          )}
          <Part id="tasks" title="Tasks">
            <TaskTable tasks={a.tasks} empty="It has no part in any task." />
          </Part>
          <Part id="money" title="Money">
            <Transfers rows={a.money.items} />
          </Part>
        </>
      )}
    </Answer>
  );
}
