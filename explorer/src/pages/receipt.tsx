// A receipt or an evidence file, verified here and compared with the chain.
import { CheckFile } from "../ui/check";
import { PageHead, Part } from "../ui/frame";

export function ReceiptPage() {
  return (
    <>
      <PageHead title="Receipt or evidence" under={"What a provider signed about one result, or what a dispute came down to. Drop the file here: the project\u2019s own verifier checks it in this browser, and the page compares it with the chain. It does not leave this page."} />
      <Part id="file" title="The file" note="A receipt is written by `gavel task result`, evidence by `gavel challenge evidence`.">
        <CheckFile hint="Drop a receipt or an evidence file here, or choose one:" />
      </Part>
    </>
  );
}
