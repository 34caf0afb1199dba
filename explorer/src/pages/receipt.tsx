// A receipt, beside what the chain says about the same task.
import { useRef, useState } from "preact/hooks";
import { ApiError, read } from "../api";
import { parseReceipt, type Receipt } from "../receipt";
import { loadVerifier, type Verdict } from "../verifier";
import type { Status, Task } from "../types";
import { PageHead, Part } from "../ui/frame";
import { Run } from "../ui/run";
import { Facts, Hex, Mark, Notice } from "../ui/text";

interface Check {
  what: string;
  receipt: string;
  chain: string | null;
}
interface Shown {
  name: string;
  receipt: Receipt;
  checks: Check[];
  problem: string | null;
  verdict: Verdict | null;
}

const same = (a: string, b: string | null) => b !== null && a.toLowerCase() === b.toLowerCase();

async function compare(receipt: Receipt): Promise<{ checks: Check[]; problem: string | null }> {
  try {
    const [status, task] = await Promise.all([read<Status>("/status"), read<Task>(`/tasks/${receipt.task_id}`)]);
    const attempt = task.attempts.find((a) => a.attempt === receipt.attempt);
    const checks: Check[] = [
      { what: "Chain", receipt: String(receipt.chain_id), chain: String(status.chain_id) },
      { what: "Market", receipt: receipt.market, chain: status.contracts.market ?? null },
      { what: "Provider", receipt: receipt.provider, chain: attempt?.provider.address ?? null },
      { what: "Class", receipt: receipt.class_id, chain: task.class },
      { what: "Model", receipt: receipt.model_id, chain: task.model.id },
      { what: "Input digest", receipt: receipt.input_digest, chain: task.input_digest },
      { what: "Output digest", receipt: receipt.output_digest, chain: attempt?.result?.output_digest ?? null },
      { what: "Trace root", receipt: receipt.trace_root, chain: attempt?.result?.trace_root ?? null },
      { what: "Steps", receipt: String(receipt.steps), chain: attempt?.result ? String(attempt.result.steps) : null },
    ];
    return { checks, problem: attempt ? null : `Task ${receipt.task_id} has no attempt ${receipt.attempt + 1} on this chain.` };
  } catch (cause) {
    const missing = cause instanceof ApiError && cause.status === 404;
    return { checks: [], problem: missing ? `This chain has no task ${receipt.task_id}: the receipt is from another network.` : cause instanceof Error ? cause.message : String(cause) };
  }
}

export function ReceiptPage() {
  const [shown, setShown] = useState<Shown | null>(null);
  const [refused, setRefused] = useState<string | null>(null);
  const [over, setOver] = useState(false);
  const latest = useRef(0);

  const take = async (file: File | undefined) => {
    if (!file) return;
    const turn = ++latest.current;
    setShown(null);
    setRefused(null);
    const bytes = new Uint8Array(await file.arrayBuffer());
    const receipt = parseReceipt(new TextDecoder().decode(bytes));
    if (turn !== latest.current) return;
    if (typeof receipt === "string") return setRefused(receipt);
    const [{ checks, problem }, verifier] = await Promise.all([compare(receipt), loadVerifier()]);
    const verdict = verifier ? await verifier.receipt(bytes) : null;
    if (turn === latest.current) setShown({ name: file.name, receipt, checks, problem, verdict });
  };

  return (
    <>
      <PageHead title="Receipt" under="What a provider signed about one result. Drop the file here to see it beside what the chain says. It does not leave this page." />
      <Part id="file" title="The file" note="Written by `gavel task result`.">
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
            Drop a receipt here, or choose one:{" "}
            <input type="file" accept=".json,application/json" data-testid="receipt-file" onChange={(e) => void take(e.currentTarget.files?.[0])} />
          </label>
        </div>
        {refused && (
          <div class="more">
            <Notice tone="disputed" role="alert" testid="receipt-refused">
              <p>{refused}</p>
            </Notice>
          </div>
        )}
      </Part>
      {shown && <ReceiptView shown={shown} />}
    </>
  );
}

function ReceiptView({ shown: { name, receipt, checks, problem, verdict } }: { shown: Shown }) {
  const differ = checks.filter((c) => !same(c.receipt, c.chain));
  const good = problem === null && differ.length === 0;
  return (
    <>
      <Part id="compared" title="Beside the chain">
        <Notice tone={good ? "agreed" : "disputed"} role="status" testid="receipt-compared">
          <p>
            {problem ?? (good ? "Everything in the receipt is what the chain says about this attempt." : `The receipt differs from the chain in ${differ.map((c) => c.what.toLowerCase()).join(", ")}.`)}
          </p>
          <p class="soft">{verdict ? verdict.says : "The signature and the run itself are not checked on this page. The command below does both."}</p>
        </Notice>
        <dl class="facts more">
          {checks.map((c) => (
            <div key={c.what}>
              <dt>{c.what}</dt>
              <dd data-testid="receipt-check" data-same={same(c.receipt, c.chain)}>
                <Mark tone={same(c.receipt, c.chain) ? "agreed" : "disputed"}>{same(c.receipt, c.chain) ? "the same" : c.chain === null ? "not on the chain" : "differs"}</Mark>{" "}
                {c.receipt.startsWith("0x") ? <Hex value={c.receipt} /> : <span class="mono">{c.receipt}</span>}
                {!same(c.receipt, c.chain) && c.chain !== null && (
                  <>
                    {" "}
                    <span class="soft">the chain says</span> {c.chain.startsWith("0x") ? <Hex value={c.chain} /> : <span class="mono">{c.chain}</span>}
                  </>
                )}
              </dd>
            </div>
          ))}
        </dl>
      </Part>
      <Part id="signed" title="What was signed">
        <Facts
          rows={[
            ["Task", <a href={`/tasks/${receipt.task_id}`}>task {receipt.task_id}, attempt {receipt.attempt + 1}</a>],
            ["Provider", <Hex value={receipt.provider} href={`/providers/${receipt.provider}`} label="address" />],
            ["Signature", <Hex value={receipt.signature} whole label="signature" />],
          ]}
        />
      </Part>
      <Part id="reproduce" title="Reproduce this">
        <Run text={`gavel verify ${name} --model MODEL`}>Checks the signature, runs the model again on the input in the file, and compares.</Run>
      </Part>
    </>
  );
}
