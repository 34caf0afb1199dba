import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

/** The width that an element has, followed. */
export function useWidth(ref: RefObject<HTMLElement | null>, initial = 720): number {
  const [width, setWidth] = useState(initial);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const read = () => {
      const next = Math.round(element.clientWidth);
      if (next > 0) setWidth(next);
    };
    read();
    const observer = new ResizeObserver(read);
    observer.observe(element);
    return () => observer.disconnect();
  }, [ref]);
  return width;
}
