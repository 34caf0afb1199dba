import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/parts.css";
import "./styles/dispute.css";
import { render } from "preact";
import { useErrorBoundary } from "preact/hooks";
import { DisputePage } from "./dispute/page";
import { listen, useStatus } from "./live";
import { AuctionPage } from "./pages/auction";
import { AuditPage, AuditsPage } from "./pages/audits";
import { DisputesPage } from "./pages/disputes";
import { ModelPage, ModelsPage } from "./pages/models";
import { AccountPage, ProviderPage, ProvidersPage } from "./pages/providers";
import { ReceiptPage } from "./pages/receipt";
import { TaskPage } from "./pages/task";
import { TasksPage } from "./pages/tasks";
import { ParametersPage, TrustPage } from "./pages/trust";
import { followLinks, useRoute } from "./router";
import { PageHead } from "./ui/frame";
import { Notice } from "./ui/text";
import { Top } from "./ui/top";

function Place({ path }: { path: string[] }) {
  const [first = "", second, third] = path;
  switch (`${first}/${path.length}`) {
    case "/0":
      return <AuctionPage />;
    case "tasks/1":
      return <TasksPage />;
    case "tasks/2":
      return <TaskPage id={second!} />;
    case "disputes/1":
      return <DisputesPage />;
    case "disputes/2":
      return <DisputePage id={second!} />;
    case "providers/1":
      return <ProvidersPage />;
    case "providers/2":
      return <ProviderPage address={second!} />;
    case "accounts/2":
      return <AccountPage address={second!} />;
    case "audits/1":
      return <AuditsPage />;
    case "audits/3":
      return <AuditPage task={second!} attempt={third!} />;
    case "models/1":
      return <ModelsPage />;
    case "models/2":
      return <ModelPage id={second!} />;
    case "trust/1":
      return <TrustPage />;
    case "parameters/1":
      return <ParametersPage />;
    case "receipt/1":
      return <ReceiptPage />;
    default:
      return (
        <>
          <PageHead title="There is no such page" />
          <Notice testid="error">
            <p>
              Nothing is at <span class="mono">/{path.join("/")}</span>. <a href="/">To the auction</a>, or search for an id, an address or a digest.
            </p>
          </Notice>
        </>
      );
  }
}

/** A page that cannot be drawn says so; the head stays, so that one can go elsewhere. */
function Safe({ path }: { path: string[] }) {
  const [error, again] = useErrorBoundary((cause) => console.error(cause));
  if (!error) return <Place path={path} />;
  return (
    <>
      <PageHead title="This page cannot be drawn" />
      <Notice tone="barred" role="alert" testid="error">
        <p>The server said something that this page does not understand: {String(error)}</p>
        <p>
          <button type="button" onClick={again}>
            Try again
          </button>
        </p>
      </Notice>
    </>
  );
}

function App() {
  const { path } = useRoute();
  const status = useStatus();
  return (
    <>
      <Top />
      <main id="main">
        <Safe key={path.join("/")} path={path} />
      </main>
      <footer class="foot">
        <span>Gavel {status?.version}</span>
        {status && <span>chain {status.chain_id}</span>}
        <a href="/parameters">parameters</a>
        <a href="/LICENSES.txt" target="_self">
          licences of what this page contains
        </a>
        <span>
          <kbd>/</kbd> searches
        </span>
      </footer>
    </>
  );
}

followLinks();
listen();
render(<App />, document.getElementById("app")!);
