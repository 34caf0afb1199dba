// Five sentences that say it all.
import type { ComponentChildren } from "preact";
import { count, duration } from "../format";
import { useChainNow } from "../live";
import type { Dispute } from "../types";
import { AccountName } from "../ui/money";
import { Hex, Left, partyName, Tokens, When, Who } from "../ui/text";
import { bondsHeld } from "./flows";
import { rangeAt } from "./replay";

/** A sentence begins with a capital, but names stay as they are. */
const upper = (text: string, ...names: string[]) => (names.some((n) => text.startsWith(n)) ? text : text.charAt(0).toUpperCase() + text.slice(1));
const stop = (text: string) => (/[.!?]$/.test(text) ? text : `${text}.`);

export function Record({ dispute: d }: { dispute: Dispute }) {
  return (
    <ol class="record" data-testid="record">
      <Said q="Who accuses whom of what" testid="who-what">
        <Who party={d.challenger} />
        {d.by_audit ? ", drawn as auditor," : ""} says that <Who party={d.provider} as="providers" />
        {"\u2019s result of "}
        <a href={`/tasks/${d.task}`}>task {d.task}</a> is wrong: the same model ({d.model.name ?? "unnamed"}) on the same input gave another trace.
      </Said>
      <Said q="Whose move it is" testid="whose-move">
        <WhoseMove dispute={d} />
      </Said>
      <Said q="What is disputed" testid="what-values">
        <What dispute={d} />
      </Said>
      <Said q="Who ruled" testid="who-ruled">
        <Ruled dispute={d} />
      </Said>
      <Said q="Where the coins went" testid="where-coins">
        <Coins dispute={d} />
      </Said>
    </ol>
  );
}

function Said({ q, testid, children }: { q: string; testid: string; children: ComponentChildren }) {
  return (
    <li>
      <h2 class="q">{q}</h2>
      <p class="a" data-testid={testid}>
        {children}
      </p>
    </li>
  );
}

function WhoseMove({ dispute: d }: { dispute: Dispute }) {
  const now = useChainNow();
  if (!d.turn) {
    return (
      <>
        Nobody{"\u2019"}s: the dispute is closed{d.closed_at !== null && <>, since <When at={d.closed_at} ago /></>}.
      </>
    );
  }
  const { deadline, text, whose, party } = d.turn;
  const left = deadline === null ? null : deadline + 1 - now;
  return (
    <>
      {stop(upper(text, ...(party?.name ? [party.name] : [])))}{" "}
      {left === null ? (
        whose === "anyone" ? "Nobody\u2019s clock runs." : ""
      ) : left > 0 ? (
        <>
          There {left > 1.5 && !/^1\s/.test(duration(left)) ? "are" : "is"} <b data-testid="time-left">{duration(left)}</b> left.
        </>
      ) : (
        <>
          The time is <b data-testid="time-left">over</b>: anybody may say so to the contract.
        </>
      )}
    </>
  );
}

function What({ dispute: d }: { dispute: Dispute }) {
  const name = partyName(d.provider);
  if (!d.isolated) {
    const range = rangeAt(d.moves, d.moves.length);
    if (!range) return <>Not known yet: the dissection has not begun.</>;
    const cells = { trace: "commit point", operators: "operator", live: "live tensor" }[range.level];
    if (d.verdict) return <>No operator was isolated before the dispute ended; {range.count === 1 ? `it had come down to ${cells} ${range.first.leaf}` : `${count(range.count)} ${cells}s were left`}.</>;
    return range.count === 1 ? (
      <>
        Not one operator yet: the first difference is at {cells} {count(range.first.leaf)}, and everything before it is agreed.
      </>
    ) : (
      <>
        Not one operator yet: the first difference is among {count(range.count)} {cells}s, {count(range.first.leaf)} to {count(range.last.leaf)}.
      </>
    );
  }
  const place = `${d.isolated.name}${d.steps > 1 ? ` in step ${count(d.isolated.step)}` : ""}`;
  return (
    <>
      <b data-testid="isolated-name">{place}</b>, whose inputs both sides agree on.{" "}
      {d.fork && d.fork.element !== null ? (
        <>
          At element {count(d.fork.element)} {name} says <b data-testid="claimed-value">{d.fork.claimed.text}</b>; {d.fork.computed_by} gives <b data-testid="computed-value">{d.fork.computed.text}</b>.
        </>
      ) : d.fork ? (
        <>
          {name} says that it gives the output <b data-testid="claimed-value"><Hex value={d.fork.claimed.bits} /></b>; {d.fork.computed_by} gives{" "}
          <b data-testid="computed-value">{d.fork.claimed.bits === d.fork.computed.bits ? "the same" : <Hex value={d.fork.computed.bits} />}</b>.
        </>
      ) : d.isolated.ruled_digest === null ? (
        <>{name} committed to one digest of its output, and the other side says it is another.</>
      ) : d.isolated.ruled_digest === d.isolated.claimed_digest ? (
        <>The referee found the digest that {name} had committed to: the two are the same.</>
      ) : (
        <>The referee found another digest of its output than {name} had committed to.</>
      )}
    </>
  );
}

function Ruled({ dispute: d }: { dispute: Dispute }) {
  const { appeal, ruling, outcome } = d;
  const drawn = d.referee.draws.at(-1);
  const ruled = ruling ? (
    <>
      <Who party={ruling.by} as="providers" testid="referee" />, drawn by stake, computed it again and ruled that {partyName(d.provider)} is <b data-testid="ruled">{ruling.guilty ? "guilty" : "cleared"}</b>.{" "}
    </>
  ) : null;
  if (outcome) {
    const how = appeal?.decided ? (
      <>On appeal the contract itself executed the step: {stop(appeal.decided.text)} </>
    ) : appeal && appeal.outcome !== "pending" ? (
      <>The appeal ended: {appeal.outcome}. </>
    ) : null;
    // the ruling has said it already
    const repeats = ruling !== null && outcome.text === `${partyName(d.provider)} is ${outcome.verdict}` && (outcome.verdict === "guilty") === ruling.guilty;
    return (
      <>
        {ruled ?? (drawn ? <>Nobody: no ruling was made. </> : <>No referee was needed. </>)}
        {how}
        {repeats ? "" : `${stop(upper(outcome.text, partyName(d.provider)))} `}That is <b data-testid="appealable">final</b>.
      </>
    );
  }
  if (appeal) {
    return (
      <>
        {ruled ?? "No referee could be had. "}
        {appeal.by ? <><Who party={appeal.by} /> has <b data-testid="appealable">appealed</b></> : <b data-testid="appealable">The appeal levels decide</b>}: the game goes on down to one step, which the contract executes.
      </>
    );
  }
  if (ruling) {
    return (
      <>
        {ruled}
        {d.appealable_until !== null ? (
          <>
            It may be <b data-testid="appealable">appealed</b> for another <Left until={d.appealable_until + 1} over="moment" />.
          </>
        ) : (
          <>
            It can <b data-testid="appealable">no longer be appealed</b>.
          </>
        )}
      </>
    );
  }
  if (drawn && drawn.outcome === "waiting") {
    return (
      <>
        Nobody yet. <Who party={drawn.party} as="providers" testid="referee" /> was drawn by stake as referee, and has <Left until={drawn.deadline + 1} over="no more time" /> to rule. The ruling may be appealed.
      </>
    );
  }
  return <>Nobody yet. {d.isolated ? "One referee is drawn by stake." : "A referee is drawn once one operator is isolated."} Its ruling may be appealed.</>;
}

function Coins({ dispute: d }: { dispute: Dispute }) {
  if (d.slashes.length > 0) {
    return (
      <>
        {d.slashes.map((s) => (
          <span key={s.transaction + s.party.address}>
            {partyName(s.party)} lost <b data-testid="slash-total"><Tokens units={s.amount} /></b> tokens of stake:{" "}
            {s.split.map((part, i) => (
              <span key={part.why + part.to.label}>
                {i > 0 && (i === s.split.length - 1 ? " and " : ", ")}
                <Tokens units={part.amount} /> {part.to.kind === "burned" ? "burned" : <>to <AccountName account={part.to} /></>}
              </span>
            ))}
            .{" "}
          </span>
        ))}
        {d.money.filter((t) => t.why === "bond_back").map((t) => (
          <span key={t.n}>
            {t.to.name ?? t.to.label} has the bond of <Tokens units={t.amount} /> back.{" "}
          </span>
        ))}
      </>
    );
  }
  const bonds = bondsHeld(d);
  if (d.outcome) {
    const out = d.money.filter((t) => t.time >= d.outcome!.closed_at && t.from.kind === "dispute");
    return (
      <>
        Nobody was slashed.{" "}
        {out.map((t, i) => (
          <span key={t.n}>
            {i === 0 ? "Of the bond, " : i === out.length - 1 ? " and " : ", "}
            <Tokens units={t.amount} /> went to <AccountName account={t.to} />
          </span>
        ))}
        {out.length > 0 && "."}
      </>
    );
  }
  return (
    <>
      Nowhere yet.{" "}
      {bonds.map((b) => (
        <span key={b.who}>
          {b.who}
          {"\u2019s bond of "}
          <Tokens units={b.amount} /> tokens is held until the verdict.{" "}
        </span>
      ))}
      {partyName(d.provider)} is frozen: its stake stays where it is.
    </>
  );
}
