//! What a receipt shows by itself.

use gavel_trace::{Digest, HexBytes, MAX_HEIGHT, height, live_root};

use super::{Limits, fact};
use crate::report::VOID;
use crate::{Check, FileKind, Report, ShownTensor, SignedReceipt, StoredOutput, Verdict};

/// Inputs and outputs beside a receipt.
type Beside<'a> = (&'a [ShownTensor], &'a [StoredOutput]);

/// The report on a receipt and what lies beside it.
pub(super) fn report(
    receipt: &SignedReceipt,
    beside: Option<Beside<'_>>,
    limits: &Limits,
) -> Report {
    let hash = receipt.signing_hash();
    let claims = vec![
        fact("chain", receipt.chain_id),
        fact("market", &receipt.market),
        fact("task", receipt.task_id),
        fact("attempt", receipt.attempt),
        fact("provider", &receipt.provider),
        fact("class", receipt.class_id),
        fact("model", receipt.model_id),
        fact("input digest", receipt.input_digest),
        fact("output digest", receipt.output_digest),
        fact("trace root", receipt.trace_root),
        fact("steps", receipt.steps),
        fact(
            "signed digest",
            hash.map_or("none".to_owned(), |hash| Digest(hash).to_string()),
        ),
    ];
    let signer = receipt.signer();
    let signer = signer.map_or("nobody".to_owned(), |a| HexBytes(a.to_vec()).to_string());
    let mut report = Report {
        kind: Some(FileKind::Receipt),
        verdict: Verdict::Signed,
        says: format!(
            "provider {} signed that model {} gives this output for this input, in task {} on chain {}",
            receipt.provider, receipt.model_id, receipt.task_id, receipt.chain_id
        ),
        convicts: Vec::new(),
        claims,
        checks: vec![Check::compare(
            "who signed the receipt",
            &receipt.provider,
            signer,
        )],
        unchecked: vec![
            "whether the model gives this output: that takes the model (`gavel verify FILE --model MODEL`)".to_owned(),
            "whether the market on this chain has this task, with this provider and this result".to_owned(),
        ],
        step: None,
    };
    match beside {
        Some(beside) => {
            let wanted = (receipt.input_digest, receipt.output_digest);
            check_beside(&mut report, wanted, beside, limits);
        }
        None => report.unchecked.push(
            "what the input and the output are: the receipt alone has their digests only"
                .to_owned(),
        ),
    }
    if !report.checks.iter().all(|check| check.ok) {
        report.verdict = Verdict::Void;
        report.says = VOID.to_owned();
    }
    report
}

/// Whether the inputs and outputs are those that were signed for.
fn check_beside(
    report: &mut Report,
    (input_digest, output_digest): (Digest, Digest),
    (inputs, outputs): Beside<'_>,
    limits: &Limits,
) {
    let inputs: Vec<_> = inputs.iter().cloned().map(StoredOutput::Whole).collect();
    for (what, expected, values) in [
        (
            "input digest of the inputs in the file",
            input_digest,
            inputs.as_slice(),
        ),
        (
            "output digest of the outputs in the file",
            output_digest,
            outputs,
        ),
    ] {
        match root(values, &expected, limits.tensor_bytes) {
            Ok(found) => report.checks.push(Check::compare(what, expected, found)),
            Err(Unrooted::Wrong(check)) => report.checks.push(Check {
                what: format!("{what}: {}", check.what),
                ..check
            }),
            Err(Unrooted::TooLarge { bytes }) => {
                report.verdict = Verdict::Unjudged;
                let why = format!(
                    "tensors of {bytes} bytes, above the limit of {}",
                    limits.tensor_bytes
                );
                report.says = format!("not judged here: {why}");
                report.unchecked.push(format!("{what}: {why}"));
            }
        }
    }
    let only = outputs
        .iter()
        .filter(|output| matches!(output, StoredOutput::Digest { .. }))
        .count();
    if only != 0 {
        report.unchecked.push(format!(
            "what {only} of the {} outputs are: the file has their digests only",
            outputs.len()
        ));
    }
}

/// Why values have no root.
enum Unrooted {
    Wrong(Check),
    TooLarge { bytes: u64 },
}

/// The root over these values that is `expected`, else the one over the smallest tree. How high the model's live trees are is
/// not in the file; inner nodes and leaves have different tags, so at one height at most it is the root that was signed.
fn root(values: &[StoredOutput], expected: &Digest, most: u64) -> Result<Digest, Unrooted> {
    let wrong = |error| Unrooted::Wrong(Check::of_trace(&error));
    // before anything is hashed: a few bytes may stand for many zeros, many times over
    let mut bytes = 0u64;
    for value in values {
        if let StoredOutput::Whole(tensor) = value {
            bytes = bytes.saturating_add(tensor.byte_len().map_err(wrong)?);
        }
    }
    if bytes > most {
        return Err(Unrooted::TooLarge { bytes });
    }
    let digests =
        values.iter().map(|value| match value {
            // padding of the tree, and no value's digest
            StoredOutput::Digest { digest } if digest.is_zero() => Err(Unrooted::Wrong(
                Check::broken("digest of a value", "a digest", digest),
            )),
            StoredOutput::Digest { digest } => Ok(*digest),
            StoredOutput::Whole(tensor) => tensor.digest().map_err(wrong),
        });
    let digests = digests.collect::<Result<Vec<_>, _>>()?;
    let smallest = height(digests.len() as u64);
    let at = |height| live_root(height, &digests).map_err(wrong);
    for height in smallest..=MAX_HEIGHT {
        if at(height)? == *expected {
            return Ok(*expected);
        }
    }
    at(smallest)
}
