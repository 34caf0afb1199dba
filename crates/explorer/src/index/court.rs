//! Challenges, disputes and appeals, move by move.

use gavel_dispute::Claim;
use gavel_node::Board;
use gavel_settlement::alloy::sol_types::SolCall as _;
use gavel_settlement::bindings::DisputeState;
use gavel_settlement::bindings::ICourt::{self, ICourtEvents};
use gavel_trace::{Digest, ROW_LEVELS};

use super::market::at;
use super::told::Telling;
use super::transaction::Transaction;
use super::{
    AppealTale, ChallengeTale, Closed, DisputeTale, Draw, Index, Level, Place, Range, Round,
    Ruling, Segment, Tone, digest, id, word,
};
use crate::words;
use gavel_settlement::amount::tokens;

impl Index {
    pub(super) fn tale(&mut self, dispute: u64) -> Option<&mut DisputeTale> {
        self.disputes.get_mut(&dispute)
    }

    pub(super) fn court(
        &mut self,
        tx: &Transaction,
        event: &ICourtEvents,
        board: &Board,
        telling: &mut Telling,
    ) {
        let (task, dispute) = super::ledger::about(event);
        if let Some(dispute) = dispute {
            telling.touch_dispute(dispute);
        }
        let task = task.or_else(|| self.disputes.get(&dispute?).map(|d| d.task));
        if let Some(task) = task {
            telling.touch_task(task);
        }
        match event {
            ICourtEvents::ChallengeCommitted(e) => self.challenged(tx, e, telling),
            ICourtEvents::ChallengeForfeited(e) => {
                let what = format!(
                    "burns the bond of {} at task {}: the challenge was never shown",
                    self.name(&e.challenger),
                    e.taskId
                );
                self.step(tx, id(e.taskId), "challenged", &what, None);
                telling.headline(Tone::Bad, what);
            }
            ICourtEvents::DisputeOpened(e) => self.opened(tx, e, telling),
            ICourtEvents::RowRevealed(e) => self.revealed(tx, e, telling),
            ICourtEvents::Picked(e) => self.picked(tx, e, telling),
            ICourtEvents::SegmentPosted(e) => self.segment_posted(tx, e, board, telling),
            ICourtEvents::OperatorIsolated(e) => self.isolated(tx, e, board, telling),
            ICourtEvents::RefereeDrawn(e) => {
                let dispute = id(e.disputeId);
                let what = format!(
                    "draws the referee of dispute {dispute}, by stake: {}",
                    self.name(&e.referee)
                );
                self.name_dispute(&e.referee, dispute);
                if let Some(tale) = self.tale(dispute) {
                    let isolated_at = board.dispute(dispute).map_or(0, |d| d.isolated_at);
                    tale.draws.push(Draw {
                        draw: e.draw,
                        party: e.referee,
                        drawn_at: tx.time,
                        deadline: e.deadline,
                        outcome: "waiting",
                        penalty: 0,
                        transaction: tx.hash,
                        isolated_at,
                    });
                    tale.push(tx, "anyone", "draw_referee", &what);
                }
                telling.touch_provider(&e.referee);
                telling.headline(Tone::Dispute, what);
            }
            ICourtEvents::RefereeMissed(e) => {
                let (dispute, penalty) = (id(e.disputeId), e.penalty);
                let who = self.name(&e.referee);
                // whoever cannot have the input says so itself, and pays nothing
                let (outcome, what) = match tx.from == e.referee {
                    true => (
                        "unavailable",
                        "says that it cannot have the input".to_owned(),
                    ),
                    false => (
                        "missed",
                        format!("ends the turn of referee {who}, which has not ruled"),
                    ),
                };
                self.person(&e.referee).rulings_missed += u64::from(outcome == "missed");
                if let Some(tale) = self.tale(dispute) {
                    if let Some(draw) = tale.draws.last_mut() {
                        (draw.outcome, draw.penalty) = (outcome, penalty);
                    }
                    tale.push(tx, "anyone", "referee_missed", &what);
                }
                telling.touch_provider(&e.referee);
                telling.headline(Tone::Bad, what);
            }
            ICourtEvents::Ruled(e) => self.ruled(tx, e, telling),
            ICourtEvents::EarlierDivergence(e) => self.earlier(tx, e, telling),
            ICourtEvents::Appealed(e) => {
                let dispute = id(e.disputeId);
                let by = Some(e.by).filter(|by| !by.is_zero());
                let what = match by {
                    Some(_) => format!("appeals against the ruling in dispute {dispute}"),
                    None => "no referee can be had: the appeal levels decide".to_owned(),
                };
                if let Some(tale) = self.tale(dispute) {
                    let side = match by {
                        Some(by) if by == tale.challenger => "challenger",
                        Some(_) => "provider",
                        None => "anyone",
                    };
                    tale.appeal = Some(AppealTale {
                        by,
                        bond: e.bond,
                        opened_at: tx.time,
                    });
                    tale.turn_since = tx.time;
                    tale.push(tx, side, "appeal", &what);
                }
                telling.headline(Tone::Dispute, what);
            }
            ICourtEvents::DisputeClosed(e) => self.closed(tx, e, telling),
            ICourtEvents::VerdictPaid(e) => {
                let what = word(&e.what);
                // the shares of a slash are told with it
                if matches!(what.as_str(), "bond" | "appeal bond") {
                    let to = self.name(&e.to);
                    let of = if what == "bond" {
                        "the bond"
                    } else {
                        "the appeal's bond"
                    };
                    telling.detail(format!("{to} gets {} of {of}", tokens(e.amount)));
                }
            }
        }
    }

    fn challenged(
        &mut self,
        tx: &Transaction,
        e: &ICourt::ChallengeCommitted,
        telling: &mut Telling,
    ) {
        let task = id(e.taskId);
        let what =
            format!("has run task {task} too, finds something else, and challenges the result");
        if let Some(tale) = self.tasks.get_mut(&task) {
            let attempt = tale.running_attempt();
            tale.challenges.push(ChallengeTale {
                attempt,
                challenger: e.challenger,
                bond: e.bond,
                committed_at: tx.time,
                dispute: None,
                paid: None,
            });
        }
        self.person(&e.challenger).challenged += 1;
        self.name_task(&e.challenger, task);
        self.step(tx, task, "challenged", &what, None);
        telling.headline(Tone::Dispute, what);
        telling.detail(format!(
            "what it found stays hidden for now; its bond is {}",
            tokens(e.bond)
        ));
    }

    fn opened(&mut self, tx: &Transaction, e: &ICourt::DisputeOpened, telling: &mut Telling) {
        let (dispute, task) = (id(e.disputeId), id(e.taskId));
        let header = self.header_of(task);
        let Some(tale) = self.tasks.get_mut(&task) else {
            return;
        };
        tale.disputes.push(dispute);
        let (model, attempt) = (tale.model, tale.running_attempt());
        let result = tale.attempts.last().and_then(|a| a.result);
        let theirs = tale.challenges.iter_mut().rev();
        let shown = theirs
            .filter(|c| c.challenger == e.challenger && c.attempt == attempt)
            .find(|c| c.dispute.is_none())
            .filter(|_| tx.from == e.challenger);
        let mut money = Vec::new();
        // an audit's dispute comes in a transaction of the auditor's, which may have challenged as well
        let is_reveal = ICourt::revealChallengeCall::abi_decode(&tx.input).is_ok();
        if let Some(challenge) = shown.filter(|_| is_reveal) {
            challenge.dispute = Some(dispute);
            money.extend(challenge.paid.clone());
        }
        let who = self.name(&e.provider);
        let what = format!(
            "shows its own trace of task {task}: it differs; dispute {dispute} is open and {who} is frozen"
        );
        let mut tale = DisputeTale {
            task,
            attempt,
            model,
            header,
            provider: e.provider,
            challenger: e.challenger,
            provider_root: digest(&e.providerRoot),
            challenger_root: digest(&e.challengerRoot),
            output_digest: result.map(|(_, output, _)| output),
            steps: result.map_or(1, |(steps, _, _)| steps),
            by_audit: false,
            opened_at: tx.time,
            moves: Vec::new(),
            rounds: Vec::new(),
            round: 0,
            range: Range {
                level: Level::Trace,
                first: 0,
                last: 0,
            },
            segment: None,
            isolated: None,
            draws: Vec::new(),
            ruling: None,
            appeal: None,
            closed: None,
            money,
            slashes: Vec::new(),
            turn_since: tx.time,
        };
        tale.range.last = tale.leaves(Level::Trace) - 1;
        let range = tale.range;
        tale.push(tx, "challenger", "open", &what).after = Some(range);
        self.disputes.insert(dispute, tale);
        self.name_dispute(&e.provider, dispute);
        self.name_dispute(&e.challenger, dispute);
        self.step(tx, task, "disputed", &what, Some(dispute));
        telling.touch_provider(&e.provider);
        telling.headline(Tone::Dispute, what);
    }

    fn revealed(&mut self, tx: &Transaction, e: &ICourt::RowRevealed, telling: &mut Telling) {
        let Some(tale) = self.tale(id(e.disputeId)) else {
            return;
        };
        let range = tale.range;
        let claim = Claim {
            tree: range.level.tree(),
            node: digest(&e.node),
            height: e.height,
            index: range.first >> e.height,
        };
        let what = words::reveal(&claim, tale.leaves(range.level));
        tale.round += 1;
        let (used, shown) = (tale.used(tx), tale.row(range, e.height, &e.row));
        let own = tale.push(tx, "provider", "reveal_row", &what);
        own.level = Some(range.level);
        (own.before, own.after) = (Some(range), Some(range));
        (own.digests, own.used) = (shown, used);
        telling.headline(Tone::Dispute, what);
    }

    fn picked(&mut self, tx: &Transaction, e: &ICourt::Picked, telling: &mut Telling) {
        let in_segment = ICourt::pickSegmentCall::abi_decode(&tx.input).ok();
        let Some(tale) = self.tale(id(e.disputeId)) else {
            return;
        };
        let before = tale.range;
        let level = match &in_segment {
            Some(call) if call.live => Level::Live,
            Some(_) => Level::Operators,
            None => before.level,
        };
        let range = tale.under(level, e.height, e.index);
        let what = words::pick(level.tree(), e.height, e.index, tale.leaves(level));
        let child = usize::from(e.childIndex);
        let ops = tale.segment.map_or(0, |s| s.ops.min(1 << ROW_LEVELS)) as usize;
        match level {
            // the rows of operators and of live slots were shown in one move
            Level::Live if in_segment.is_some() => tale.mark(ops + child),
            _ => tale.mark(child),
        }
        tale.range = range;
        let used = tale.used(tx);
        let own = tale.push(tx, "challenger", "pick", &what);
        own.level = Some(level);
        (own.before, own.after, own.used) = (Some(before), Some(range), used);
        tale.rounds.push(Round {
            round: tale.round,
            level,
            at_move: tale.moves.len(),
            disputed: range,
        });
        telling.headline(Tone::Dispute, what);
    }

    fn segment_posted(
        &mut self,
        tx: &Transaction,
        e: &ICourt::SegmentPosted,
        board: &Board,
        telling: &mut Telling,
    ) {
        let dispute = id(e.disputeId);
        let found = board.dispute(dispute);
        let Some(tale) = self.disputes.get_mut(&dispute) else {
            return;
        };
        let before = tale.range;
        let (model, points) = (
            tale.model,
            tale.header.map_or(1, |h| h.commit_points.max(1)),
        );
        let known = self.catalogue.model(&model);
        let known = known.and_then(|m| {
            m.segments()
                .get((before.first % u64::from(points)) as usize)
        });
        tale.segment = Some(match known {
            Some(own) => Segment {
                first_node: own.first_node,
                leaf: before.first,
                ops: own.op_count.into(),
                live: own.live.len() as u64,
            },
            None => Segment {
                first_node: found.map_or(0, |d| d.first_node),
                leaf: before.first,
                ops: found.map_or(1, |d| u64::from(d.op_count)).max(1),
                live: found.map_or(1, |d| u64::from(d.live_count)).max(1),
            },
        });
        let operators = tale.leaves(Level::Operators);
        let what = match operators {
            1 => "shows the one operator between there and the commit point before".to_owned(),
            n => format!("shows the digests of the {n} operators that lead there"),
        };
        let range = Range {
            level: Level::Operators,
            first: 0,
            last: operators - 1,
        };
        tale.round += 1;
        tale.range = range;
        let (ops_height, live_height) = tale
            .header
            .map_or((0, 0), |h| (h.ops_height, h.live_height));
        let live = Range {
            level: Level::Live,
            first: 0,
            last: 0,
        };
        let mut shown = tale.row(range, ops_height, &e.opsRow);
        shown.extend(tale.row(live, live_height, &e.liveRow));
        let used = tale.used(tx);
        let own = tale.push(tx, "provider", "post_segment", &what);
        own.level = Some(Level::Operators);
        (own.before, own.after) = (Some(before), Some(range));
        (own.digests, own.used) = (shown, used);
        telling.headline(Tone::Dispute, what);
    }

    fn isolated(
        &mut self,
        tx: &Transaction,
        e: &ICourt::OperatorIsolated,
        board: &Board,
        telling: &mut Telling,
    ) {
        let dispute = id(e.disputeId);
        let first = self.disputes.get(&dispute).and_then(|d| d.segment);
        let first = first.map_or_else(
            || board.dispute(dispute).map_or(0, |d| d.first_node),
            |segment| segment.first_node,
        );
        let index = if e.live {
            e.nodeOrSlot
        } else {
            e.nodeOrSlot.saturating_sub(first)
        };
        let place = Place {
            step: e.step,
            segment: e.segment,
            live: e.live,
            index,
            node_or_slot: e.nodeOrSlot,
            claimed: digest(&e.claimedDigest),
            earlier: false,
        };
        let Some(tale) = self.disputes.get(&dispute) else {
            return;
        };
        let name = self.catalogue.place(&tale.model, &place).name;
        let what = format!("found: the two disagree about {name}, from the same inputs");
        let Some(tale) = self.disputes.get_mut(&dispute) else {
            return;
        };
        tale.isolated = Some(place);
        let level = if e.live {
            Level::Live
        } else {
            Level::Operators
        };
        let range = Range {
            level,
            first: index.into(),
            last: index.into(),
        };
        let before = tale.range;
        tale.range = range;
        let own = tale.push(tx, "challenger", "isolate", &what);
        own.level = Some(level);
        (own.before, own.after) = (Some(before), Some(range));
        telling.headline(Tone::Dispute, what);
    }

    /// The isolated place of a dispute, named.
    fn place_name(&self, dispute: u64) -> String {
        let tale = self.disputes.get(&dispute);
        let place = tale.and_then(|tale| Some((tale.model, tale.isolated?)));
        match place {
            Some((model, place)) => self.catalogue.place(&model, &place).name,
            None => "the operator".to_owned(),
        }
    }

    fn ruled(&mut self, tx: &Transaction, e: &ICourt::Ruled, telling: &mut Telling) {
        let dispute = id(e.disputeId);
        let found = match e.guilty {
            true => "another digest: guilty",
            false => "the provider's digest: cleared",
        };
        let what = format!(
            "rules: {}, computed again, gives {found}",
            self.place_name(dispute)
        );
        self.rule(
            tx,
            dispute,
            "rule",
            &what,
            (e.guilty, digest(&e.ruledDigest), false),
        );
        telling.headline(Tone::Dispute, what);
        telling.detail("the losing side may appeal now".to_owned());
    }

    fn earlier(&mut self, tx: &Transaction, e: &ICourt::EarlierDivergence, telling: &mut Telling) {
        let dispute = id(e.disputeId);
        if let Some(tale) = self.tale(dispute)
            && let (Some(place), Some(segment)) = (&mut tale.isolated, tale.segment)
        {
            place.index = e.index;
            place.node_or_slot = segment.first_node + e.index;
            place.claimed = digest(&e.providerDigest);
            place.earlier = true;
        }
        let what = format!(
            "rules: something before it is wrong already, at {}",
            self.place_name(dispute)
        );
        self.rule(
            tx,
            dispute,
            "rule_earlier",
            &what,
            (true, digest(&e.ownDigest), true),
        );
        telling.headline(Tone::Dispute, what);
        telling.detail("the losing side may appeal now".to_owned());
    }

    fn rule(
        &mut self,
        tx: &Transaction,
        dispute: u64,
        kind: &'static str,
        what: &str,
        (guilty, ruled, earlier): (bool, Digest, bool),
    ) {
        self.person(&tx.from).rulings += 1;
        let Some(tale) = self.tale(dispute) else {
            return;
        };
        tale.ruling = Some(Ruling {
            by: tx.from,
            guilty,
            digest: ruled,
            earlier,
            time: tx.time,
            transaction: tx.hash,
        });
        let used = tale.draws.last_mut().map(|draw| {
            draw.outcome = "ruled";
            tx.time.saturating_sub(draw.drawn_at)
        });
        let place = tale.isolated.filter(|_| earlier);
        let before = tale.range;
        if let Some(place) = place {
            (tale.range.first, tale.range.last) = (place.index.into(), place.index.into());
        }
        let after = tale.range;
        let own = tale.push(tx, "referee", kind, what);
        own.used = used;
        if earlier {
            (own.before, own.after) = (Some(before), Some(after));
        }
    }

    fn closed(&mut self, tx: &Transaction, e: &ICourt::DisputeClosed, telling: &mut Telling) {
        let dispute = id(e.disputeId);
        let (verdict, tone) = match DisputeState::try_from(e.finalState) {
            Ok(DisputeState::Upheld) => ("guilty", Tone::Bad),
            Ok(DisputeState::Cleared) => ("cleared", Tone::Good),
            _ => ("void", Tone::Plain),
        };
        let Some(tale) = self.disputes.get(&dispute) else {
            return;
        };
        let (task, parties) = (tale.task, (tale.provider, tale.challenger));
        let (ruling, reason) = (tale.ruling.clone(), word(&e.reason));
        let overturned = ruling.as_ref().filter(|r| {
            reason == "appeal" && verdict != "void" && r.guilty != (verdict == "guilty")
        });
        let names = (self.name(&parties.0), self.name(&parties.1));
        let why = match (reason.as_str(), verdict) {
            ("ruling", _) => "nobody appealed in time".to_owned(),
            ("timeout", "guilty") => format!("{} let its clock run out", names.0),
            ("timeout", _) => format!("{} let its clock run out", names.1),
            ("moot", _) => "another verdict has ended the attempt".to_owned(),
            ("appeal", "void") => "the appeal had no outcome".to_owned(),
            ("appeal", _) => "the appeal has decided".to_owned(),
            ("appealed", _) => "it was appealed, and there are no appeal levels".to_owned(),
            (other, _) => other.to_owned(),
        };
        let text = match verdict {
            "guilty" => format!("{} is guilty: {why}", names.0),
            "cleared" => format!("{} is cleared: {why}", names.0),
            _ => format!("without a verdict: {why}"),
        };
        match verdict {
            "guilty" => self.person(&parties.0).convicted += 1,
            "cleared" => self.person(&parties.0).cleared += 1,
            _ => {}
        }
        if let Some(ruling) = overturned {
            self.person(&ruling.by).rulings_overturned += 1;
        }
        let what = format!("closes dispute {dispute}: {text}");
        if let Some(tale) = self.tale(dispute) {
            tale.closed = Some(Closed {
                verdict,
                reason,
                text,
                at: at(tx),
                requeued_to: None,
            });
            tale.push(tx, "anyone", "close", &what);
        }
        self.final_disputes.push_back(dispute);
        self.step(tx, task, "verdict", &what, Some(dispute));
        telling.touch_provider(&parties.0);
        telling.headline(tone, what);
    }
}
