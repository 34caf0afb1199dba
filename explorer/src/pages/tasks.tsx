import { useRoute, navigate } from "../router";
import { plural } from "../format";
import type { TaskState, TaskSummary } from "../types";
import { Export, Pages } from "../ui/answer";
import { PageHead, Part, Table } from "../ui/frame";
import { TaskMark } from "../ui/marks";
import { Tokens, When, Who } from "../ui/text";

const STATES: TaskState[] = ["open", "claimed", "committed", "disputed", "settled", "cancelled", "expired"];

export function TasksPage() {
  const { query } = useRoute();
  const state = STATES.find((s) => s === query.get("state"));
  return (
    <>
      <PageHead title="Tasks" under="What requesters asked for, and where each stands." />
      <Part id="tasks" title="All tasks" wide>
        <div class="filters" role="group" aria-label="state">
          <button type="button" aria-pressed={!state} onClick={() => navigate("/tasks")}>
            all
          </button>
          {STATES.map((s) => (
            <button key={s} type="button" aria-pressed={s === state} onClick={() => navigate(`/tasks?state=${s}`)} data-testid={`filter-${s}`}>
              {s}
            </button>
          ))}
        </div>
        <Pages<TaskSummary> path={state ? `/tasks?state=${state}` : "/tasks"} what="the tasks">
          {(tasks, total) => (
            <>
              <TaskTable tasks={tasks} empty={state ? `No task is ${state}.` : "Nobody has posted a task yet: `gavel task post digits picture.png` does."} />
              <p class="more soft">
                {plural(total, "task")} <Export rows={tasks} name="tasks" />
              </p>
            </>
          )}
        </Pages>
      </Part>
    </>
  );
}

export function TaskTable({ tasks, empty }: { tasks: TaskSummary[]; empty: string }) {
  return (
    <Table
      testid="tasks"
      caption="Tasks"
      empty={empty}
      rows={tasks}
      rowKey={(t) => t.id}
      columns={[
        {
          name: "Task",
          cell: (t) => (
            <>
              <a href={`/tasks/${t.id}`}>Task {t.id}</a>
              {t.attempt > 0 && <small>attempt {t.attempt + 1}</small>}
            </>
          ),
        },
        {
          name: "State",
          cell: (t) => (
            <span class="marks">
              <TaskMark state={t.state} />
              {t.disputes.map((d) => (
                <a key={d} href={`/disputes/${d}`} class="soft">
                  dispute {d}
                </a>
              ))}
            </span>
          ),
        },
        { name: "Model", cell: (t) => <a href={`/models/${t.model.id}`}>{t.model.name ?? "unnamed"}</a> },
        { name: "Requester", cell: (t) => <Who party={t.requester} /> },
        { name: "Provider", cell: (t) => (t.provider ? <Who party={t.provider} as="providers" /> : <span class="faint">none yet</span>) },
        {
          name: "Price",
          num: true,
          cell: (t) =>
            t.price !== null ? (
              <Tokens units={t.price} />
            ) : (
              <span class="soft">
                <Tokens units={t.min_price} /> to <Tokens units={t.max_price} />
              </span>
            ),
        },
        { name: "Posted", num: true, cell: (t) => <When at={t.posted_at} ago /> },
      ]}
    />
  );
}
