// Addresses: the path names what is shown, the hash a place in it (`#round=7&node=4`).
import { store, useStore } from "./store";

export interface Route {
  /** Path segments, decoded. */
  path: string[];
  query: URLSearchParams;
  hash: URLSearchParams;
}

function read(): Route {
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  };
  return {
    path: location.pathname.split("/").filter(Boolean).map(decode),
    query: new URLSearchParams(location.search),
    hash: new URLSearchParams(location.hash.slice(1)),
  };
}

const route = store<Route>(read());
export const useRoute = () => useStore(route);

export function navigate(to: string) {
  history.pushState(null, "", to);
  route.set(read());
  window.scrollTo(0, 0);
}

/** Changes the place within the page; `null` removes a key. Scrubbing replaces, so that "back" leaves the page. */
export function setPlace(place: Record<string, string | null>) {
  const hash = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(place)) {
    if (value === null) hash.delete(key);
    else hash.set(key, value);
  }
  const text = hash.toString();
  history.replaceState(null, "", location.pathname + location.search + (text ? `#${text}` : ""));
  route.set(read());
}

/** Links within the site change the page without loading it anew. */
export function followLinks() {
  addEventListener("popstate", () => route.set(read()));
  addEventListener("hashchange", () => route.set(read()));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest("a");
    const href = link?.getAttribute("href");
    if (!link || !href || !href.startsWith("/") || link.hasAttribute("download") || link.target || href.startsWith("/api/")) return;
    event.preventDefault();
    navigate(href);
  });
}
