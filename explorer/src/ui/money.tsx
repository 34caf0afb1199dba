// Transfers, as a table and as a picture of who paid and who got it.
import type { Flow } from "../sankey";
import type { Account, Transfer } from "../types";
import { Table } from "./frame";
import { MoneyPicture, type FlowTone } from "./sankey";
import { Tokens, When } from "./text";

const link = (a: Account) => {
  if (a.kind === "task" && a.id !== null) return `/tasks/${a.id}`;
  if (a.kind === "dispute" && a.id !== null) return `/disputes/${a.id}`;
  return a.address ? `/accounts/${a.address}` : null;
};

export function AccountName({ account }: { account: Account }) {
  const to = link(account);
  return to ? <a href={to}>{account.label}</a> : <>{account.label}</>;
}

export function Transfers({ rows, testid = "money" }: { rows: Transfer[]; testid?: string }) {
  return (
    <Table
      testid={testid}
      caption="Every movement of coin, in order"
      empty="No coin has moved yet."
      rows={rows}
      rowKey={(t) => t.n}
      columns={[
        { name: "When", cell: (t) => <When at={t.time} /> },
        { name: "From", cell: (t) => <AccountName account={t.from} /> },
        { name: "To", cell: (t) => <AccountName account={t.to} /> },
        { name: "Why", cell: (t) => <span class="soft">{t.text}</span> },
        { name: "Tokens", num: true, cell: (t) => <Tokens units={t.amount} testid="transfer-amount" /> },
      ]}
    />
  );
}

/** Coins that only pass through an account are followed on: pots are where they are mixed, so those stay. */
export function flowsOf(rows: Transfer[]): Flow<FlowTone>[] {
  const sums = new Map<string, Flow<FlowTone>>();
  for (const t of rows) {
    const tone: FlowTone = t.why.startsWith("slash") || t.why === "burned" || t.why === "penalty" ? "slashed" : t.why === "price" || t.why === "challenger" || t.why === "referee" || t.why === "requester" || t.why === "audit" ? "agreed" : t.why === "requeue" || t.why === "restitution" ? "barred" : "plain";
    const key = `${t.from.label}>${t.to.label}`;
    const was = sums.get(key);
    if (was) was.amount += BigInt(t.amount);
    else sums.set(key, { from: t.from.label, to: t.to.label, amount: BigInt(t.amount), tone });
  }
  return [...sums.values()];
}

/** Draws transfers that form no ring; collateral that came back is one, and is left to the table. */
export function Picture({ rows, label, testid }: { rows: Transfer[]; label: string; testid: string }) {
  const flows = flowsOf(rows).filter((f, _, all) => !all.some((g) => g.from === f.to && g.to === f.from));
  return flows.length > 0 ? <MoneyPicture flows={flows} label={label} testid={testid} /> : null;
}
