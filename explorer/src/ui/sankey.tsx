import { useRef } from "preact/hooks";
import { tokens } from "../format";
import { BAR, sankey, type Flow } from "../sankey";
import { useWidth } from "./width";

export type FlowTone = "slashed" | "agreed" | "barred" | "plain";

const cut = (text: string, room: number) => {
  const most = Math.max(6, Math.floor(room / 6.9));
  return text.length > most ? `${text.slice(0, most - 1)}\u2026` : text;
};

/** Ribbons from those who paid to those who got it; the same is said in a table beside it. */
export function MoneyPicture({ flows, label, testid }: { flows: Flow<FlowTone>[]; label: string; testid: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, 800);
  const right = Math.min(230, width * 0.36);
  const { stops, ribbons, height } = sankey(flows, width, right);
  const columns = Math.max(...stops.map((s) => s.column), 0) + 1;
  const beside = (width - right) / Math.max(columns - 1, 1) - 2 * BAR;
  return (
    <div class="sankey" ref={frame}>
      <svg viewBox={`0 0 ${width} ${height}`} height={height} width={width} role="img" aria-label={label} data-testid={testid}>
        {ribbons.map(({ flow, path }) => (
          <path key={`${flow.from}>${flow.to}`} class={`ribbon ${flow.tone}`} d={path} data-testid="ribbon">
            <title>{`${flow.from} \u2192 ${flow.to}: ${tokens(flow.amount)} tokens`}</title>
          </path>
        ))}
        {stops.map((s) => (
          <g key={s.name} data-testid="stop">
            <rect class="stop" x={s.x} y={s.y} width={BAR} height={s.height} />
            <text x={s.x + BAR + 8} y={s.y + 14}>
              {cut(s.name, s.last ? right - BAR - 8 : beside)}
            </text>
            <text x={s.x + BAR + 8} y={s.y + 31} class="sum">
              {tokens(s.total)}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}
