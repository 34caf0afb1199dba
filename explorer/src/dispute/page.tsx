// The dispute page: from it alone a stranger can say who accuses whom of what, and how it stands.
import { useEffect, useState } from "preact/hooks";
import { useRead } from "../api";
import { plural } from "../format";
import { setPlace, useRoute } from "../router";
import type { Dispute, Graph as GraphData, Model } from "../types";
import { Answer } from "../ui/answer";
import { CheckFile } from "../ui/check";
import { Empty, Loading, PageHead, Part } from "../ui/frame";
import { DisputeMark } from "../ui/marks";
import { Run } from "../ui/run";
import { Hex, partyName, When, Who } from "../ui/text";
import { Clocks } from "./clocks";
import { boxesOf, Graph, linesOf, NodeFacts } from "./graph";
import { Levels } from "./levels";
import { ForkView, MoneyView, RefereeView, StepView } from "./parts";
import { Record } from "./record";
import { hiding, levelsAt, moveOf, rangeAt, standingAt, stepOf } from "./replay";

export function DisputePage({ id }: { id: string }) {
  return (
    <Answer<Dispute> path={`/disputes/${encodeURIComponent(id)}`} what={`dispute ${id}`}>
      {(d) => <DisputeView dispute={d} />}
    </Answer>
  );
}

function DisputeView({ dispute: d }: { dispute: Dispute }) {
  const model = d.model.name ?? "MODEL";
  return (
    <>
      <PageHead
        title={`Dispute ${d.id}`}
        name={
          <>
            Dispute {d.id}: {partyName(d.challenger)} against {partyName(d.provider)}
          </>
        }
        crumb={
          <>
            <a href="/disputes">Disputes</a>, about <a href={`/tasks/${d.task}`}>task {d.task}</a>
          </>
        }
      >
        <DisputeMark state={d.state} />
      </PageHead>
      <Record dispute={d} />
      <Part id="clocks" title="Clocks" note={`Each side has ${Math.round(d.clocks.budget / 60)} min in all, and gets ${d.clocks.increment} s back with each move.`}>
        <Clocks
          budget={d.clocks.budget}
          since={d.turn?.since ?? 0}
          closed={d.turn === null}
          sides={d.clocks.sides.map((s) => ({ role: s.side, name: partyName(s.party), href: `/accounts/${s.party.address}`, seconds: s.seconds, runs: s.running }))}
        />
      </Part>
      <Bisection dispute={d} />
      <Part id="fork" title="The values at the fork" note="The same operator on the same inputs: what each side says comes out.">
        <ForkView dispute={d} />
      </Part>
      <Part id="referee" title="The referee" note="One provider, drawn by stake, computes the isolated operator again. Nobody has to believe it: its ruling may be appealed.">
        <RefereeView dispute={d} />
      </Part>
      <Part id="step" title="The step that decided" note="On appeal the contract executes one batch of steps itself.">
        <StepView dispute={d} />
      </Part>
      <Part id="money" title="Where each coin went" note="Ribbons are as thick as the amounts. Every transfer is in the table.">
        <MoneyView dispute={d} />
      </Part>
      <Part id="reproduce" title="Reproduce this" note="The evidence is one file. Who has it needs neither this server nor the network.">
        {d.evidence.command ? (
          <>
            <Run text={d.evidence.command}>{`Write all of it into one file: ${d.evidence.text}.`}</Run>
            <Run text={`gavel verify dispute-${d.id}.json --model ${model}`}>Judge it offline. Exit code 0: the claim is true, 7: it is false.</Run>
            <div class="more">
              <CheckFile hint="Or drop the file here, to have it checked in this browser:" pinned={{ task: d.task, attempt: d.attempt, ...(d.isolated && { "claimed digest": d.isolated.claimed_digest }) }} />
            </div>
          </>
        ) : (
          <p class="soft">No evidence to export yet: {d.evidence.text}.</p>
        )}
        <Run text={`gavel dispute explain ${d.id} --model ${model}`}>Say in words what it came down to.</Run>
      </Part>
      <Part id="roots" title="What was committed">
        <dl class="facts">
          <div>
            <dt>Trace root of {partyName(d.provider)}</dt>
            <dd>
              <Hex value={d.accusation.provider_root} testid="provider-root" />
            </dd>
          </div>
          <div>
            <dt>Trace root of {partyName(d.challenger)}</dt>
            <dd>
              <Hex value={d.accusation.challenger_root} testid="challenger-root" />
            </dd>
          </div>
          <div>
            <dt>Output digest</dt>
            <dd>
              <Hex value={d.accusation.output_digest} />
            </dd>
          </div>
        </dl>
      </Part>
    </>
  );
}

function Bisection({ dispute: d }: { dispute: Dispute }) {
  const { hash } = useRoute();
  const at = moveOf(d, hash);
  const all = d.moves.length;
  const move = d.moves[at - 1];
  const go = (n: number) => {
    const to = Math.min(Math.max(n, 1), all);
    // the newest place has no name of its own: who stays there sees what comes
    if (to === all) setPlace({ round: null, move: null });
    else setPlace({ round: String(d.moves[to - 1]!.round), move: String(to) });
  };
  const [playing, play] = useState(false);
  useEffect(() => {
    if (!playing) return;
    if (at >= all) return play(false);
    const timer = setTimeout(() => go(at + 1), 900);
    return () => clearTimeout(timer);
  }, [playing, at, all]);
  if (!move) return null;
  const levels = levelsAt(d.moves, at);
  return (
    <Part id="bisection" title="How it closed in" wide note="Move by move, the two sides narrow down where their runs part. Left of the difference everything is agreed.">
      <div
        class="scrub"
        role="group"
        aria-label="moves"
        onKeyDown={(e) => {
          if ((e.target as Element).tagName === "INPUT") return;
          const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 1, End: all }[e.key];
          if (to === undefined) return;
          e.preventDefault();
          go(to);
        }}
      >
        <div class="steps">
          <button type="button" onClick={() => go(at - 1)} disabled={at <= 1} aria-label="previous move" data-testid="previous">
            {"\u2190"}
          </button>
          <button type="button" onClick={() => (playing ? play(false) : (at >= all && go(1), play(true)))} aria-pressed={playing} data-testid="play">
            {playing ? "pause" : "play"}
          </button>
          <button type="button" onClick={() => go(at + 1)} disabled={at >= all} aria-label="next move" data-testid="next">
            {"\u2192"}
          </button>
        </div>
        <div class="rail">
          <input type="range" min={1} max={all} step={1} value={at} aria-label="move" aria-valuetext={`move ${at} of ${all}, round ${move.round}: ${move.text}`} onInput={(e) => go(Number(e.currentTarget.value))} data-testid="scrubber" />
        </div>
        <span class="nowrap soft" data-testid="scrub-at">
          move {at} of {all}, round {move.round}
        </span>
      </div>
      <p class="saying" data-testid="saying" aria-live="polite">
        <Who party={move.by} /> {move.text}
        <small>
          <When at={move.time} />
          {move.used !== null && `, took ${move.used}\u00a0s of its clock`}
          {move.gas !== null && `, ${plural(move.gas, "gas", "gas")}`}, <Hex value={move.transaction} label="transaction" />
        </small>
      </p>
      <div class="bisect">
        <div>
          <DisputeGraph dispute={d} at={at} />
        </div>
        <div>
          {levels.length > 0 && <Levels levels={levels} />}
          <ol class="moves" data-testid="moves">
            {d.moves.map((m) => (
              <li key={m.n} class={m.n === move.n ? "now" : undefined} aria-current={m.n === move.n ? "step" : undefined}>
                <span class="n">{m.n}</span>
                <span class="soft">{m.side}</span>
                <button type="button" onClick={() => go(d.moves.indexOf(m) + 1)} data-testid="move" data-kind={m.kind}>
                  {partyName(m.by)} {m.text}
                </button>
              </li>
            ))}
          </ol>
        </div>
      </div>
    </Part>
  );
}

function DisputeGraph({ dispute: d, at }: { dispute: Dispute; at: number }) {
  const { hash } = useRoute();
  const [opened, open] = useState<string[]>([]);
  const { data: model, error: unknown } = useRead<Model>(`/models/${d.model.id}`);
  const small = model !== undefined && model.nodes <= 150;
  const { data: whole, error } = useRead<GraphData>(model?.has_graph ? `/models/${d.model.id}/graph${small ? "?expand=all" : ""}` : null);
  const wanted = whole && !small ? [...new Set([...hiding(d, whole), ...opened])] : [];
  const { data: inside } = useRead<GraphData>(wanted.length > 0 ? `/models/${d.model.id}/graph?expand=${wanted.join(",")}` : null);
  const graph = inside ?? whole;
  if (error || unknown || model?.has_graph === false) return <Empty testid="graph-empty">This server has no file of the model, so its graph is not drawn. The strips show how far the dispute has come.</Empty>;
  if (!graph) return <Loading what="the model's graph" />;

  const range = rangeAt(d.moves, at);
  const standing = standingAt(range, graph);
  const boxes = boxesOf(graph, standing);
  const focus = boxes.filter((b) => b.standing === "disputed");
  const node = hash.get("node");
  const selected = node === null ? null : (graph.nodes.find((n) => n.id === node || (n.first_node !== null && n.last_node !== null && /^\d+$/.test(node) && n.first_node <= Number(node) && Number(node) <= n.last_node)) ?? null);
  const select = (id: string | null) => {
    const chosen = graph.nodes.find((n) => n.id === id);
    setPlace({ node: chosen ? (chosen.kind === "operator" && chosen.first_node !== null ? String(chosen.first_node) : chosen.id) : null });
  };
  return (
    <>
      <p class="legend">
        <span class="l-agreed">agreed</span>
        <span class="l-disputed">in dispute</span>
        <span class="l-undecided">not decided</span>
        {d.steps > 1 && <b>step {stepOf(range)}{range && range.last.step > range.first.step ? ` of ${range.first.step} to ${range.last.step} in dispute` : ` of ${d.steps}`}</b>}
      </p>
      <Graph boxes={boxes} lines={linesOf(graph)} frames={graph.blocks} width={graph.width} height={graph.height} selected={selected?.id ?? null} onSelect={select} focus={focus.length <= 40 ? focus.map((b) => b.id) : []} label={`Graph of ${graph.name ?? "the model"}`} />
      <NodeFacts node={selected} graph={graph} standing={selected ? standing(selected) : undefined} onOpen={small ? undefined : (b) => open([...opened, b])} />
    </>
  );
}
