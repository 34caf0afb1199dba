// The auction as it runs: a price clock for every open task, the lanes that they wait in, the last claims.
import { useChainNow, useStatus } from "../live";
import { useRead } from "../api";
import { duration, fixed, plural, tokens } from "../format";
import type { Activity, Auction, Claim, Entry, Lane, Page } from "../types";
import { Answer } from "../ui/answer";
import { Empty, PageHead, Part, Table } from "../ui/frame";
import { Chart } from "../ui/chart";
import { Left, Mark, Notice, Tokens, useDecimals, When, Who } from "../ui/text";

export function AuctionPage() {
  const status = useStatus();
  return (
    <Answer<Auction> path="/auction" what="the auction">
      {({ lanes, recent }) => {
        const open = lanes.flatMap((lane) => [...lane.retry, ...lane.normal].map((entry) => ({ lane, entry })));
        return (
          <>
            <PageHead
              title="The auction"
              under="Each task's price rises from its floor to its ceiling. The first provider that takes it wins at that price, and locks collateral for it. A task that came back goes first."
            />
            {status?.scenario?.adversary && (
              <Notice tone="disputed" testid="scenario">
                <p>
                  One provider here {status.scenario.sentence ?? `cheats (${status.scenario.adversary})`}. Once somebody has found it, there is <a href="/disputes">a dispute</a> to watch.
                </p>
              </Notice>
            )}
            {status?.paused && (
              <Notice tone="barred" testid="paused">
                <p>The guardian refuses new tasks for now. Everything that runs goes on.</p>
              </Notice>
            )}
            <Part id="open" title="Open now" note={plural(open.length, "task waits", "tasks wait")} >
              {open.length === 0 ? (
                <Empty testid="lots-empty">Nothing is for sale at the moment. A task shows up here when somebody posts one, or when one comes back.</Empty>
              ) : (
                <ul class="lots" data-testid="lots">
                  {open.map(({ lane, entry }) => (
                    <Lot key={`${entry.task}-${entry.attempt}`} entry={entry} lane={lane} />
                  ))}
                </ul>
              )}
            </Part>
            <Part id="lanes" title="Lanes" note="Tasks of one class wait in line. While a returned task waits too long, new ones of its class are held back.">
              {lanes.length === 0 ? <Empty>No class has an open task.</Empty> : <div class="lanes">{lanes.map((lane) => <LaneRow key={lane.class} lane={lane} />)}</div>}
            </Part>
            <Part id="claims" title="Last claims" note="What providers took tasks for, and where between floor and ceiling that was.">
              <Prices recent={recent} />
              <Table
                testid="claims"
                caption="The last claims"
                empty="Nobody has claimed a task yet."
                rows={recent}
                rowKey={(c) => `${c.task}-${c.attempt}`}
                columns={[
                  { name: "When", cell: (c) => <When at={c.time} ago /> },
                  { name: "Task", cell: (c) => <TaskLink task={c.task} attempt={c.attempt} /> },
                  { name: "Provider", cell: (c) => <Who party={c.provider} as="providers" /> },
                  { name: "Floor", num: true, cell: (c) => <Tokens units={c.min_price} /> },
                  { name: "Ceiling", num: true, cell: (c) => <Tokens units={c.max_price} /> },
                  { name: "Price", num: true, cell: (c) => <Tokens units={c.price} testid="claim-price" /> },
                ]}
              />
            </Part>
            <Lately />
          </>
        );
      }}
    </Answer>
  );
}

const TaskLink = ({ task, attempt }: { task: number; attempt: number }) => (
  <>
    <a href={`/tasks/${task}`}>Task {task}</a>
    {attempt > 0 && <span class="soft">, attempt {attempt + 1}</span>}
  </>
);

/** `min + (max - min) * min(1, passed / ramp)`, rounded down, as the contract has it. */
export function priceAt(entry: Pick<Entry, "min_price" | "max_price" | "opened_at" | "ramp_seconds">, now: number): bigint {
  const [min, max] = [BigInt(entry.min_price), BigInt(entry.max_price)];
  const passed = Math.max(0, now - entry.opened_at);
  if (passed >= entry.ramp_seconds) return max;
  return min + ((max - min) * BigInt(Math.floor(passed * 1000))) / BigInt(entry.ramp_seconds * 1000);
}

function Lot({ entry, lane }: { entry: Entry; lane: Lane }) {
  const now = useChainNow();
  const decimals = useDecimals();
  const price = priceAt(entry, now);
  const [min, max] = [BigInt(entry.min_price), BigInt(entry.max_price)];
  const share = Math.min(1, Math.max(0, (now - entry.opened_at) / Math.max(entry.ramp_seconds, 1)));
  const top = max === 0n ? 0 : Number((min * 1000n) / max) / 1000;
  const y = (s: number) => 42 - 40 * (top + (1 - top) * s);
  const left = entry.ramp_seconds - (now - entry.opened_at);
  return (
    <li class="lot" data-testid="lot" data-task={entry.task}>
      <div class="name">
        <TaskLink task={entry.task} attempt={entry.attempt} />
        <span class="sub">
          {entry.model.name ?? "a model"}, for <Who party={entry.requester} />
        </span>
      </div>
      <div class="track">
        <div class="ramp" role="img" aria-label={`price ${tokens(price, decimals)} of at most ${tokens(max, decimals)} tokens`}>
          <svg viewBox="0 0 100 44" preserveAspectRatio="none" aria-hidden="true">
            <path class="area" d={`M0 44V${y(0)}L80 ${y(1)}H100V44Z`} />
            <path class="line" d={`M0 ${y(0)}L80 ${y(1)}H100`} />
            <path class="run" d={`M0 ${y(0)}L${80 * share} ${y(share)}${share === 1 ? "H100" : ""}`} />
          </svg>
        </div>
        <div class="ends">
          <span>
            floor <Tokens units={entry.min_price} />
          </span>
          <span>{left > 0 ? `ceiling in ${duration(left)}` : <>expires in <Left until={entry.expires_at} /></>}</span>
          <span>
            ceiling <Tokens units={entry.max_price} />
          </span>
        </div>
      </div>
      <div class="price">
        <span data-testid="price-now">{fixed(price, decimals)}</span>
        <small>
          {entry.eligible === 0 ? "nobody may claim it now" : `${plural(entry.eligible, "provider")} may claim`}
          {lane.gate_closed && entry.attempt === 0 && <><br />held back by a retry</>}
        </small>
      </div>
    </li>
  );
}

function LaneRow({ lane }: { lane: Lane }) {
  return (
    <div class="lane" data-testid="lane">
      <div>
        <a href={`/models/${lane.class}`}>{lane.name ?? "class"}</a>
        <span class="sub">
          {lane.gate_closed ? (
            <Mark tone="barred" testid="gate">
              new claims held back
            </Mark>
          ) : lane.gate_closes_at !== null ? (
            <>
              new claims held back in <Left until={lane.gate_closes_at} over="a moment" />
            </>
          ) : (
            "open to all claims"
          )}
        </span>
      </div>
      <div>
        <Queue name="retry lane, served first" entries={lane.retry} retry />
        <Queue name="new tasks" entries={lane.normal} />
      </div>
    </div>
  );
}

const MOST = 40;

function Queue({ name, entries, retry }: { name: string; entries: Entry[]; retry?: boolean }) {
  return (
    <div>
      <h3 class="soft">{name}</h3>
      {entries.length === 0 ? (
        <p class="faint">empty</p>
      ) : (
        <ol class={retry ? "queue retry" : "queue"}>
          {entries.slice(0, MOST).map((e) => (
            <li key={e.task}>
              <a href={`/tasks/${e.task}`}>
                {e.task}
                {retry && <span class="soft"> attempt {e.attempt + 1}</span>}
              </a>
            </li>
          ))}
          {entries.length > MOST && <li class="soft">and {entries.length - MOST} more</li>}
        </ol>
      )}
    </div>
  );
}

function Prices({ recent }: { recent: Claim[] }) {
  const decimals = useDecimals();
  if (recent.length < 3) return null;
  const rows = [...recent].reverse();
  const unit = 10 ** decimals;
  const sorted = recent.map((c) => BigInt(c.price)).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))]!;
  return (
    <>
      <p class="soft" data-testid="percentiles">
        Of the last {recent.length} claims: a tenth at most <Tokens units={at(0.1)} />, half at most <Tokens units={at(0.5)} />, nine tenths at most <Tokens units={at(0.9)} /> tokens. The thin line is the ceiling.
      </p>
      <Chart times={rows.map((c) => c.time)} series={[{ name: "price", values: rows.map((c) => Number(c.price) / unit) }, { name: "ceiling", values: rows.map((c) => Number(c.max_price) / unit), quiet: true }]} label="Prices of the last claims, in tokens" />
    </>
  );
}

/** What has happened lately, from anywhere. */
function Lately() {
  const { data } = useRead<Page<Activity>>("/activity?limit=12");
  const lines = data?.items ?? null;
  return (
    <Part id="lately" title="What happens" note="Every transaction, told.">
      {lines === null ? null : lines.length === 0 ? (
        <Empty>Nothing has happened yet.</Empty>
      ) : (
        <ol class="moves lately" data-testid="activity">
          {lines.map((line) => (
            <ActivityLine key={line.n} line={line} />
          ))}
        </ol>
      )}
    </Part>
  );
}

const TONES: Record<Activity["tone"], string> = { plain: "", good: "agreed", bad: "slashed", dispute: "disputed", quiet: "faint" };

function ActivityLine({ line }: { line: Activity }) {
  const page = line.touches.map((t) => /^(task|dispute)\/(\d+)$/.exec(t)).find(Boolean);
  return (
    <li class="line">
      <span class="n">
        <When at={line.time} />
      </span>
      <span class="actor">
        <Who party={line.who} />
      </span>
      <div>
        <span class={TONES[line.tone]}>{page ? <a href={`/${page[1]}s/${page[2]}`}>{line.what}</a> : line.what}</span>
        {line.details.map((d) => (
          <span key={d} class="sub">
            {d.trim()}
          </span>
        ))}
      </div>
    </li>
  );
}
