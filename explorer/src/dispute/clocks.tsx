// Both sides' clocks; the one to move runs.
import { clock, duration } from "../format";
import { useChainNow } from "../live";

export interface Side {
  role: "provider" | "challenger" | "defender" | "accuser";
  name: string;
  href: string;
  /** Seconds left when its turn began. */
  seconds: number;
  runs: boolean;
}

export function Clocks({ sides, budget, since, closed }: { sides: Side[]; budget: number; since: number; closed: boolean }) {
  const now = useChainNow();
  return (
    <div class="clocks">
      {sides.map((side) => {
        const left = Math.max(0, side.seconds - (side.runs ? Math.max(0, now - since) : 0));
        const share = Math.min(1, left / Math.max(budget, 1));
        const filled = side.role === "provider" || side.role === "defender";
        return (
          <div key={side.role} class={`clock ${filled ? "provider" : "challenger"}${side.runs ? " runs" : ""}${side.runs && share < 0.15 ? " short" : ""}`} data-testid={`clock-${side.role}`} data-left={Math.ceil(left)} data-runs={side.runs}>
            <div class="who">
              <h3>
                <a href={side.href}>{side.name}</a>
              </h3>
              <span class="soft">{side.role}</span>
              <span class="left" role="timer" aria-label={`time left: ${duration(left)}`}>
                {clock(left)}
              </span>
            </div>
            <div class="bar" role="meter" aria-valuemin={0} aria-valuemax={budget} aria-valuenow={Math.round(left)} aria-label={`clock of the ${side.role}`}>
              <i style={{ width: `${share * 100}%` }} />
            </div>
            <p class="says">{side.runs ? (left > 0 ? "to move: this clock runs" : "out of time: anyone may claim it") : closed ? "stopped" : "waits"}</p>
          </div>
        );
      })}
    </div>
  );
}
