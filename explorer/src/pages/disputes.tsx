import { navigate, useRoute } from "../router";
import { plural } from "../format";
import type { DisputeSummary } from "../types";
import { Export, Pages } from "../ui/answer";
import { PageHead, Part, Table } from "../ui/frame";
import { DisputeMark } from "../ui/marks";
import { Left, When, Who } from "../ui/text";

export function DisputesPage() {
  const { query } = useRoute();
  const open = query.get("open") === "true";
  return (
    <>
      <PageHead title="Disputes" under="Somebody ran a task again and got something else. A short game finds the first operator on which the two differ, and one referee computes it." />
      <Part id="disputes" title="All disputes" wide>
        <div class="filters" role="group" aria-label="which">
          <button type="button" aria-pressed={!open} onClick={() => navigate("/disputes")}>
            all
          </button>
          <button type="button" aria-pressed={open} onClick={() => navigate("/disputes?open=true")} data-testid="filter-open">
            running
          </button>
        </div>
        <Pages<DisputeSummary> path={open ? "/disputes?open=true" : "/disputes"} what="the disputes">
          {(rows, total) => (
            <>
              <DisputeTable rows={rows} empty={open ? "No dispute is running." : "Nobody has disputed a result yet. To see one, start `gavel up` with a provider that cheats."} />
              <p class="more soft">
                {plural(total, "dispute")} <Export rows={rows} name="disputes" />
              </p>
            </>
          )}
        </Pages>
      </Part>
    </>
  );
}

export function DisputeTable({ rows, empty }: { rows: DisputeSummary[]; empty: string }) {
  return (
    <Table
      testid="disputes"
      caption="Disputes"
      empty={empty}
      rows={rows}
      rowKey={(d) => d.id}
      columns={[
        {
          name: "Dispute",
          cell: (d) => (
            <>
              <a href={`/disputes/${d.id}`}>Dispute {d.id}</a>
              <small>
                <a href={`/tasks/${d.task}`}>task {d.task}</a>
              </small>
            </>
          ),
        },
        { name: "State", cell: (d) => <DisputeMark state={d.state} /> },
        {
          name: "Accuser",
          cell: (d) => (
            <>
              <Who party={d.challenger} />
              {d.by_audit && <small>drawn as auditor</small>}
            </>
          ),
        },
        { name: "Accused", cell: (d) => <Who party={d.provider} as="providers" /> },
        { name: "Rounds", num: true, cell: (d) => d.round },
        {
          name: "To move",
          cell: (d) =>
            d.turn ? (
              <>
                {d.turn.text}
                {d.turn.deadline !== null && (
                  <small>
                    <Left until={d.turn.deadline + 1} over="no time" /> left
                  </small>
                )}
              </>
            ) : (
              <span class="faint">closed</span>
            ),
        },
        { name: "Opened", num: true, cell: (d) => <When at={d.opened_at} ago /> },
      ]}
    />
  );
}
