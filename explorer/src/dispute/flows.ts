// Who lost what in a dispute, and who got it. Pure.
import type { Flow } from "../sankey";
import type { Dispute, Transfer } from "../types";
import type { FlowTone } from "../ui/sankey";

const TONE: Record<string, FlowTone> = { burned: "slashed", requester: "agreed", challenger: "agreed", referee: "agreed", requeue: "barred", restitution: "agreed" };
const POTS = new Set(["dispute", "challenge", "appeal"]);

/** A slash goes from stake and collateral to who gets it; a bond from who put it up to who has it now. `near` leaves out where a slash was taken from. */
export function disputeFlows(dispute: Dispute, near = false): Flow<FlowTone>[] {
  const flows: Flow<FlowTone>[] = [];
  const add = (from: string, to: string, amount: bigint, tone: FlowTone) => {
    const was = flows.find((f) => f.from === from && f.to === to);
    if (was) was.amount += amount;
    else flows.push({ from, to, amount, tone });
  };
  const told = new Set<Transfer>();
  for (const slash of dispute.slashes) {
    const loser = `${slash.party.name ?? slash.party.address.slice(0, 8)} loses`;
    for (const t of dispute.money) {
      if (t.transaction !== slash.transaction || !t.why.startsWith("slash") || t.from.address?.toLowerCase() !== slash.party.address.toLowerCase()) continue;
      told.add(t);
      if (!near) add(t.from.label, loser, BigInt(t.amount), "slashed");
    }
    for (const part of slash.split) {
      add(loser, part.to.label, BigInt(part.amount), TONE[part.why] ?? "plain");
      const paid = dispute.money.find((t) => !told.has(t) && t.transaction === slash.transaction && t.why === part.why && t.amount === part.amount && POTS.has(t.from.kind));
      if (paid) told.add(paid);
    }
  }
  // what is left are bonds on their way, and what follows from the verdict elsewhere
  const bonds = dispute.money.filter((t) => !told.has(t) && POTS.has(t.to.kind) && !POTS.has(t.from.kind));
  const names = [...new Set(bonds.map((t) => t.from.label))];
  let held = 0n;
  const pot = names.length === 1 ? "the bond" : "the bonds";
  for (const t of dispute.money) {
    if (told.has(t)) continue;
    if (bonds.includes(t)) {
      if (!near) add(t.from.label, pot, BigInt(t.amount), "plain");
      held += BigInt(t.amount);
    } else if (POTS.has(t.from.kind) && !POTS.has(t.to.kind)) {
      add(pot, t.to.label, BigInt(t.amount), TONE[t.why] ?? "plain");
      held -= BigInt(t.amount);
    } else if (!POTS.has(t.from.kind) && !POTS.has(t.to.kind)) {
      add(t.from.label, t.to.label, BigInt(t.amount), TONE[t.why] ?? "plain");
    }
  }
  if (held > 0n && bonds.length > 0) add(pot, "held until the verdict", held, "plain");
  return flows;
}

/** Bonds that wait for the verdict, by who put them up. */
export function bondsHeld(dispute: Dispute): { who: string; amount: bigint }[] {
  const sums = new Map<string, bigint>();
  for (const t of dispute.money) {
    if ((t.why === "bond" || t.why === "appeal_bond") && !POTS.has(t.from.kind)) sums.set(t.from.name ?? t.from.label, (sums.get(t.from.name ?? t.from.label) ?? 0n) + BigInt(t.amount));
  }
  return [...sums].map(([who, amount]) => ({ who, amount }));
}
