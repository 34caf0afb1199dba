// The values at the fork, the referee's evidence, the step that decided it, the money.
import { useRef } from "preact/hooks";
import { count, float, floatText } from "../format";
import type { Dispute, Step, Value } from "../types";
import { Empty, Table } from "../ui/frame";
import { Transfers } from "../ui/money";
import { MoneyPicture } from "../ui/sankey";
import { Facts, Hex, Left, Mark, partyName, Tokens, When, Who } from "../ui/text";
import { useWidth } from "../ui/width";
import { Weights } from "../pages/audits";
import { disputeFlows } from "./flows";

/** Bits of a binary32 in their three fields; those that differ are marked. */
function Bits({ value, other }: { value: Value; other: Value }) {
  const [a, b] = [float(value.bits), float(other.bits)];
  if (!a) return <p class="mono">{value.bits}</p>;
  const field = (name: string, mine: string, theirs: string | undefined) => (
    <span title={name}>
      {[...mine].map((bit, i) => (
        <b key={i} class={theirs !== undefined && theirs[i] !== bit ? "off" : ""}>
          {bit}
        </b>
      ))}
    </span>
  );
  return (
    <div class="bits" role="img" aria-label={`bits ${value.bits}`}>
      {field("sign", a.sign, b?.sign)}
      {field("exponent", a.exponent, b?.exponent)}
      {field("fraction", a.fraction, b?.fraction)}
    </div>
  );
}

/** How many floats lie between two: their bits, ordered as numbers. */
function apart(a: string, b: string): bigint | null {
  if (!float(a) || !float(b)) return null;
  const order = (hex: string) => {
    const bits = BigInt(hex);
    return bits >> 31n ? -(bits & 0x7fffffffn) : bits;
  };
  const d = order(a) - order(b);
  return d < 0n ? -d : d;
}

export function ForkView({ dispute: d }: { dispute: Dispute }) {
  const { fork, isolated } = d;
  if (!isolated) return <Empty testid="fork-empty">Known once one operator is isolated. Until then both sides only show digests.</Empty>;
  const guilty = d.verdict === "guilty" || (d.verdict === null && d.ruling?.guilty === true);
  const cleared = d.verdict === "cleared";
  const gap = fork && fork.dtype === "f32" ? apart(fork.claimed.bits, fork.computed.bits) : null;
  return (
    <>
      {fork && fork.element !== null ? (
        <>
          <div class="fork" data-testid="fork">
            <div class={`side ${guilty ? "wrong" : cleared ? "right" : ""}`}>
              <h3>
                <Who party={fork.claimed_by} /> <span class="soft">claims</span>
              </h3>
              <p class="value" data-testid="fork-claimed">
                {fork.claimed.text}
              </p>
              <p class="mono" data-testid="fork-claimed-bits">
                {fork.claimed.bits}
              </p>
              <Bits value={fork.claimed} other={fork.computed} />
            </div>
            <div class={`side ${guilty ? "right" : ""}`}>
              <h3>
                {fork.computed_by} <span class="soft">gives</span>
              </h3>
              <p class="value" data-testid="fork-computed">
                {fork.computed.text}
              </p>
              <p class="mono" data-testid="fork-computed-bits">
                {fork.computed.bits}
              </p>
              <Bits value={fork.computed} other={fork.claimed} />
            </div>
          </div>
          <p class="soft">
            {fork.text.charAt(0).toUpperCase() + fork.text.slice(1)}.{gap !== null && gap > 0n && ` They are ${count(gap)} ${gap === 1n ? "unit" : "units"} in the last place apart.`}{" "}
            {fork.source === "chain" ? "The claimed value was opened on the chain." : "Computed from the tensors that both sides stored; the chain itself only has digests."}
          </p>
        </>
      ) : (
        <Empty testid="fork-empty">{fork ? `${fork.text.charAt(0).toUpperCase()}${fork.text.slice(1)}.` : d.isolated?.ruled_digest === d.isolated?.claimed_digest ? "There is no fork: the operator, computed again, gives what was claimed." : "This server has not computed the two values: the tensors of the segment are not in its store. The digests below differ."}</Empty>
      )}
      <div class="more">
        <Facts
          rows={[
            ["Operator", <b data-testid="isolated-operator">{isolated.name}</b>],
            d.steps > 1 && ["Step", `${count(isolated.step)} of ${count(d.steps)}`],
            ["Segment", count(isolated.segment)],
            isolated.inputs.length > 0 && ["Inputs, all agreed", isolated.inputs.join(", ")],
            isolated.shape !== null && ["Gives", <span class="mono">{isolated.shape}</span>],
            fork !== null && fork.element !== null && ["Element", <span class="mono">{count(fork.element)}{fork.coordinates.length > 0 && ` = [${fork.coordinates.join(", ")}]`}</span>, "fork-element"],
            ["Digest claimed", <Hex value={isolated.claimed_digest} testid="claimed-digest" />],
            isolated.ruled_digest !== null && ["Digest of the referee", <Hex value={isolated.ruled_digest} testid="ruled-digest" />],
            isolated.earlier && ["Found by", "the referee: an earlier operator than the one that the challenger had isolated"],
          ]}
        />
      </div>
    </>
  );
}

export function RefereeView({ dispute: d }: { dispute: Dispute }) {
  const { referee, ruling } = d;
  const foreseen = d.verdict === null && d.fork?.source === "computed" ? (d.fork.claimed.bits === d.fork.computed.bits ? "cleared" : "guilty") : null;
  return (
    <>
      {foreseen && (
        <p class="forecast" data-testid="forecast">
          Forecast: <Mark tone={foreseen === "guilty" ? "disputed" : "agreed"}>{foreseen}</Mark> <span class="soft">This server ran the model itself: what {partyName(d.provider)} claims is {foreseen === "guilty" ? "not what comes out" : "what comes out"}.</span>
        </p>
      )}
      {ruling && (
        <Facts
          rows={[
            ["Ruling", <Mark tone={ruling.guilty ? "slashed" : "agreed"} testid="ruling">{ruling.guilty ? "guilty" : "cleared"}</Mark>],
            ["By", <Who party={ruling.by} as="providers" />],
            ["Evidence", ruling.text],
            ["Digest computed", <Hex value={ruling.digest} />],
            ["Digest claimed", d.isolated && <Hex value={d.isolated.claimed_digest} />],
            ["When", <When at={ruling.time} />],
            ["Transaction", <Hex value={ruling.transaction} label="transaction" />],
          ]}
        />
      )}
      <div class={ruling ? "more" : ""}>
        <Table
          testid="draws"
          caption="Referees drawn"
          empty={d.isolated ? "Not drawn yet: the beacon\u2019s next round decides." : "Drawn once an operator is isolated, from a seed that nobody can know before."}
          rows={referee.draws}
          rowKey={(r) => r.draw}
          columns={[
            { name: "Draw", cell: (r) => r.draw },
            { name: "Referee", cell: (r) => <Who party={r.party} as="providers" /> },
            { name: "Drawn", cell: (r) => <When at={r.drawn_at} /> },
            { name: "Has until", cell: (r) => (r.outcome === "waiting" ? <Left until={r.deadline + 1} over="out of time" /> : <When at={r.deadline} />) },
            { name: "Outcome", cell: (r) => <Mark tone={r.outcome === "ruled" ? "agreed" : r.outcome === "missed" ? "barred" : "plain"}>{r.outcome}</Mark> },
            { name: "Penalty", num: true, cell: (r) => <Tokens units={r.penalty} /> },
          ]}
        />
      </div>
      {referee.candidates.length > 0 && (
        <div class="more">
          <h3>Who could be drawn</h3>
          <p class="soft">{referee.how}</p>
          <Weights rows={referee.candidates} drawn={referee.draws.map((r) => r.party.address)} />
          {referee.seed && (
            <p class="more soft">
              Seed of round {referee.round}: <Hex value={referee.seed} label="seed" testid="referee-seed" />
            </p>
          )}
        </div>
      )}
    </>
  );
}

/** Bits as the program table has them; those of a binary32 with the number that they are. */
const word = (text: string): string => {
  const number = float(/^0x[0-9a-f]{1,8}$/i.test(text) ? `0x${text.slice(2).padStart(8, "0")}` : text);
  return number ? `${text} = ${floatText(number.value)}` : text;
};

export function StepFacts({ step }: { step: Step }) {
  return (
    <div data-testid="step">
      <p class="formula" data-testid="step-text">
        {step.text}
      </p>
      <div class="more">
        <Facts
          rows={[
            ["Batch", count(step.batch)],
            ["Instruction", <span class="mono" data-testid="step-instruction">{step.instruction}</span>],
            ...step.operands.map((o, i) => [`Operand ${i + 1}`, <span class="mono" data-testid="step-operand">{word(o)}</span>] as const),
            ["Result", <span class="mono" data-testid="step-result">{word(step.result)}</span>],
          ]}
        />
      </div>
    </div>
  );
}

export function StepView({ dispute: d }: { dispute: Dispute }) {
  const { appeal } = d;
  const known = d.fork?.step ?? null;
  if (!appeal) {
    const none = (
      <Empty testid="step-empty">
        {d.outcome ? "No step had to be executed: nobody appealed." : "None yet. If the referee\u2019s ruling is appealed, the game goes on down to 128 steps of one element\u2019s program, and those the contract executes."}
        {known && " Here is the one that an appeal comes down to, as this server computed it:"}
      </Empty>
    );
    return known ? (
      <>
        {none}
        <StepFacts step={known} />
      </>
    ) : (
      none
    );
  }
  const { decided } = appeal;
  // this server's arithmetic is that of one batch of one element: of another it says nothing
  const executed = decided && known && decided.batch === known.batch && d.fork?.element === appeal.element ? known : null;
  return (
    <>
      {decided ? (
        <>
          {executed && <StepFacts step={executed} />}
          <p class="more" data-testid="decided">
            {decided.text.charAt(0).toUpperCase() + decided.text.slice(1)}.
          </p>
          <Facts
            rows={[
              !executed && ["Batch", count(decided.batch)],
              ["End of the batch, claimed", <Hex value={decided.claimed} label="state" />],
              ["End that the contract computed", <Hex value={decided.computed} label="state" />],
            ]}
          />
        </>
      ) : (
        <>
          <Empty testid="step-empty">
            {d.outcome ? "The appeal ended before a step was executed." : "Not reached yet: the appeal is still on its way down."}
            {known && " This is where it leads, as this server computed it:"}
          </Empty>
          {known && <StepFacts step={known} />}
        </>
      )}
      <div class="more">
        <Facts
          rows={[
            ["Appealed by", appeal.by ? <Who party={appeal.by} /> : "nobody: no referee could be had"],
            appeal.defender && ["Says it is right", <Who party={appeal.defender} />],
            appeal.accuser && ["Says it is wrong", <Who party={appeal.accuser} />],
            appeal.element !== null && ["Element", count(appeal.element)],
            appeal.value !== null && ["Its claimed value", <span class="mono">{word(appeal.value)}</span>],
            appeal.batches !== null && ["Batches of 128 steps", count(appeal.batches)],
            ["Bond", <Tokens units={appeal.bond} />],
            ["Outcome", appeal.outcome],
            appeal.replay && ["Game", "the second: the referee plays for its ruling"],
            appeal.outcome === "pending" && appeal.lapses_at !== null && ["Must end in", <Left until={appeal.lapses_at} />],
          ]}
        />
      </div>
    </>
  );
}

export function MoneyView({ dispute: d }: { dispute: Dispute }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, 800);
  const flows = disputeFlows(d, width < 620);
  return (
    <div ref={frame}>
      {flows.length > 0 && <MoneyPicture flows={flows} label={`Where the money of dispute ${d.id} went: ${partyName(d.provider)} against ${partyName(d.challenger)}`} testid="sankey" />}
      <div class="more">
        <Transfers rows={d.money} />
      </div>
    </div>
  );
}
