//! What the evidence of a dispute shows by itself.

use gavel_trace::{CommitPoint, Evidence, EvidenceError, FineIndex};

use super::{Limits, fact};
use crate::{
    Check, Fact, FileKind, JudgeError, Judgement, Liable, LiableParty, NoStep, Report, StepReport,
    Verdict, judge_told,
};

const KIND: Option<FileKind> = Some(FileKind::Evidence);

/// The report on an evidence file.
pub(super) fn report(file: &[u8], limits: &Limits) -> Report {
    let evidence = match Evidence::parse(file, &limits.evidence) {
        Ok(evidence) => evidence,
        Err(EvidenceError::Format { found }) => {
            let known = gavel_trace::EVIDENCE_FORMAT;
            let check = Check::broken("format of the file", known, found);
            return Report::void(KIND, vec![check]);
        }
        Err(error @ (EvidenceError::TooManyInputs { .. } | EvidenceError::TooLarge { .. })) => {
            return Report::unjudged(KIND, error.to_string());
        }
        Err(error) => return Report::void(KIND, vec![Check::of_evidence(&error)]),
    };
    let mut checks = Vec::new();
    let judged = judge_told(&evidence, &limits.judge, &mut |check| checks.push(check));
    let claims = claims(&evidence);
    match judged {
        Ok(found) => {
            let mut report = judged_report(&evidence, &found);
            checks.append(&mut report.checks);
            Report {
                claims,
                checks,
                ..report
            }
        }
        Err(error @ JudgeError::TooLarge { .. }) => Report {
            claims,
            checks,
            ..Report::unjudged(KIND, error.to_string())
        },
        Err(error) => {
            checks.push(Check::of_judge(&error));
            Report {
                claims,
                ..Report::void(KIND, checks)
            }
        }
    }
}

fn claims(evidence: &Evidence) -> Vec<Fact> {
    let task = &evidence.task;
    let mut claims = vec![
        fact("chain", task.chain_id),
        fact("court", &task.court),
        fact("task", task.task_id),
        fact("attempt", task.attempt),
        fact("provider", &task.provider),
        fact("model", task.model_id),
        fact("input digest", task.input_digest),
        fact("seed", task.seed),
        fact("trace root", evidence.commitment.trace_root),
        fact("steps", evidence.commitment.steps),
    ];
    let at = CommitPoint::at_leaf(evidence.leaf_index, evidence.model.commit_points);
    if let Some(at) = at {
        claims.push(fact("step", at.step));
        claims.push(fact("segment", at.segment));
    }
    claims.push(match evidence.isolated {
        FineIndex::Op(i) => fact("isolated", format!("operator {i} of the segment")),
        FineIndex::Live(slot) => fact("isolated", format!("live slot {slot} of the segment")),
    });
    claims.push(fact("claimed digest", evidence.claimed_digest));
    if let Some(ruling) = &evidence.ruling {
        claims.push(fact("referee", &ruling.referee));
        claims.push(fact("ruled digest", ruling.digest));
    }
    if let Some(element) = &evidence.element {
        claims.push(fact("element", element.element));
    }
    claims
}

/// A file whose every part holds: what it comes down to.
fn judged_report(evidence: &Evidence, found: &Judgement) -> Report {
    let place = match (found.operator, found.node) {
        (Some(operator), Some(node)) => format!("node {node}, {operator}"),
        _ => "the copy in a live slot".to_owned(),
    };
    let mut checks = vec![Check::compare(
        format!("claimed output of {place}, computed again"),
        found.recomputed,
        found.claimed,
    )];
    let task = &evidence.task;
    let mut convicts = Vec::new();
    let mut liable = |party, address: Option<String>| convicts.push(Liable { party, address });
    let (verdict, says) = match found.claim_holds() {
        true => {
            liable(LiableParty::Challenger, None);
            let says = format!("true: provider {} computed {place} rightly", task.provider);
            (Verdict::True, says)
        }
        false => {
            liable(LiableParty::Provider, Some(task.provider.to_string()));
            let says = format!(
                "false: provider {} did not compute what it claims of {place}",
                task.provider
            );
            (Verdict::False, says)
        }
    };
    if let Some(ruling) = &evidence.ruling {
        checks.push(Check::compare(
            "ruling of the referee",
            found.recomputed,
            ruling.digest,
        ));
        if ruling.digest != found.recomputed {
            liable(LiableParty::Referee, Some(ruling.referee.to_string()));
        }
    }
    let mut unchecked = unchecked(evidence);
    match (&found.step, found.no_step, &evidence.element) {
        (Some(step), ..) => checks.push(Check::held("wrong element, step by step", step)),
        (None, Some(NoStep::Right), Some(named)) => checks.push(Check::broken(
            "wrong element, step by step",
            "an element that is wrong",
            format!("element {}, which is right", named.element),
        )),
        (None, Some(NoStep::Batch), Some(named)) => checks.push(Check::broken(
            "wrong element, step by step",
            "a batch of the element's run",
            format!("batch {}", named.batch.unwrap_or_default()),
        )),
        (None, Some(why), _) => unchecked.push(format!("which arithmetic step goes wrong: {why}")),
        (None, None, Some(_)) => checks.push(Check::broken(
            "wrong element, step by step",
            "an element that is wrong",
            "an element of a true claim",
        )),
        (None, None, None) => {}
    }
    Report {
        kind: KIND,
        verdict,
        says,
        convicts,
        claims: Vec::new(),
        checks,
        unchecked,
        step: found.step.as_ref().map(StepReport::from),
    }
}

/// What no hash in the file covers.
fn unchecked(evidence: &Evidence) -> Vec<String> {
    let chain = evidence.task.chain_id;
    let mut unchecked = vec![
        format!(
            "whether the court on chain {chain} has this task, with this provider, model, input and seed, and whether the provider committed this trace root"
        ),
        "what comes before this place: both sides agreed to it, and nobody computed it again here"
            .to_owned(),
        "the other weights and operators of the model: the file opens what this place reads"
            .to_owned(),
    ];
    if evidence.ruling.is_some() {
        unchecked.push(format!(
            "whether the referee that the file names ruled this on chain {chain}"
        ));
    }
    unchecked
}
