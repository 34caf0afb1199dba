// Who can change what, and how long everybody sees it coming.
import { useEffect } from "preact/hooks";
import { duration } from "../format";
import { useRoute } from "../router";
import type { Parameters, Trust } from "../types";
import { Answer } from "../ui/answer";
import { Empty, PageHead, Part, Table } from "../ui/frame";
import { Facts, Hex, Left, Mark, Notice, When, Who } from "../ui/text";

export function TrustPage() {
  return (
    <Answer<Trust> path="/trust" what="who can change what">
      {(t) => (
        <>
          <PageHead title="Whom to trust" under="Who can change what on this network, and after which delay. Whatever is not listed here, nobody can." />
          <Part id="statements" title="In short">
            <ul class="saysall" data-testid="statements">
              {t.statements.map((s) => (
                <li key={s.title}>
                  <span class={`sign ${s.ok === true ? "agreed" : s.ok === false ? "disputed" : "soft"}`} role="img" aria-label={s.ok === true ? "good" : s.ok === false ? "a risk" : "to know"}>
                    {s.ok === true ? "\u2713" : s.ok === false ? "!" : "\u2022"}
                  </span>
                  <div>
                    <h3>{s.title}</h3>
                    <p class="soft">{s.text}</p>
                  </div>
                </li>
              ))}
            </ul>
          </Part>
          <Part id="powers" title="Powers" note="The delay is how long a change waits in public before it takes hold.">
            <ul class="powers" data-testid="powers">
              {t.powers.map((p, i) => (
                <li key={i} data-testid="power" data-delay={p.delay_seconds ?? 0}>
                  <div>
                    <div class={`delay ${p.delay_seconds === null ? "barred" : ""}`}>{p.delay_seconds === null ? "at once" : duration(p.delay_seconds)}</div>
                  </div>
                  <div>
                    <p class="says">
                      {p.who.address ? (
                        <a href={`/accounts/${p.who.address}`} title={p.who.address}>
                          {p.who.name ?? p.who.label}
                        </a>
                      ) : (
                        p.who.label
                      )}
                      {p.who.name && p.who.label !== p.who.name ? `, ${p.who.label},` : ""} can {p.can}
                    </p>
                    <p class="soft">
                      in the {p.contract.replaceAll("_", " ")} contract; {p.text}
                    </p>
                  </div>
                </li>
              ))}
            </ul>
          </Part>
          <Part id="timelock" title="Waiting changes">
            {t.timelock === null ? (
              <Notice tone="barred">
                <p>There is no timelock on this network.</p>
              </Notice>
            ) : (
              <>
                <Facts
                  rows={[
                    ["Timelock", <Hex value={t.timelock.address} label="address" />],
                    ["Delay", duration(t.timelock.delay_seconds), "timelock-delay"],
                    ["May propose", t.timelock.proposers.map((p) => <span key={p.address}><Who party={p} /> </span>)],
                    ["May carry out", t.timelock.executors.map((p) => <span key={p.address}><Who party={p} /> </span>)],
                    t.guardian && ["Guardian", <Who party={t.guardian} />],
                  ]}
                />
                {t.timelock.pending.length === 0 ? (
                  <Empty>No change is waiting.</Empty>
                ) : (
                  <Table
                    testid="pending"
                    caption="Waiting changes"
                    empty=""
                    rows={t.timelock.pending}
                    rowKey={(p) => p.id}
                    columns={[
                      { name: "What", cell: (p) => p.text },
                      { name: "Not before", cell: (p) => <Left until={p.ready_at} over="may be carried out" /> },
                      { name: "Id", cell: (p) => <Hex value={p.id} /> },
                    ]}
                  />
                )}
              </>
            )}
          </Part>
          <Part id="contracts" title="Contracts that nobody can change">
            <Table
              testid="immutable"
              caption="Contracts"
              empty="None is known."
              rows={t.immutable}
              rowKey={(c) => c.name}
              columns={[
                { name: "Contract", cell: (c) => c.name.replaceAll("_", " ") },
                { name: "Address", cell: (c) => <Hex value={c.address} label="address" /> },
                { name: "What for", cell: (c) => <span class="soft">{c.text}</span> },
              ]}
            />
          </Part>
          <Part id="parameters" title="Parameters">
            <p>
              <a href="/parameters">All numbers of the protocol, in their versions</a>
            </p>
          </Part>
        </>
      )}
    </Answer>
  );
}

export function ParametersPage() {
  const { hash } = useRoute();
  const wanted = [...hash.keys()][0];
  return (
    <Answer<Parameters> path="/parameters" what="the parameters">
      {({ versions, paused }) => (
        <>
          <Jump to={wanted} />
          <PageHead title="Parameters" crumb={<a href="/trust">Trust</a>} under="A task lives under the version in force when it was posted. Versions are never changed, only followed by new ones.">
            {paused && <Mark tone="barred">new tasks refused</Mark>}
          </PageHead>
          {versions.map((v) => (
            <Part key={v.version} id={`version-${v.version}`} title={`Version ${v.version}`} note={<>{v.in_force ? "In force" : "No longer in force"}, since <When at={v.since} ago />.</>}>
              {v.groups.map((g) => (
                <div key={g.name} class="more">
                  <h3>{g.title}</h3>
                  <dl class="facts">
                    {g.items.map((item) => (
                      <div key={item.name} data-name={v.in_force ? item.name : undefined} class={wanted === item.name ? "wanted" : undefined}>
                        <dt>{item.title}</dt>
                        <dd data-testid={`parameter-${item.name}`}>
                          {item.text} <code class="faint">{item.name}</code>
                        </dd>
                      </div>
                    ))}
                  </dl>
                </div>
              ))}
            </Part>
          ))}
        </>
      )}
    </Answer>
  );
}

function Jump({ to }: { to: string | undefined }) {
  useEffect(() => {
    if (to) document.querySelector(`[data-name="${CSS.escape(to)}"]`)?.scrollIntoView({ block: "center" });
  }, [to]);
  return null;
}
