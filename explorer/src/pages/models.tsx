import { useState } from "preact/hooks";
import { count, plural } from "../format";
import type { Graph as GraphData, Model, ModelSummary, Page } from "../types";
import { useRead } from "../api";
import { boxesOf, Graph, linesOf, NodeFacts } from "../dispute/graph";
import { Answer } from "../ui/answer";
import { Empty, Loading, PageHead, Part, Table } from "../ui/frame";
import { Facts, Hex, When, Who } from "../ui/text";
import { Weights } from "./audits";

export function ModelsPage() {
  return (
    <>
      <PageHead title="Models" under="A model's id is a hash of its graph, its weights, its tokenizer and the rules of its arithmetic: the same id, the same bits." />
      <Part id="models" title="All models" wide>
        <Answer<Page<ModelSummary>> path="/models" what="the models">
          {({ items }) => (
            <Table
              testid="models"
              caption="Models"
              empty="No model is registered yet: `gavel model register digits` does."
              rows={items}
              rowKey={(m) => m.id}
              columns={[
                { name: "Model", cell: (m) => <a href={`/models/${m.id}`}>{m.name ?? "unnamed"}</a> },
                { name: "Id", cell: (m) => <Hex value={m.id} label="model id" /> },
                { name: "Operators", num: true, cell: (m) => count(m.nodes) },
                { name: "Commit points", num: true, cell: (m) => count(m.commit_points) },
                { name: "Steps at most", num: true, cell: (m) => count(m.max_steps) },
                { name: "Tasks", num: true, cell: (m) => count(m.tasks) },
                { name: "Providers", num: true, cell: (m) => count(m.members) },
              ]}
            />
          )}
        </Answer>
      </Part>
    </>
  );
}

export function ModelPage({ id }: { id: string }) {
  return (
    <Answer<Model> path={`/models/${encodeURIComponent(id)}`} what="the model">
      {(m) => (
        <>
          <PageHead title={m.name ?? "A model"} crumb={<a href="/models">Models</a>} under={<Hex value={m.id} whole label="model id" testid="model-id" />} />
          <Part id="graph" title="Graph" wide note={`${plural(m.nodes, "operator")}, ${plural(m.commit_points, "commit point")}. A bar under an operator is a commit point: what is alive there is hashed into the trace.`}>
            {m.has_graph ? <ModelGraph id={m.id} small={m.nodes <= 150} /> : <Empty testid="graph-empty">This server has no file of the model, so it cannot draw it. What the chain knows is below.</Empty>}
          </Part>
          <Part id="facts" title="Facts" note="What the id is the hash of.">
            <div class="columns">
              <Facts
                rows={[
                  ["Registered by", <Who party={m.registered_by} />],
                  ["Registered", <When at={m.registered_at} ago />],
                  ["Tasks so far", count(m.tasks)],
                  ["Work of one step", count(m.work)],
                  ["Steps at most", count(m.max_steps)],
                  m.uri !== "" && ["Where to have it", <span class="mono">{m.uri}</span>],
                ]}
              />
              <Facts rows={Object.entries(m.header).map(([name, value]) => [name.replaceAll("_", " "), typeof value === "string" && value.startsWith("0x") ? <Hex value={value} /> : <span class="mono">{String(value)}</span>] as const)} />
            </div>
          </Part>
          <Part id="pool" title="Who serves it" note="Referees and auditors are drawn from here, by weight.">
            {m.pool.length === 0 ? <Empty>Nobody serves it now.</Empty> : <Weights rows={m.pool} drawn={[]} />}
          </Part>
        </>
      )}
    </Answer>
  );
}

function ModelGraph({ id, small }: { id: string; small: boolean }) {
  const [open, setOpen] = useState<string[]>([]);
  const [selected, select] = useState<string | null>(null);
  const expand = small ? "all" : open.join(",");
  const { data, error } = useRead<GraphData>(`/models/${id}/graph${expand ? `?expand=${expand}` : ""}`);
  if (!data) return error ? <Empty>{error.message}</Empty> : <Loading what="the graph" />;
  const node = data.nodes.find((n) => n.id === selected) ?? null;
  return (
    <>
      <Graph
        boxes={boxesOf(data, () => "outside")}
        lines={linesOf(data)}
        frames={data.blocks}
        width={data.width}
        height={data.height}
        selected={selected}
        onSelect={select}
        focus={[]}
        label={`Graph of ${data.name ?? "the model"}`}
      />
      <NodeFacts node={node} graph={data} onOpen={small ? undefined : (b) => setOpen([...open, b])} />
    </>
  );
}
