// Who has to read again when something happens. Pure.

/** What has changed: a new head moves times only, a transaction touches some pages, after a gap it may be anything. */
export type Change = "head" | "all" | string[];

/** Whether a change concerns what is at `path`. */
export function concerns(path: string, change: Change): boolean {
  const [, kind, id, rest] = /^\/(\w+?)s?(?:\/([^?]+?)(\/graph)?)?(?:\?.*)?$/.exec(path) ?? [];
  // a model's id is a hash of its graph
  if (rest) return false;
  if (change === "all" || change === "head") return true;
  if (kind === "trust" || kind === "parameter") return change.includes("parameters");
  if (kind === "auction") return change.includes("auction");
  if (!id || kind === "account") return true;
  return change.some((touched) => touched.toLowerCase() === `${kind}/${id}`.toLowerCase());
}
