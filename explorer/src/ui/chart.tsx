// A series over the chain's time. The library that draws it is only loaded where there is one.
import { useEffect, useRef } from "preact/hooks";
import { timeOfDay } from "../format";
import { useStore } from "../store";
import { theme } from "../theme";
import { useWidth } from "./width";

export function Chart({ times, series, label }: { times: number[]; series: { name: string; values: number[]; quiet?: boolean }[]; label: string }) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, 600);
  const dark = useStore(theme);
  const data = JSON.stringify([times, ...series.map((s) => s.values)]);
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    let plot: { destroy(): void } | null = null;
    let gone = false;
    void import("uplot").then(({ default: Plot }) => {
      if (gone) return;
      const colour = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
      const axis = { stroke: colour("--ink-2"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { stroke: colour("--rule") }, font: "12px sans-serif" };
      plot = new Plot(
        {
          width,
          height: 190,
          legend: { show: false },
          cursor: { drag: { x: false, y: false } },
          scales: { x: { time: false } },
          axes: [{ ...axis, values: (_: unknown, list: number[]) => list.map(timeOfDay), space: 90 }, { ...axis, size: 44 }],
          series: [
            { label: "time", value: (_: unknown, v: number | null) => (v === null ? "" : timeOfDay(v)) },
            ...series.map((s) => ({ label: s.name, stroke: colour(s.quiet ? "--rule-2" : "--ink"), width: s.quiet ? 1 : 1.75, points: { show: !s.quiet, size: 6, fill: colour("--paper") } })),
          ],
        },
        JSON.parse(data) as [number[], ...number[][]],
        element,
      );
    });
    return () => {
      gone = true;
      plot?.destroy();
    };
  }, [data, width, dark]);
  return <div class="chart" ref={frame} role="img" aria-label={label} data-testid="chart" />;
}
