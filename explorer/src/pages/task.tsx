// One task: where it stands and why, who had it before, and where its money went.
import { useChainNow } from "../live";
import { duration, plural } from "../format";
import type { Attempt, Task } from "../types";
import { Answer } from "../ui/answer";
import { Empty, PageHead, Part, Table } from "../ui/frame";
import { AuditMark, TaskMark } from "../ui/marks";
import { Picture, Transfers } from "../ui/money";
import { Run } from "../ui/run";
import { Facts, Hex, Left, Mark, partyName, Tokens, When, Who } from "../ui/text";

export function TaskPage({ id }: { id: string }) {
  return (
    <Answer<Task> path={`/tasks/${encodeURIComponent(id)}`} what={`task ${id}`}>
      {(task) => <TaskView task={task} />}
    </Answer>
  );
}

function TaskView({ task }: { task: Task }) {
  const model = task.model.name;
  const totals = task.totals;
  return (
    <>
      <PageHead title={`Task ${task.id}`} crumb={<a href="/tasks">Tasks</a>} under={<Now task={task} />}>
        <TaskMark state={task.state} />
        {task.attempt > 0 && <Mark tone="barred">attempt {task.attempt + 1}</Mark>}
        {task.disputes.map((d) => (
          <a key={d} href={`/disputes/${d}`} data-testid="task-dispute">
            dispute {d}
          </a>
        ))}
      </PageHead>

      <Part id="stages" title="Stages" note="What happened to it, and why.">
        <Stages task={task} />
      </Part>

      <Part id="lineage" title="Attempts" note="Who had it, and how that ended. A task that comes back goes to somebody else, before all new ones.">
        {task.attempts.length === 0 ? <Empty testid="attempts-empty">No provider has claimed it yet.</Empty> : <Lineage task={task} />}
      </Part>

      <Part id="facts" title="What was asked">
        <div class="columns">
          <Facts
            rows={[
              ["Model", <><a href={`/models/${task.model.id}`}>{model ?? "unnamed"}</a> <Hex value={task.model.id} label="model id" /></>, "task-model"],
              task.class !== task.model.id && ["Class", <Hex value={task.class} href={`/models/${task.class}`} label="class" />],
              ["Requester", <Who party={task.requester} />, "task-requester"],
              ["Input digest", <Hex value={task.input_digest} testid="input-digest" />],
              ["Seed", <span class="mono">{task.seed}</span>],
              ["Rules", <a href="/parameters">version {task.rules}</a>],
            ]}
          />
          <Facts
            rows={[
              ["Floor", <Tokens units={task.min_price} />],
              ["Ceiling", <Tokens units={task.max_price} />],
              ["Ramp", duration(task.ramp_seconds)],
              ["Time to run", duration(task.exec_seconds)],
              task.price !== null && ["Price", <Tokens units={task.price} testid="task-price" />],
              task.collateral !== null && ["Collateral locked", <Tokens units={task.collateral} />],
              task.deadline !== null && task.state === "claimed" && ["Deadline", <Left until={task.deadline} over="missed" testid="deadline" />],
              task.expires_at !== null && ["Expires", <Left until={task.expires_at} />],
            ]}
          />
        </div>
      </Part>

      {task.result && (
        <Part id="result" title="Result" note="What the provider committed to. The trace root binds every step of the run.">
          <Facts
            rows={[
              ["Output digest", <Hex value={task.result.output_digest} testid="output-digest" />],
              ["Trace root", <Hex value={task.result.trace_root} testid="trace-root" />],
              ["Steps", task.result.steps],
              ["Committed", <When at={task.result.committed_at} />],
              ["Challenges", <Window from={task.result.committed_at} until={task.result.challenge_until} closed={["settled", "cancelled", "expired"].includes(task.state)} />],
              ["Random audit", <a href={`/audits/${task.id}/${task.attempt}`}>{AUDIT_WORDS[task.result.audit]}</a>],
              task.result.settleable_at !== null && task.state === "committed" && ["Can be settled", <When at={task.result.settleable_at} ago />],
            ]}
          />
        </Part>
      )}

      {(task.challenges.length > 0 || task.audits.length > 0) && (
        <Part id="judged" title="Challenges and audits" note="Every challenge committed in time runs its course; the task settles when the last has closed.">
          {task.challenges.length > 0 && (
            <Table
              testid="challenges"
              caption="Challenges"
              empty=""
              rows={task.challenges}
              rowKey={(c) => `${c.attempt}-${c.challenger.address}`}
              columns={[
                { name: "Challenger", cell: (c) => <Who party={c.challenger} /> },
                { name: "Of attempt", cell: (c) => c.attempt + 1 },
                { name: "Bond", num: true, cell: (c) => <Tokens units={c.bond} /> },
                { name: "When", cell: (c) => <When at={c.committed_at} /> },
                { name: "Leads to", cell: (c) => (c.dispute !== null ? <a href={`/disputes/${c.dispute}`}>dispute {c.dispute}</a> : <span class="soft">{c.closed ? "closed" : "not revealed yet"}</span>) },
              ]}
            />
          )}
          {task.audits.map((a) => (
            <p key={a.attempt} class="more">
              <AuditMark state={a.state} /> <a href={`/audits/${a.task}/${a.attempt}`}>Audit of attempt {a.attempt + 1}</a> <span class="soft">{a.text}</span>
            </p>
          ))}
        </Part>
      )}

      <Part id="money" title="Money" note="Every coin that this task moved. What went in is what came out or is still held.">
        <Facts
          rows={[
            ["Put in", <Tokens units={totals.escrowed} testid="total-escrowed" />],
            ["Paid to the provider", <Tokens units={totals.paid} testid="total-paid" />],
            ["Back to the requester", <Tokens units={totals.refunded} testid="total-refunded" />],
            ["Levy for audits", <Tokens units={totals.levy} />],
            BigInt(totals.burned) > 0n && ["Burned", <Tokens units={totals.burned} testid="total-burned" />],
            ["Still in escrow", <Tokens units={totals.in_escrow} testid="total-in-escrow" />],
          ]}
        />
        <div class="more">
          <Picture rows={task.money} label={`Where the money of task ${task.id} went`} testid="task-sankey" />
        </div>
        <div class="more">
          <Transfers rows={task.money} />
        </div>
      </Part>

      <Part id="reproduce" title="Reproduce this" note="Nobody has to believe this page. The same input gives the same bits on any machine.">
        <Run text={`gavel task show ${task.id}`}>What the chain says about it.</Run>
        {task.result && (
          <>
            <Run text={`gavel task result ${task.id} --model ${model ?? "MODEL"} --receipt receipt-${task.id}.json`}>Fetch the result, with what its provider signed.</Run>
            <Run text={`gavel verify receipt-${task.id}.json --model ${model ?? "MODEL"}`}>Run the model on the same input and compare with the trace root above. Exit code 0: true, 7: false.</Run>
          </>
        )}
      </Part>
    </>
  );
}

const AUDIT_WORDS = { undecided: "not decided yet", none: "not drawn", pending: "drawn, running", closed: "closed" };

function Now({ task }: { task: Task }) {
  const now = useChainNow();
  const who = task.provider ? partyName(task.provider) : "A provider";
  switch (task.state) {
    case "open":
      return <>In the auction{task.attempt > 0 ? ", in the retry lane, before all new tasks of its class" : ""}. The first provider to claim it wins.</>;
    case "claimed":
      return <>{who} runs it, and has {task.deadline && task.deadline > now ? duration(task.deadline - now) : "no more time"} to commit a result.</>;
    case "committed":
      return <>{who} has committed a result. {task.result && task.result.challenge_until >= now ? `Anyone may challenge it for another ${duration(task.result.challenge_until - now)}.` : "The time for challenges is over."}</>;
    case "disputed":
      return <>Somebody says that {who}'s result is wrong. The dispute decides.</>;
    case "settled":
      return <>Settled: {who} was paid{task.price ? <> <Tokens units={task.price} /> tokens</> : null}.</>;
    case "cancelled":
      return <>Withdrawn by its requester.</>;
    case "expired":
      return <>Nobody served it in time; the escrow went back.</>;
  }
}

function Window({ from, until, closed }: { from: number; until: number; closed: boolean }) {
  const now = useChainNow();
  const share = Math.min(1, Math.max(0, (now - from) / Math.max(until - from, 1)));
  if (closed || share >= 1) return <>closed</>;
  return (
    <>
      open for <Left until={until + 1} testid="window-left" />
    </>
  );
}

const BAD = new Set(["missed", "reversed", "retracted", "expired"]);

function Stages({ task }: { task: Task }) {
  const ended = ["settled", "cancelled", "expired"].includes(task.state);
  const ahead = { auction: ["a provider claims it", "a result is committed", "the challenge window passes", "it settles"], claimed: ["a result is committed", "the challenge window passes", "it settles"], committed: ["the challenge window passes", "it settles"], judged: ["every challenge and audit closes", "it settles"], settled: [], ended: [] }[task.stage];
  return (
    <ol class="stages" data-testid="stages" data-stage={task.stage}>
      {task.history.map((h, i) => {
        const last = i === task.history.length - 1;
        const bad = BAD.has(h.stage) || (h.stage === "verdict" && /guilty/.test(h.text));
        return (
          <li key={`${h.transaction}-${i}`} class={bad ? "failed" : last && !ended ? "now" : "done"} aria-current={last && !ended ? "step" : undefined} data-testid={`stage-${h.stage}`}>
            <div>
              <span class="what">{h.stage}</span>
              <span class="when">
                <When at={h.time} />
              </span>
              <div class="why">
                {/^task \d/.test(h.text) ? null : <><Who party={h.by} /> </>}{h.dispute !== null ? <a href={`/disputes/${h.dispute}`}>{h.text}</a> : h.text}
              </div>
            </div>
          </li>
        );
      })}
      {ahead.map((what) => (
        <li key={what} class="later">
          <div class="what">{what}</div>
        </li>
      ))}
    </ol>
  );
}

const OUTCOME: Record<Attempt["outcome"], "agreed" | "slashed" | "barred" | "plain"> = { running: "plain", settled: "agreed", deadline: "barred", retract: "barred", guilty: "slashed", void: "plain", reversed: "slashed", expired: "barred" };

function Lineage({ task }: { task: Task }) {
  return (
    <>
      <Table
        testid="attempts"
        caption="Attempts, in order"
        empty=""
        rows={task.attempts}
        rowKey={(a) => a.attempt}
        columns={[
          { name: "Attempt", cell: (a) => a.attempt + 1 },
          { name: "Provider", cell: (a) => <Who party={a.provider} as="providers" testid="attempt-provider" /> },
          { name: "Price", num: true, cell: (a) => <Tokens units={a.price} /> },
          { name: "Collateral", num: true, cell: (a) => <Tokens units={a.collateral} /> },
          { name: "Claimed", cell: (a) => <When at={a.claimed_at} /> },
          { name: "Output", cell: (a) => (a.result ? <Hex value={a.result.output_digest} /> : <span class="faint">none</span>) },
          {
            name: "How it ended",
            cell: (a) => (
              <>
                <Mark tone={OUTCOME[a.outcome]} testid="attempt-outcome">
                  {a.outcome}
                </Mark>
                {a.outcome_text && <small>{a.outcome_text}</small>}
              </>
            ),
          },
        ]}
      />
      {task.state === "open" && task.attempts.length > 0 && (
        <p class="more soft" data-testid="requeued">
          Now back in the auction, in the retry lane, without {plural(task.attempts.length, "provider")} that had it before.
        </p>
      )}
    </>
  );
}
