// One strip per level of the game: left of the mark all is agreed, the mark is what the next level looks into.
import { useRef } from "preact/hooks";
import { count } from "../format";
import { useWidth } from "../ui/width";

export interface Level {
  /** What one cell is: "commit points", "operators". */
  unit: string;
  size: number;
  /** Cells before this one are agreed. */
  agreed: number;
  /** The cells that hold the first difference, from..to, as far as it is known. */
  from: number;
  to: number;
  /** What is said beside the strip. */
  says: string;
}

const STRIP = 20;
const GAP = 46;
/** More cells than this are drawn as one bar. */
const CELLS = 80;

export function Levels({ levels }: { levels: Level[] }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, 800);
  const height = levels.length * (STRIP + GAP) - GAP + 26;
  return (
    <div class="levels" ref={frame} data-testid="levels">
      <svg viewBox={`0 0 ${width} ${height}`} height={height} role="img" aria-label={levels.map((l) => l.says).join(". ")}>
        {levels.map((level, i) => {
          const y = 18 + i * (STRIP + GAP);
          const x = (cell: number) => (cell / Math.max(level.size, 1)) * width;
          const next = levels[i + 1];
          // a single cell of thousands is still seen
          const left = Math.min(x(level.from), width - 3);
          const right = Math.max(x(level.to), left + 3);
          const closed = level.to - level.from === 1;
          return (
            <g key={level.unit} data-testid="level" data-unit={level.unit} data-agreed={level.agreed} data-from={level.from} data-to={level.to} data-size={level.size}>
              {next && <path class="lens" d={`M${left} ${y + STRIP}H${right}L${width} ${y + STRIP + GAP}H0Z`} />}
              <text x="0" y={y - 6}>
                {level.says}
              </text>
              <rect class="cell undecided" x="0" y={y} width={width} height={STRIP} />
              <rect class="cell agreed" x="0" y={y} width={x(level.agreed)} height={STRIP} />
              {closed ? (
                <rect class="cell disputed" x={left} y={y} width={right - left} height={STRIP} />
              ) : (
                <rect class="open" x={left + 0.6} y={y + 0.6} width={Math.max(right - left - 1.2, 2)} height={STRIP - 1.2} />
              )}
              {level.size <= CELLS &&
                Array.from({ length: level.size - 1 }, (_, c) => <path key={c} class="cell" d={`M${x(c + 1)} ${y}v${STRIP}`} />)}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

export const span = (from: number, to: number) => (to - from <= 1 ? count(from) : `${count(from)} to ${count(to - 1)}`);
