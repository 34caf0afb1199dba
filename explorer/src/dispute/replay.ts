// What was known after each move. Pure: everything follows from the list of moves.
import { count } from "../format";
import type { Dispute, Graph, GraphNode, Move, Range } from "../types";
import type { Standing } from "./graph";
import type { Level } from "./levels";

/** Words for the cells of a level. */
const UNITS: Record<string, [one: string, many: string]> = {
  trace: ["commit point", "commit points"],
  operators: ["operator", "operators"],
  live: ["live tensor", "live tensors"],
  chunks: ["part", "parts of the output"],
  states: ["batch", "batches of 128 steps"],
};

const said = (level: string, size: number, from: number, to: number) => {
  const [one, many] = UNITS[level] ?? [level, level];
  const all = `${count(size)} ${size === 1 ? one : many}`;
  if (to - from >= size) return `${all}: all may hold the first difference`;
  if (to - from === 1) return `${all}: ${one} ${count(from)} is the first that differs`;
  return `${all}: the first difference is within ${count(from)} to ${count(to - 1)}`;
};

/** The levels of the game after the first `upto` moves, from the whole trace inwards. */
export function levelsAt(moves: Move[], upto: number): Level[] {
  const levels: Level[] = [];
  const level = (unit: string, size: number) => {
    let found = levels.find((l) => l.unit === unit);
    if (!found) levels.push((found = { unit, size, agreed: 0, from: 0, to: size, says: "" }));
    return found;
  };
  const narrow = (l: Level, from: number, to: number) => {
    l.agreed = from;
    l.from = from;
    l.to = to;
  };
  for (const move of moves.slice(0, upto)) {
    const range = move.after ?? move.before;
    if (range) {
      narrow(level(range.level, range.level === move.before?.level ? Math.max(range.count, move.before.last.leaf + 1) : range.last.leaf + 1), range.first.leaf, range.last.leaf + 1);
    } else if (move.digests.length > 0 && move.level && UNITS[move.level]) {
      // below the operator only the rows say what a cell is
      const size = Math.max(...move.digests.map((d) => d.last + 1));
      const l = level(move.level, size);
      // a second game begins anew
      if (move.digests[0]!.first === 0 && size === l.size) narrow(l, 0, size);
    } else if ((move.kind === "pick_chunk" || move.kind === "pick_state") && move.level) {
      const row = [...moves.slice(0, move.n)].reverse().find((m) => m.level === move.level && m.digests.some((d) => d.picked));
      const picked = row?.digests.find((d) => d.picked);
      const l = levels.find((x) => x.unit === move.level);
      if (picked && l) narrow(l, picked.first, picked.last + 1);
    }
  }
  for (const l of levels) l.says = said(l.unit, l.size, l.from, l.to);
  return levels;
}

/** The last range in dispute that the first `upto` moves left. */
export function rangeAt(moves: Move[], upto: number): Range | null {
  for (let i = Math.min(upto, moves.length) - 1; i >= 0; i--) {
    const range = moves[i]!.after;
    if (range) return range;
  }
  return null;
}

/** The step that the drawing shows: the one in dispute, or the first of them. */
export const stepOf = (range: Range | null) => range?.first.step ?? 0;

/** Nodes of the shown step that may hold the first difference. */
function nodesOf(range: Range, graph: Graph): [number, number] {
  const segment = (index: number) => graph.commit_points.find((c) => c.segment === index);
  const last = graph.nodes.reduce((most, n) => Math.max(most, n.last_node ?? 0), 0);
  if (range.level === "operators") return [range.first.node ?? 0, range.last.node ?? last];
  const first = segment(range.first.segment)?.first_node ?? 0;
  // where several steps are in dispute, the shown one is so from its first place on
  const end = range.last.step > range.first.step ? last : (range.last.node ?? segment(range.last.segment)?.last_node ?? last);
  return [first, end];
}

/** How a node of the drawing stands. */
export function standingAt(range: Range | null, graph: Graph): (node: GraphNode) => Standing {
  if (!range) return () => "outside";
  const [from, to] = nodesOf(range, graph);
  return (node) => {
    if (node.kind === "input") return "agreed";
    if (node.kind === "output" || node.first_node === null || node.last_node === null) return "undecided";
    const [a, b] = [node.first_node, node.last_node];
    if (b < from) return "agreed";
    return a > to ? "undecided" : "disputed";
  };
}

/** Blocks that hide the place in dispute: they are opened. */
export function hiding(dispute: Dispute, graph: Graph): string[] {
  const range = rangeAt(dispute.moves, dispute.moves.length);
  if (!range) return [];
  const [from, to] = nodesOf(range, graph);
  if (to - from > 60) return [];
  return graph.nodes.filter((n) => n.expandable && n.first_node !== null && n.last_node !== null && n.first_node <= to && n.last_node >= from).map((n) => n.id);
}

/** The number of the move that a place in the address names. */
export function moveOf(dispute: Dispute, hash: URLSearchParams): number {
  const whole = (name: string) => {
    const value = Number(hash.get(name));
    return hash.get(name) !== null && Number.isInteger(value) && value >= 0 ? value : null;
  };
  const all = dispute.moves.length;
  const move = whole("move");
  if (move !== null) return Math.min(Math.max(move, 1), all);
  const round = whole("round");
  if (round === null) return all;
  const last = dispute.moves.reduce((n, m, i) => (m.round <= round ? i + 1 : n), 0);
  const closed = dispute.rounds.find((r) => r.round === round)?.move;
  return Math.max(1, closed ?? last);
}
