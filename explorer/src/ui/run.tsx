import { Copy } from "./text";

/** A command that anybody may run to see for themselves. */
export function Run({ text, children }: { text: string; children: string }) {
  return (
    <div class="run" data-testid="command">
      <p>{children}</p>
      <div class="box">
        <pre>
          <code>{text}</code>
        </pre>
        <Copy text={text} what="command" />
      </div>
    </div>
  );
}
