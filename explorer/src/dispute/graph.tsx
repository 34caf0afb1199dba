// A drawing that can be moved, zoomed and read with the keyboard. Where things stand is the server's answer.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Graph as GraphData, GraphNode } from "../types";
import { Facts } from "../ui/text";
import { useWidth } from "../ui/width";

export type Standing = "agreed" | "disputed" | "undecided" | "outside";

export interface Box extends GraphNode {
  standing: Standing;
  /** Said to a screen reader, and in the title. */
  says: string;
}
export interface Line {
  from: string;
  to: string;
  points: [number, number][];
  state: boolean;
}
type Frame = GraphData["blocks"][number];

const numbers = (n: Pick<GraphNode, "first_node" | "last_node">) => (n.first_node === null ? "" : n.last_node !== null && n.last_node !== n.first_node ? ` nodes ${n.first_node} to ${n.last_node}` : ` node ${n.first_node}`);

export const boxesOf = (graph: GraphData, standing: (node: GraphNode) => Standing): Box[] =>
  graph.nodes.map((n) => ({ ...n, standing: standing(n), says: `${n.label}${numbers(n)}${n.name ? ` (${n.name})` : ""}${n.times > 1 ? `, one of ${n.times} alike` : ""}` }));

export const linesOf = (graph: GraphData): Line[] => graph.edges;

/** Pixels for a unit of the drawing below which its words are too small. */
const READABLE = 0.8;

interface View {
  x: number;
  y: number;
  w: number;
  h: number;
}

const words: Record<Standing, string> = {
  agreed: "agreed",
  disputed: "disputed",
  undecided: "not decided yet",
  outside: "not looked into",
};

/** A smooth path through the points of an edge. */
function curve(points: [number, number][]): string {
  const [start, ...rest] = points;
  if (!start) return "";
  let d = `M${start[0]} ${start[1]}`;
  let [px, py] = start;
  for (const [x, y] of rest) {
    const mid = (py + y) / 2;
    d += `C${px} ${mid} ${x} ${mid} ${x} ${y}`;
    [px, py] = [x, y];
  }
  return d;
}

const fit = (text: string, room: number, each: number) => {
  const most = Math.max(3, Math.floor(room / each));
  return text.length > most ? `${text.slice(0, most - 1)}\u2026` : text;
};

export function Graph({ boxes, lines, frames, width, height, selected, onSelect, focus, label }: { boxes: Box[]; lines: Line[]; frames: Frame[]; width: number; height: number; selected: string | null; onSelect: (id: string | null) => void; focus: string[]; label: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const room = useWidth(frame);
  const tall = Math.min(560, Math.max(260, (height / Math.max(width, 1)) * room + 24));
  const whole: View = useMemo(() => {
    // the drawing's own proportions within the frame's, never larger than life
    const scale = Math.min(room / (width + 32), tall / (height + 32), 1.25);
    const [w, h] = [room / scale, tall / scale];
    return { x: width / 2 - w / 2, y: height / 2 - h / 2, w, h };
  }, [width, height, room, tall]);
  const near: View = useMemo(() => {
    const inside = boxes.filter((b) => focus.includes(b.id));
    if (inside.length === 0) {
      // its beginning, large enough to be read
      const scale = Math.min(room / (width + 32), 1.1);
      return { x: width / 2 - room / scale / 2, y: -14, w: room / scale, h: tall / scale };
    }
    const x0 = Math.min(...inside.map((b) => b.x)), x1 = Math.max(...inside.map((b) => b.x + b.w));
    const y0 = Math.min(...inside.map((b) => b.y)), y1 = Math.max(...inside.map((b) => b.y + b.h));
    // where all of it would be too small to read, its beginning
    const scale = Math.min(Math.max(Math.min(room / (x1 - x0 + 120), tall / (y1 - y0 + 120)), READABLE), 1.5);
    const [w, h] = [room / scale, tall / scale];
    return { x: (x0 + x1) / 2 - w / 2, y: y1 - y0 + 120 > h ? y0 - 60 : (y0 + y1) / 2 - h / 2, w, h };
  }, [boxes, focus.join(), whole]);

  const legible = room / whole.w >= READABLE;
  const [view, setView] = useState<View | null>(null);
  const shown = view ?? (legible ? whole : near);
  useEffect(() => setView(null), [focus.join(), room]);

  const zoom = (factor: number, cx = 0.5, cy = 0.5) => {
    const w = Math.min(Math.max(shown.w * factor, 120), Math.max(whole.w, near.w) * 2);
    const h = (w / shown.w) * shown.h;
    setView({ x: shown.x + (shown.w - w) * cx, y: shown.y + (shown.h - h) * cy, w, h });
  };
  const pan = (share: number) => setView({ ...shown, y: Math.min(Math.max(shown.y + share * shown.h, -shown.h / 2), height - shown.h / 2) });
  const drag = useRef<{ x: number; y: number; view: View } | null>(null);
  const scale = room / shown.w;

  const found = boxes.filter((b) => b.standing === "disputed").length === 1;

  const key = (event: KeyboardEvent) => {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (move) {
      const from = boxes.find((b) => b.id === selected) ?? boxes.find((b) => b.standing === "disputed") ?? boxes[0];
      if (!from) return;
      event.preventDefault();
      const [dx, dy] = move as [number, number];
      const at = (b: Box) => [b.x + b.w / 2 - from.x - from.w / 2, b.y + b.h / 2 - from.y - from.h / 2] as const;
      let best: Box | null = null;
      let least = Infinity;
      for (const b of boxes) {
        const [x, y] = at(b);
        const along = x * dx + y * dy;
        if (b === from || along <= 1) continue;
        const cost = along + 2.5 * Math.abs(x * dy - y * dx);
        if (cost < least) [best, least] = [b, cost];
      }
      if (best) {
        onSelect(best.id);
        if (best.x < shown.x || best.x + best.w > shown.x + shown.w || best.y < shown.y || best.y + best.h > shown.y + shown.h)
          setView({ ...shown, x: best.x + best.w / 2 - shown.w / 2, y: best.y + best.h / 2 - shown.h / 2 });
      }
    } else if (event.key === "+" || event.key === "=") zoom(0.8);
    else if (event.key === "-") zoom(1.25);
    else if (event.key === "0") setView(whole);
    else if (event.key === "Escape") onSelect(null);
    else return;
    event.preventDefault();
  };

  return (
    <div class="graph" ref={frame}>
      <svg
        class="dag"
        data-testid="dag"
        width={room}
        height={tall}
        viewBox={`${shown.x} ${shown.y} ${shown.w} ${shown.h}`}
        tabindex={0}
        role="application"
        aria-label={`${label}. Arrow keys go from operator to operator, plus and minus zoom, 0 shows all.`}
        aria-activedescendant={selected === null ? undefined : `op-${selected}`}
        onKeyDown={key}
        onPointerDown={(e) => {
          if (e.pointerType === "touch") return;
          drag.current = { x: e.clientX, y: e.clientY, view: shown };
        }}
        onPointerMove={(e) => {
          if (!drag.current || !(e.buttons & 1)) return;
          const { x, y, view: start } = drag.current;
          if (Math.abs(e.clientX - x) + Math.abs(e.clientY - y) > 3) setView({ ...start, x: start.x - (e.clientX - x) / scale, y: start.y - (e.clientY - y) / scale });
        }}
        onPointerUp={() => (drag.current = null)}
      >
        <defs>
          <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
            <rect class="hatch-ground" width="6" height="6" />
            <path class="hatch-line" d="M0 0V6" />
          </pattern>
          <marker id="arrow" viewBox="0 0 6 6" refX="5.200" refY="3" markerWidth="6" markerHeight="6" orient="auto">
            <path class="arrow" d="M0 .5 5.500 3 0 5.500z" />
          </marker>
        </defs>
        {frames.map((f) => (
          <g key={f.id}>
            <rect class="frame" x={f.x} y={f.y} width={f.w} height={f.h} rx="6" />
            <text class="op-sub" x={f.x + 8} y={f.y + 14}>
              {f.label}
            </text>
          </g>
        ))}
        {lines.map((l) => (
          <path key={`${l.from}-${l.to}`} class={`edge ${l.state ? "state " : ""}${selected !== null && (l.from === selected || l.to === selected) ? "near" : ""}`} d={curve(l.points)} marker-end="url(#arrow)" />
        ))}
        {boxes.map((b) => (
          <g
            key={b.id}
            id={`op-${b.id}`}
            class={`op ${b.standing}${b.standing === "disputed" && found ? " found" : ""}${b.id === selected ? " selected" : ""}`}
            transform={`translate(${b.x} ${b.y})`}
            role="img"
            aria-label={`${b.says}: ${words[b.standing]}`}
            data-testid="dag-node"
            data-node={b.first_node ?? b.id}
            data-standing={b.standing}
            onClick={() => onSelect(b.id === selected ? null : b.id)}
          >
            <title>{`${b.says}: ${words[b.standing]}`}</title>
            {b.times > 1 && <rect class="behind" x="4" y="4" width={b.w} height={b.h} rx="3" />}
            <rect width={b.w} height={b.h} rx={b.kind === "input" || b.kind === "output" ? b.h / 2 : 3} />
            {b.commit_point && <path class="commit" d={`M6 ${b.h + 5}H${b.w - 6}`} />}
            <text x={b.w / 2} y={b.h / 2 - (b.name || b.times > 1 ? 3 : -4)} text-anchor="middle" class="op-name">
              {fit(b.label, b.w - 8, 6.9)}
            </text>
            {(b.name || b.times > 1) && (
              <text x={b.w / 2} y={b.h / 2 + 11} text-anchor="middle" class="op-sub">
                {fit(b.times > 1 ? `${b.times} times${b.name ? `, ${b.name}` : ""}` : b.name, b.w - 8, 6)}
              </text>
            )}
          </g>
        ))}
      </svg>
      <div class="zoom" role="group" aria-label="view">
        <button type="button" onClick={() => pan(-0.6)} aria-label="up">
          {"\u2191"}
        </button>
        <button type="button" onClick={() => pan(0.6)} aria-label="down">
          {"\u2193"}
        </button>
        <button type="button" onClick={() => zoom(0.8)} aria-label="zoom in">
          +
        </button>
        <button type="button" onClick={() => zoom(1.25)} aria-label="zoom out">
          {"\u2212"}
        </button>
        <button type="button" onClick={() => setView(whole)}>
          all
        </button>
        {focus.length > 0 && (
          <button type="button" onClick={() => setView(near)} data-testid="dag-near">
            in dispute
          </button>
        )}
      </div>
    </div>
  );
}

/** What is known of the node that is looked at. */
export function NodeFacts({ node, graph, standing, onOpen }: { node: GraphNode | null; graph: GraphData; standing?: Standing; onOpen?: ((block: string) => void) | undefined }) {
  if (!node) return <p class="faint node-facts">Choose an operator to see its type and where its inputs come from.</p>;
  const by = (id: string) => graph.nodes.find((n) => n.id === id);
  const names = (ids: string[]) => ids.map((id) => by(id)).flatMap((n) => (n ? [`${n.label}${numbers(n)}`] : [])).join(", ");
  const from = names(graph.edges.filter((e) => e.to === node.id).map((e) => e.from));
  const to = names(graph.edges.filter((e) => e.from === node.id).map((e) => e.to));
  return (
    <div class="node-facts" data-testid="node-facts" aria-live="polite">
      <h3>
        {node.label}
        {numbers(node)} {node.name && <span class="soft">{node.name}</span>}{" "}
        {node.expandable && onOpen && (
          <button type="button" onClick={() => onOpen(node.id)}>
            open this block
          </button>
        )}
      </h3>
      <Facts
        rows={[
          ["Gives", <span class="mono">{node.shape}</span>],
          from !== "" && ["From", from],
          to !== "" && ["Read by", to],
          node.segment !== null && ["Segment", `${node.segment}${node.commit_point ? ", which ends here with a commit point" : ""}`],
          standing !== undefined && standing !== "outside" && ["In this dispute", words[standing]],
        ]}
      />
    </div>
  );
}
