import { store } from "./store";

export type Theme = "system" | "light" | "dark";
const KEY = "gavel-theme";

const stored = document.documentElement.dataset.theme;
export const theme = store<Theme>(stored === "dark" || stored === "light" ? stored : "system");

export function setTheme(next: Theme) {
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
  } catch {
    // not remembered, then
  }
  theme.set(next);
}
