// The words for how things stand, and their colours.
import type { Audit, DisputeState, Standing, TaskState } from "../types";
import { Mark, type Tone } from "./text";

const TASK: Record<TaskState, Tone> = { open: "plain", claimed: "plain", committed: "plain", disputed: "disputed", settled: "agreed", cancelled: "plain", expired: "barred" };

export const TaskMark = ({ state }: { state: TaskState }) => (
  <Mark tone={TASK[state]} testid="task-state">
    {state}
  </Mark>
);

const DISPUTE: Record<DisputeState, [Tone, string]> = {
  level1: ["disputed", "dissecting the trace"],
  segment_wanted: ["disputed", "segment wanted"],
  level2: ["disputed", "dissecting the segment"],
  isolated: ["disputed", "operator isolated"],
  refereed: ["disputed", "with the referee"],
  ruled: ["disputed", "ruled, may be appealed"],
  appealed: ["disputed", "appealed"],
  upheld: ["slashed", "provider guilty"],
  cleared: ["agreed", "provider cleared"],
  void: ["plain", "void"],
};

export const DisputeMark = ({ state }: { state: DisputeState }) => (
  <Mark tone={DISPUTE[state][0]} testid="dispute-state">
    {DISPUTE[state][1]}
  </Mark>
);

const STANDING: Record<Standing, [Tone, string]> = {
  active: ["agreed", "active"],
  frozen: ["barred", "frozen"],
  jailed: ["barred", "jailed"],
  tombstoned: ["slashed", "tombstoned"],
  too_little_stake: ["barred", "too little stake"],
};

export const StandingMark = ({ standing }: { standing: Standing }) => (
  <Mark tone={STANDING[standing][0]} testid="standing">
    {STANDING[standing][1]}
  </Mark>
);

const AUDIT: Record<Audit["state"], [Tone, string]> = {
  waiting: ["plain", "waits for its seed"],
  not_drawn: ["plain", "not drawn"],
  drawn: ["barred", "auditor drawn"],
  committed: ["barred", "auditor committed"],
  matched: ["agreed", "matched"],
  mismatched: ["disputed", "mismatched"],
  moot: ["plain", "moot"],
  waived: ["plain", "waived"],
};

export const AuditMark = ({ state }: { state: Audit["state"] }) => (
  <Mark tone={AUDIT[state][0]} testid="audit-state">
    {AUDIT[state][1]}
  </Mark>
);
