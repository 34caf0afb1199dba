//! Challenges and disputes, move by move.

use gavel_dispute::{Claim, Tree};
use gavel_node::Address;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::DisputeState;
use gavel_settlement::bindings::ICourt::{self, ICourtEvents};
use gavel_trace::{Digest, FineIndex};

use super::transaction::Transaction;
use super::{Chronicle, Said, digest, id, word};
use crate::amount::tokens;
use crate::recompute;
use crate::timeline::{self, Tone};
use crate::{Amount, ChallengeReport, DisputeReport, Fault, MoveReport, RulingReport};

/// A dispute while it is being told.
pub(super) struct DisputeTale {
    pub(super) report: DisputeReport,
    tree: Tree,
    height: u8,
    index: u64,
    /// Leaf of level 1 that was picked.
    leaf: u64,
    /// Steps of the disputed result.
    steps: u32,
    provider: Address,
    /// What was isolated: leaf of level 1, place, and the digest that the provider claims for it.
    claim: Option<(u64, FineIndex, Digest)>,
    /// Whether the transaction at hand is one of its moves.
    moved: bool,
}

impl Chronicle {
    pub(super) fn court(&mut self, tx: &Transaction, event: &ICourtEvents) -> Vec<Said> {
        match event {
            ICourtEvents::ChallengeCommitted(e) => self.challenged(tx, e),
            ICourtEvents::ChallengeForfeited(e) => vec![Said::Headline(
                Tone::Bad,
                format!(
                    "burns the bond of {} at task {}: the challenge was never shown",
                    self.name(&e.challenger),
                    e.taskId
                ),
            )],
            ICourtEvents::DisputeOpened(e) => self.opened(tx, e),
            ICourtEvents::RowRevealed(e) => self.revealed(e),
            ICourtEvents::Picked(e) => self.picked(tx, e),
            ICourtEvents::SegmentPosted(e) => self.segment_posted(e),
            ICourtEvents::OperatorIsolated(e) => self.isolated(tx, e),
            ICourtEvents::RefereeDrawn(e) => {
                let referee = self.name(&e.referee);
                let (dispute, said) = (id(e.disputeId), referee.clone());
                self.dispute(dispute, |d| d.report.referees.push(referee));
                vec![Said::Headline(
                    Tone::Dispute,
                    format!("draws the referee of dispute {dispute}, by stake: {said}"),
                )]
            }
            ICourtEvents::RefereeMissed(e) => {
                self.dispute(id(e.disputeId), |_| {});
                let referee = self.name(&e.referee);
                vec![Said::Headline(
                    Tone::Bad,
                    format!("ends the turn of referee {referee}, who has not ruled"),
                )]
            }
            ICourtEvents::Ruled(e) => self.ruled(tx, e),
            ICourtEvents::EarlierDivergence(e) => self.earlier(tx, e),
            ICourtEvents::Appealed(e) => {
                let who = self.name(&e.by);
                if e.by.is_zero() {
                    return vec![Said::Detail("no referee can be had".to_owned())];
                }
                self.dispute(id(e.disputeId), |d| d.report.appeal = Some(who));
                vec![Said::Headline(
                    Tone::Dispute,
                    format!("appeals against the ruling in dispute {}", e.disputeId),
                )]
            }
            ICourtEvents::DisputeClosed(e) => self.closed(tx, e),
            ICourtEvents::VerdictPaid(e) => self.paid(e),
        }
    }

    /// Changes a dispute and counts the transaction at hand among its moves.
    pub(super) fn dispute(&mut self, dispute: u64, change: impl FnOnce(&mut DisputeTale)) {
        if let Some(tale) = self.disputes.get_mut(&dispute) {
            tale.moved = true;
            change(tale);
        }
    }

    pub(super) fn note_move(&mut self, tx: &Transaction, what: &str) {
        let (who, at) = (self.name(&tx.from), self.at(tx));
        for tale in self.disputes.values_mut() {
            if !std::mem::take(&mut tale.moved) {
                continue;
            }
            tale.report.gas += tx.gas;
            tale.report.moves.push(MoveReport {
                who: who.clone(),
                call: tx.action.to_owned(),
                what: what.to_owned(),
                gas: tx.gas,
                at,
            });
        }
    }

    pub(super) fn opened_by_audit(&mut self, dispute: u64) {
        self.dispute(dispute, |d| d.report.by_audit = true);
    }

    fn challenged(&mut self, tx: &Transaction, e: &ICourt::ChallengeCommitted) -> Vec<Said> {
        let task = id(e.taskId);
        let tale = self.tasks.get(&task);
        let attempt = tale
            .and_then(|t| t.report.attempts.last())
            .map_or(0, |a| a.attempt);
        let challenge = ChallengeReport {
            task,
            challenger: self.name(&e.challenger),
            bond: Amount(e.bond),
            at: self.at(tx),
            dispute: None,
        };
        self.challenges.push((e.challenger, attempt, challenge));
        let (what, lie) = self.told_challenge(&e.challenger, task);
        let bond = format!("its bond is {}", tokens(e.bond));
        let hidden = match lie {
            None => format!("what it found stays hidden for now; {bond}"),
            Some(_) => format!("what it claims to have found stays hidden for now; {bond}"),
        };
        let details = [Some(hidden), lie].into_iter().flatten();
        let mut said = vec![Said::Headline(Tone::Dispute, what)];
        said.extend(details.map(Said::Detail));
        said
    }

    /// What a challenger really does, and where it lies, how.
    fn told_challenge(&self, challenger: &Address, task: u64) -> (String, Option<String>) {
        let attempts = self.tasks.get(&task).map(|tale| &tale.report.attempts);
        let attempt = attempts.and_then(|attempts| attempts.last());
        let is_right = attempt.and_then(|attempt| attempt.honest_trace);
        if is_right == Some(true) && self.has_fault(challenger, Fault::FalseChallenge) {
            let lie = "an honest run finds what the provider found; nobody knows that yet";
            return (
                format!("challenges task {task}, though it is right"),
                Some(lie.to_owned()),
            );
        }
        if is_right == Some(false) && self.has_fault(challenger, Fault::SockPuppet) {
            let friend = attempt.and_then(|attempt| attempt.provider.as_deref());
            let friend = friend.unwrap_or("the provider");
            return (
                format!("challenges task {task} of its friend {friend}, badly on purpose"),
                Some(format!(
                    "it wants a verdict that clears {friend}; nobody knows that yet"
                )),
            );
        }
        let what =
            format!("has run task {task} too, finds something else, and challenges the result");
        (what, None)
    }

    fn opened(&mut self, tx: &Transaction, e: &ICourt::DisputeOpened) -> Vec<Said> {
        let (dispute, task) = (id(e.disputeId), id(e.taskId));
        let attempt = match self.tasks.get_mut(&task) {
            Some(tale) => {
                tale.report.state = "disputed".to_owned();
                tale.report.attempts.last().map_or(0, |a| a.attempt)
            }
            None => 0,
        };
        let theirs = self.challenges.iter_mut().rev();
        if let Some((_, _, challenge)) = theirs
            .filter(|(who, of, c)| *of == attempt && c.task == task && *who == e.challenger)
            .find(|_| tx.action == "revealChallenge")
        {
            challenge.dispute = Some(dispute);
        }
        let report = DisputeReport {
            id: dispute,
            task,
            attempt,
            provider: self.name(&e.provider),
            challenger: self.name(&e.challenger),
            by_audit: false,
            moves: Vec::new(),
            rounds: 0,
            isolated: None,
            referees: Vec::new(),
            ruling: None,
            appeal: None,
            appeal_rounds: 0,
            step: None,
            verdict: "open".to_owned(),
            reason: String::new(),
            gas: 0,
            opened_at: self.at(tx),
            closed_at: None,
        };
        let provider = report.provider.clone();
        let header = self.workload.model().header();
        let tale = DisputeTale {
            report,
            tree: Tree::Level1,
            height: header.trace_height,
            index: 0,
            leaf: 0,
            steps: self.tasks.get(&task).map_or(1, |tale| tale.steps),
            provider: e.provider,
            claim: None,
            moved: true,
        };
        self.disputes.insert(dispute, tale);
        let frozen = Said::Detail(format!(
            "dispute {dispute} is open; {provider} is frozen while it runs"
        ));
        match tx.action {
            "revealChallenge" => vec![
                Said::Headline(
                    Tone::Dispute,
                    format!("shows its own trace of task {task}: it differs"),
                ),
                frozen,
            ],
            _ => vec![frozen],
        }
    }

    fn leaves(&self, tale: &DisputeTale) -> u64 {
        let model = self.workload.model();
        let points = u64::from(model.header().commit_points.max(1));
        let segment = model.segments().get((tale.leaf % points) as usize);
        match tale.tree {
            Tree::Level1 => points * u64::from(tale.steps),
            Tree::Ops => segment.map_or(1, |s| s.op_count.into()),
            Tree::Live => segment.map_or(1, |s| s.live.len() as u64),
        }
    }

    fn revealed(&mut self, e: &ICourt::RowRevealed) -> Vec<Said> {
        let dispute = id(e.disputeId);
        let Some(tale) = self.disputes.get(&dispute) else {
            return Vec::new();
        };
        let claim = Claim {
            tree: tale.tree,
            node: digest(&e.node),
            height: e.height,
            index: tale.index,
        };
        let what = timeline::reveal(&claim, self.leaves(tale));
        self.dispute(dispute, |_| {});
        vec![Said::Headline(Tone::Dispute, what)]
    }

    fn picked(&mut self, tx: &Transaction, e: &ICourt::Picked) -> Vec<Said> {
        let dispute = id(e.disputeId);
        let live = ICourt::pickSegmentCall::abi_decode(&tx.input).map(|call| call.live);
        self.dispute(dispute, |d| {
            d.report.rounds += 1;
            d.height = e.height;
            d.index = e.index;
            match (d.tree, live) {
                (Tree::Level1, _) if e.height == 0 => d.leaf = e.index,
                (_, Ok(true)) => d.tree = Tree::Live,
                _ => {}
            }
        });
        let Some(tale) = self.disputes.get(&dispute) else {
            return Vec::new();
        };
        let what = timeline::pick(tale.tree, e.height, e.index, self.leaves(tale));
        vec![Said::Headline(Tone::Dispute, what)]
    }

    fn segment_posted(&mut self, e: &ICourt::SegmentPosted) -> Vec<Said> {
        let dispute = id(e.disputeId);
        self.dispute(dispute, |d| d.tree = Tree::Ops);
        let Some(tale) = self.disputes.get(&dispute) else {
            return Vec::new();
        };
        let operators = self.leaves(tale);
        let what = match operators {
            1 => "shows the one operator between there and the commit point before".to_owned(),
            n => format!("shows the digests of the {n} operators that lead there"),
        };
        vec![Said::Headline(Tone::Dispute, what)]
    }

    fn isolated(&mut self, tx: &Transaction, e: &ICourt::OperatorIsolated) -> Vec<Said> {
        let (dispute, model) = (id(e.disputeId), self.workload.model().clone());
        let first = model
            .segments()
            .get(e.segment as usize)
            .map_or(0, |s| s.first_node);
        let place = match e.live {
            true => FineIndex::Live(e.nodeOrSlot),
            false => FineIndex::Op(e.nodeOrSlot.saturating_sub(first)),
        };
        let found = timeline::isolated(&model, e.step, e.segment, place);
        let name = found.name.clone();
        let points = u64::from(model.header().commit_points);
        let leaf = u64::from(e.step) * points + u64::from(e.segment);
        self.dispute(dispute, |d| {
            d.report.isolated = Some(found);
            d.claim = Some((leaf, place, digest(&e.claimedDigest)));
        });
        let step = match model.header().max_steps {
            1 => String::new(),
            _ => format!("in step {} ", e.step),
        };
        let told = format!("found: {step}the two disagree about {name}, from the same inputs");
        match tx.action {
            "isolateDirect" => vec![
                Said::Headline(
                    Tone::Dispute,
                    "goes to the operator in one move, by the provider's signed digests".to_owned(),
                ),
                Said::Detail(told),
            ],
            _ => vec![Said::Detail(told)],
        }
    }

    fn ruled(&mut self, tx: &Transaction, e: &ICourt::Ruled) -> Vec<Said> {
        let (dispute, at) = (id(e.disputeId), self.at(tx));
        let referee = self.name(&e.referee);
        let ruling = RulingReport {
            referee,
            guilty: e.guilty,
            at,
        };
        let mut place = None;
        self.dispute(dispute, |d| {
            d.report.ruling = Some(ruling);
            place = d.report.isolated.as_ref().map(|i| i.name.clone());
        });
        let place = place.unwrap_or_else(|| "the operator".to_owned());
        let found = match e.guilty {
            true => "another digest: guilty",
            false => "the provider's digest: cleared",
        };
        let lies = self.has_fault(&e.referee, Fault::LyingReferee);
        let mut said = vec![
            Said::Headline(
                Tone::Dispute,
                format!("rules: {place}, computed again, gives {found}"),
            ),
            Said::Detail(format!(
                "its digest is {:#}; the losing side may appeal now",
                Digest(e.ruledDigest.0)
            )),
        ];
        // a ruling may be right although its referee meant to lie
        if lies && self.is_guilty(dispute) == Some(!e.guilty) {
            said.push(Said::Detail(
                "it computed the opposite; nobody else knows".to_owned(),
            ));
        }
        said
    }

    fn earlier(&mut self, tx: &Transaction, e: &ICourt::EarlierDivergence) -> Vec<Said> {
        let (dispute, at) = (id(e.disputeId), self.at(tx));
        let ruling = RulingReport {
            referee: self.name(&e.referee),
            guilty: true,
            at,
        };
        let claimed = digest(&e.providerDigest);
        self.dispute(dispute, |d| {
            d.report.ruling = Some(ruling);
            if let Some((_, place, of)) = &mut d.claim {
                (*place, *of) = (FineIndex::Op(e.index), claimed);
            }
        });
        vec![
            Said::Headline(
                Tone::Dispute,
                format!(
                    "rules: something before it is wrong already, at operator {} of the segment",
                    e.index
                ),
            ),
            Said::Detail("the losing side may appeal now".to_owned()),
        ]
    }

    /// Whether the provider's claim about the isolated place is false; `None` where nobody here can tell.
    fn is_guilty(&self, dispute: u64) -> Option<bool> {
        let tale = self.disputes.get(&dispute)?;
        let (leaf, place, claimed) = tale.claim?;
        let task = self.tasks.get(&tale.report.task)?;
        let inputs = self.workload.input(&task.input_digest)?;
        let provider = self.people.get(&tale.provider)?.executor.as_ref()?;
        let model = self.workload.model().model_id();
        let run = provider.run(&model, &inputs.tensors).ok()?;
        let honest = self.workload.honest();
        let again = recompute::honest_digest(honest, provider.as_ref(), &run, leaf, place)?;
        Some(again != claimed)
    }

    fn closed(&mut self, tx: &Transaction, e: &ICourt::DisputeClosed) -> Vec<Said> {
        let (dispute, at) = (id(e.disputeId), self.at(tx));
        let (verdict, tone) = match DisputeState::try_from(e.finalState) {
            Ok(DisputeState::Upheld) => ("guilty", Tone::Bad),
            Ok(DisputeState::Cleared) => ("cleared", Tone::Good),
            _ => ("void", Tone::Plain),
        };
        let reason = word(&e.reason);
        let mut provider = String::new();
        let mut task = None;
        self.dispute(dispute, |d| {
            d.report.verdict = verdict.to_owned();
            d.report.reason.clone_from(&reason);
            d.report.closed_at = Some(at);
            provider.clone_from(&d.report.provider);
            task = Some(d.report.task);
        });
        // another verdict or requeue says where the task goes on from here; one that came before has said so
        let task = task.filter(|_| reason != "moot");
        if let Some(tale) = task.and_then(|t| self.tasks.get_mut(&t)) {
            tale.report.state = "committed".to_owned();
        }
        let why = match reason.as_str() {
            "ruling" => "nobody appealed in time".to_owned(),
            "timeout" => match verdict {
                "guilty" => "it let its clock run out".to_owned(),
                _ => "the challenger let its clock run out".to_owned(),
            },
            "moot" => "another verdict has ended the attempt".to_owned(),
            "appeal" => match verdict {
                "void" => "the appeal had no outcome".to_owned(),
                _ => "the appeal has decided".to_owned(),
            },
            other => other.to_owned(),
        };
        let what = match verdict {
            "guilty" => format!("closes dispute {dispute}: {provider} is guilty; {why}"),
            "cleared" => format!("closes dispute {dispute}: {provider} is cleared; {why}"),
            _ => format!("closes dispute {dispute} without a verdict: {why}"),
        };
        vec![Said::Headline(tone, what)]
    }

    fn paid(&mut self, e: &ICourt::VerdictPaid) -> Vec<Said> {
        let what = word(&e.what);
        // the shares of a slash are told with it
        if self.is_splitting() && what != "bond" && what != "appeal bond" {
            return Vec::new();
        }
        let (to, amount) = (self.name(&e.to), tokens(e.amount));
        let challenger = self
            .disputes
            .get(&id(e.disputeId))
            .map(|d| d.report.challenger.as_str());
        let back = e.to == self.deployment.audits || challenger == Some(to.as_str());
        vec![Said::Detail(match (what.as_str(), back) {
            ("bond", true) => format!("{to} gets the bond of {amount} back"),
            ("bond", false) => format!("{to} gets {amount} of the challenger's bond"),
            ("referee", _) => {
                format!("{to} is paid {amount} for the ruling, out of the bond")
            }
            ("appeal bond", _) => format!("{to} gets the appeal's bond of {amount}"),
            ("restitution", _) => format!("{to} gets {amount} of the referee's stake"),
            (other, _) => format!("{to} gets {amount} ({other})"),
        })]
    }
}
