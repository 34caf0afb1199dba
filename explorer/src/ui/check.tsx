// A receipt or an evidence file: verified in this browser, and compared with the chain.
import { useEffect, useRef, useState } from "preact/hooks";
import { against, type ChainFacts, type Check, type Report } from "../../wasm/verifier";
import { ApiError, read } from "../api";
import { StepFacts } from "../dispute/parts";
import type { Status, Task } from "../types";
import { MOST_BYTES, Unloaded, verify } from "../verifier";
import { Run } from "./run";
import { Facts, Hex, Mark, Notice, type Tone } from "./text";

interface Shown {
  name: string;
  report: Report;
  /** Why the chain was not asked, or did not answer. */
  unread: string | null;
}

const ABSENT = "not there";
const words = (cause: unknown) => (cause instanceof Error ? cause.message : String(cause));

/** What the chain says about the attempt that a file names. */
async function chainFacts(report: Report): Promise<ChainFacts> {
  const said = (what: string) => report.claims.find((claim) => claim.what === what)?.says ?? "";
  const [status, task] = await Promise.all([
    read<Status>("/status"),
    read<Task>(`/tasks/${encodeURIComponent(said("task"))}`).catch((cause) => {
      if (cause instanceof ApiError && cause.status === 404) return null;
      throw cause;
    }),
  ]);
  const { market, court } = status.contracts;
  const facts: ChainFacts = { chain: status.chain_id, ...(report.kind === "receipt" ? { market: market ?? ABSENT } : { court: court ?? ABSENT }) };
  if (!task) return { ...facts, task: ABSENT };
  const attempt = task.attempts.find((a) => String(a.attempt) === said("attempt"));
  return {
    ...facts,
    task: task.id,
    attempt: attempt?.attempt ?? ABSENT,
    provider: attempt?.provider.address ?? ABSENT,
    model: task.model.id,
    "input digest": task.input_digest,
    "trace root": attempt?.result?.trace_root ?? ABSENT,
    steps: attempt?.result?.steps ?? ABSENT,
    ...(report.kind === "receipt" ? { class: task.class, "output digest": attempt?.result?.output_digest ?? ABSENT } : { seed: task.seed }),
  };
}

async function examine(file: File, signal: AbortSignal, pinned: ChainFacts): Promise<Shown> {
  const alone = await verify(await file.arrayBuffer(), signal);
  const shown = { name: file.name, report: alone, unread: null };
  if (alone.claims.length === 0) return shown;
  try {
    const compared = against(alone, { ...(await chainFacts(alone)), ...pinned });
    // what is wrong with the file itself is the better reason
    return { ...shown, report: alone.verdict === "void" ? { ...compared, says: alone.says } : compared };
  } catch (cause) {
    return { ...shown, unread: words(cause) };
  }
}

/** Where a file is dropped or chosen, and what was found out about it. `pinned`: what the file has to be about. */
export function CheckFile({ hint, pinned = {} }: { hint: string; pinned?: ChainFacts }) {
  const [state, setState] = useState<Shown | { busy: string } | { tone: Tone; problem: string } | null>(null);
  const [over, setOver] = useState(false);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const take = async (file: File | undefined) => {
    if (!file) return;
    running.current?.abort();
    const { signal } = (running.current = new AbortController());
    // before anything of it is read
    if (file.size > MOST_BYTES) return setState({ tone: "barred", problem: `This file has ${Math.ceil(file.size / 2 ** 20)} MiB, and a page reads ${MOST_BYTES / 2 ** 20} MiB at most. \`gavel verify\` reads larger ones.` });
    setState({ busy: file.name });
    try {
      const shown = await examine(file, signal, pinned);
      if (!signal.aborted) setState(shown);
    } catch (cause) {
      if (signal.aborted) return;
      const problem = cause instanceof Unloaded ? `The verifier could not be loaded: ${words(cause)}. Nothing in the file was checked. Give the file again to try again, or run \`gavel verify\`.` : `The file could not be verified: ${words(cause)}.`;
      setState({ tone: "barred", problem });
    }
  };

  return (
    <>
      <div
        class="drop"
        data-over={over || undefined}
        data-testid="drop"
        onDragOver={(e) => {
          e.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(e) => {
          e.preventDefault();
          setOver(false);
          void take(e.dataTransfer?.files[0]);
        }}
      >
        <label>
          {hint}{" "}
          <input
            type="file"
            accept=".json,application/json"
            data-testid="check-file"
            onChange={(e) => {
              void take(e.currentTarget.files?.[0]);
              // the same file can be given again
              e.currentTarget.value = "";
            }}
          />
        </label>
      </div>
      {state && (
        <div class="more examined">
          {"busy" in state ? (
            <p class="loading" role="status">
              Verifying {state.busy}
            </p>
          ) : "problem" in state ? (
            <Notice tone={state.tone} role="alert" testid="unchecked-file">
              <p>{state.problem}</p>
            </Notice>
          ) : (
            <Found shown={state} />
          )}
        </div>
      )}
    </>
  );
}

const TONES: Record<Report["verdict"], Tone> = { signed: "agreed", true: "agreed", false: "disputed", void: "disputed", unjudged: "barred" };
const KINDS = { receipt: "A receipt", evidence: "Evidence" };
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
/** A name as one word of a command, whatever is in it. */
const quoted = (name: string) => (/^\w[\w.-]*$/.test(name) ? name : `'./${name.replaceAll("'", "'\\''")}'`);

const Said = ({ text }: { text: string }) => (/^0x[0-9a-f]{16,}$/.test(text) ? <Hex value={text} /> : <span class="mono">{text}</span>);

function Found({ shown: { name, report, unread } }: { shown: Shown }) {
  const { kind, verdict, checks, step } = report;
  const bad = checks.filter((check) => !check.ok);
  // nothing is green that has a red line, or that nobody compared with the chain
  const tone = TONES[verdict] !== "agreed" ? TONES[verdict] : bad.length > 0 ? "disputed" : unread ? "barred" : "agreed";
  return (
    <>
      <Notice tone={tone} role="status" testid="verdict">
        <h3>{kind ? KINDS[kind] : "No receipt, and no evidence"}</h3>
        <p>{sentence(report.says)}</p>
        {verdict !== "false" && bad.length > 0 && <p>Not as it should be: {bad.map((check) => check.what).join(", ")}.</p>}
        {report.convicts.map(({ party, address }) => (
          <p key={party} data-testid="convicts">
            It convicts the {party} {address && <Hex value={address} href={`/accounts/${address}`} label="address" />}
          </p>
        ))}
        {unread && <p data-testid="chain-unread">It was not compared with the chain: {unread}</p>}
      </Notice>
      {step && (
        <div class="more">
          <h3>The step that goes wrong</h3>
          <StepFacts step={{ ...step, text: step.words }} />
          <Facts
            rows={[
              ["Element claimed", <span class="mono">{step.claimed}</span>],
              ["Element computed", <span class="mono">{step.computed}</span>],
            ]}
          />
        </div>
      )}
      <div class="more">
        <h3>What was checked in {name}</h3>
        <ul class="checks" data-testid="checks">
          {checks.map((check, i) => (
            <CheckLine key={i} check={check} />
          ))}
        </ul>
      </div>
      {report.unchecked.length > 0 && (
        <div class="more">
          <h3>What the file does not show by itself</h3>
          <ul class="lines" data-testid="unchecked">
            {report.unchecked.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        </div>
      )}
      {report.claims.length > 0 && (
        <div class="more">
          <h3>What it says</h3>
          <Facts rows={report.claims.map(({ what, says }) => [what.charAt(0).toUpperCase() + what.slice(1), <Said text={says} />] as const)} />
        </div>
      )}
      <div class="more">
        <Run text={`gavel verify ${quoted(name)} --model MODEL`}>The same, and all that takes the model, without this page.</Run>
      </div>
    </>
  );
}

function CheckLine({ check: { what, ok, expected, found } }: { check: Check }) {
  return (
    <li data-testid="check" data-ok={ok}>
      <Mark tone={ok ? "agreed" : "disputed"}>{ok ? "ok" : "not ok"}</Mark> {what}
      {!ok && (
        <small>
          <span class="soft">expected</span> <Said text={expected} /> <span class="soft">found</span> <Said text={found} />
        </small>
      )}
    </li>
  );
}
