// What the interface under /api/v1 answers: docs/reference/explorer-api.md. Amounts are decimal strings in units of
// the asset, times seconds of the chain's clock, digests and addresses `0x` and hex digits.

export interface Party {
  address: string;
  name: string | null;
}
export interface Named {
  id: string;
  name: string | null;
}
export interface Page<T> {
  items: T[];
  next: string | null;
  total: number;
}

export interface Account {
  kind: string;
  address: string | null;
  name: string | null;
  id: number | null;
  label: string;
}
export interface Transfer {
  n: number;
  amount: string;
  from: Account;
  to: Account;
  why: string;
  text: string;
  transaction: string;
  block: number;
  time: number;
  task: number | null;
  dispute: number | null;
}

export interface Activity {
  n: number;
  block: number;
  time: number;
  transaction: string;
  who: Party;
  what: string;
  details: string[];
  tone: "plain" | "good" | "bad" | "dispute" | "quiet";
  touches: string[];
}

export interface ChainClock {
  time: number;
  wall_ms: number;
  speed: number;
}
export interface Head {
  number: number;
  hash: string;
  time: number;
}
export interface Status {
  chain_id: number;
  head: Head;
  clock: ChainClock;
  asset: { address: string; symbol: string; decimals: number };
  contracts: Record<string, string>;
  counts: Record<"tasks" | "open_tasks" | "providers" | "disputes" | "open_disputes" | "models" | "audits", number>;
  burned: string;
  audit_pool: string;
  paused: boolean;
  version: string;
  behind: number;
  error: string | null;
  scenario: { adversary: string | null; sentence: string | null } | null;
}

export interface Entry {
  task: number;
  attempt: number;
  model: Named;
  requester: Party;
  min_price: string;
  max_price: string;
  ramp_seconds: number;
  opened_at: number;
  expires_at: number;
  excluded: Party[];
  eligible: number;
}
export interface Lane {
  class: string;
  name: string | null;
  head: number | null;
  gate_closed: boolean;
  gate_closes_at: number | null;
  retry: Entry[];
  normal: Entry[];
}
export interface Claim {
  task: number;
  attempt: number;
  provider: Party;
  price: string;
  min_price: string;
  max_price: string;
  time: number;
  transaction: string;
}
export interface Auction {
  lanes: Lane[];
  recent: Claim[];
}

export type TaskState = "open" | "claimed" | "committed" | "disputed" | "settled" | "cancelled" | "expired";
export interface TaskSummary {
  id: number;
  state: TaskState;
  attempt: number;
  model: Named;
  requester: Party;
  provider: Party | null;
  price: string | null;
  min_price: string;
  max_price: string;
  posted_at: number;
  updated_at: number;
  disputes: number[];
  stage: "auction" | "claimed" | "committed" | "judged" | "settled" | "ended";
}
export interface Result {
  steps: number;
  output_digest: string;
  trace_root: string;
}
export interface Attempt {
  attempt: number;
  provider: Party;
  price: string;
  collateral: string;
  claimed_at: number;
  deadline: number;
  committed_at: number | null;
  result: Result | null;
  outcome: "running" | "settled" | "deadline" | "retract" | "guilty" | "void" | "reversed" | "expired";
  ended_at: number | null;
  outcome_text: string | null;
}
export interface HistoryLine {
  time: number;
  block: number;
  transaction: string;
  by: Party;
  stage: string;
  attempt: number;
  text: string;
  dispute: number | null;
}
export interface Challenge {
  attempt: number;
  challenger: Party;
  bond: string;
  committed_at: number;
  dispute: number | null;
  closed: boolean;
}
export interface Task extends TaskSummary {
  class: string;
  input_digest: string;
  seed: string;
  input_uri: string;
  rules: number;
  opened_at: number;
  ramp_seconds: number;
  exec_seconds: number;
  expires_at: number | null;
  deadline: number | null;
  collateral: string | null;
  result:
    | (Result & {
        committed_at: number;
        challenge_until: number;
        reveal_from: number;
        reveal_until: number;
        settleable_at: number | null;
        audit: "undecided" | "none" | "pending" | "closed";
        audit_round: number;
      })
    | null;
  attempts: Attempt[];
  history: HistoryLine[];
  challenges: Challenge[];
  audits: Audit[];
  money: Transfer[];
  totals: Record<"escrowed" | "paid" | "refunded" | "levy" | "burned" | "in_escrow", string>;
}

export type Standing = "active" | "frozen" | "jailed" | "tombstoned" | "too_little_stake";
export interface ProviderSummary extends Party {
  standing: Standing;
  stake: string;
  free: string;
  locked: string;
  unbonding: string;
  live_tasks: number;
  max_concurrency: number;
  settled: number;
  slashed: string;
}
export interface Provider extends ProviderSummary {
  owner: Party;
  payout: Party;
  registered_at: number;
  frozen_by: number[];
  jailed_until: number | null;
  tombstoned_at: number | null;
  why: string | null;
  record: Record<
    "claimed" | "served" | "settled" | "missed" | "retracted" | "reversed" | "convicted" | "cleared" | "audited" | "audits_done" | "audits_failed" | "rulings" | "rulings_overturned" | "rulings_missed",
    number
  >;
  classes: { class: string; name: string | null; weight: string }[];
  tasks: TaskSummary[];
  disputes: DisputeSummary[];
  slashes: { amount: string; safety: boolean; why: string; task: number | null; time: number; transaction: string }[];
  money: Transfer[];
  earned: string;
}
export interface AccountPage extends Party {
  roles: string[];
  credit: string;
  earned: string;
  money: Page<Transfer>;
  tasks: TaskSummary[];
  challenges: { task: number; attempt: number; bond: string; dispute: number | null; closed: boolean }[];
}

export interface ModelSummary extends Named {
  class_of: string | null;
  nodes: number;
  commit_points: number;
  max_steps: number;
  work: string;
  tasks: number;
  members: number;
  has_graph: boolean;
}
export interface Model extends ModelSummary {
  header: Record<string, number | string>;
  uri: string;
  registered_at: number;
  registered_by: Party;
  pool: { provider: Party; weight: string }[];
}

export interface GraphNode {
  id: string;
  kind: "operator" | "block" | "input" | "output";
  label: string;
  name: string;
  shape: string;
  x: number;
  y: number;
  w: number;
  h: number;
  rank: number;
  first_node: number | null;
  last_node: number | null;
  segment: number | null;
  commit_point: boolean;
  times: number;
  expandable: boolean;
}
export interface Graph {
  model: string;
  name: string | null;
  steps: number;
  width: number;
  height: number;
  nodes: GraphNode[];
  edges: { from: string; to: string; points: [number, number][]; state: boolean }[];
  blocks: { id: string; label: string; x: number; y: number; w: number; h: number; first_node: number; last_node: number }[];
  commit_points: { segment: number; first_node: number; last_node: number; live: string[] }[];
}

export interface Place {
  leaf: number;
  step: number;
  segment: number;
  node: number | null;
}
export interface Range {
  level: "trace" | "operators" | "live";
  first: Place;
  last: Place;
  count: number;
}
export interface Turn {
  whose: "provider" | "challenger" | "defender" | "accuser" | "referee" | "loser" | "anyone" | null;
  party: Party | null;
  owes: string | null;
  text: string;
  since: number;
  deadline: number | null;
}
export type DisputeState = "level1" | "segment_wanted" | "level2" | "isolated" | "refereed" | "ruled" | "appealed" | "upheld" | "cleared" | "void";
interface DisputeFacts {
  id: number;
  task: number;
  attempt: number;
  model: Named;
  provider: Party;
  challenger: Party;
  by_audit: boolean;
  state: DisputeState;
  opened_at: number;
  closed_at: number | null;
  verdict: "guilty" | "cleared" | "void" | null;
  round: number;
  turn: Turn | null;
}
export interface DisputeSummary extends DisputeFacts {
  moves: number;
}
export interface Move {
  n: number;
  time: number;
  block: number;
  transaction: string;
  gas: number | null;
  by: Party;
  side: "provider" | "challenger" | "referee" | "anyone";
  kind: string;
  round: number;
  level: "trace" | "operators" | "live" | "chunks" | "element" | "states" | null;
  text: string;
  before: Range | null;
  after: Range | null;
  digests: { digest: string; first: number; last: number; picked: boolean }[];
  used: number | null;
}
export interface ClockSide {
  side: "provider" | "challenger" | "defender" | "accuser";
  party: Party;
  seconds: number;
  running: boolean;
  runs_out_at: number | null;
}
export interface Value {
  bits: string;
  text: string;
}
/** One scalar operation with what went in and what came out. */
export interface Step {
  batch: number;
  text: string;
  instruction: string;
  operands: string[];
  result: string;
}
/** `element` is null where only the digests of the two outputs are known. */
export interface Fork {
  source: "chain" | "computed";
  element: number | null;
  coordinates: number[];
  dtype: string | null;
  step?: Step | null;
  claimed: Value;
  computed: Value;
  claimed_by: Party;
  computed_by: string;
  text: string;
}
/** The batch that the contract executed; `claimed` and `computed` are the states at its end. */
export interface Decided {
  batch: number;
  text: string;
  claimed: string;
  computed: string;
}
export interface Dispute extends DisputeFacts {
  move_count: number;
  moves: Move[];
  accusation: { text: string; provider_root: string; challenger_root: string; output_digest: string };
  clocks: { budget: number; increment: number; sides: ClockSide[] };
  steps: number;
  rounds: { round: number; level: string; move: number; disputed: Range; agreed_to: Place | null }[];
  isolated: {
    step: number;
    segment: number;
    node: number | null;
    slot: number | null;
    operator: string;
    name: string;
    in_live: boolean;
    claimed_digest: string;
    ruled_digest: string | null;
    inputs: string[];
    shape: string | null;
    earlier: boolean;
  } | null;
  fork: Fork | null;
  referee: {
    draws: { draw: number; party: Party; drawn_at: number; deadline: number; outcome: "waiting" | "ruled" | "missed" | "unavailable"; penalty: string; transaction: string }[];
    how: string;
    round: number | null;
    seed: string | null;
    candidates: { provider: Party; weight: string; excluded: boolean; why: string | null }[];
  };
  ruling: { by: Party; guilty: boolean; digest: string; earlier: boolean; time: number; transaction: string; text: string } | null;
  appealable_until: number | null;
  appeal: {
    by: Party | null;
    bond: string;
    phase: string | null;
    outcome: "pending" | "guilty" | "cleared" | "void";
    defender: Party | null;
    accuser: Party | null;
    replay: boolean;
    element: number | null;
    value: string | null;
    batches: number | null;
    decided: Decided | null;
    opened_at: number;
    lapses_at: number | null;
  } | null;
  evidence: { available: boolean; text: string; command: string | null };
  outcome: { verdict: "guilty" | "cleared" | "void"; reason: string; text: string; closed_at: number; transaction: string; provider_lost: string; requeued_to: number | null } | null;
  money: Transfer[];
  slashes: { party: Party; amount: string; transaction: string; split: { to: Account; amount: string; why: string }[] }[];
}

export interface Audit {
  task: number;
  attempt: number;
  state: "waiting" | "not_drawn" | "drawn" | "committed" | "matched" | "mismatched" | "moot" | "waived";
  provider: Party;
  round: number;
  seed: string | null;
  round_at: number;
  rate_ppm: number;
  probation: boolean;
  draw: number | null;
  threshold: number;
  text: string;
  auditors: { party: Party; drawn_at: number; deadline: number; outcome: "waiting" | "committed" | "matched" | "mismatched" | "failed" | "released"; penalty: string; fee: string; reason: string | null }[];
  leaf: number | null;
  dispute: number | null;
  candidates: { provider: Party; weight: string }[];
}

export interface Parameters {
  versions: {
    version: number;
    in_force: boolean;
    since: number;
    groups: { name: string; title: string; items: { name: string; title: string; value: string; unit: string; text: string }[] }[];
  }[];
  paused: boolean;
}
export interface Trust {
  statements: { title: string; text: string; ok: boolean | null }[];
  powers: { who: { label: string; address: string | null; name: string | null }; contract: string; can: string; delay_seconds: number | null; text: string }[];
  timelock: { address: string; delay_seconds: number; proposers: Party[]; executors: Party[]; pending: { id: string; ready_at: number; text: string }[] } | null;
  guardian: Party | null;
  immutable: { name: string; address: string; text: string }[];
}
export interface Found {
  kind: string;
  title: string;
  text: string;
  path: string;
}
