//! Parameters, and who may change what.

use gavel_node::board::BeaconScheme;
use gavel_settlement::bindings::Parameters::Params;
use serde_json::{Value, json};

use super::View;
use crate::words::duration;
use gavel_settlement::amount::tokens;

/// A parameter: its name in the contract, its title, its unit, its value.
type Item = (&'static str, &'static str, &'static str, String);

fn groups(p: &Params) -> [(&'static str, &'static str, Vec<Item>); 5] {
    [
        (
            "market",
            "Auction and task",
            vec![
                (
                    "maxTaskPrice",
                    "Largest price ceiling of a task",
                    "amount",
                    p.market.maxTaskPrice.to_string(),
                ),
                (
                    "minThroughput",
                    "Work units a second that a deadline may assume",
                    "per_second",
                    p.market.minThroughput.to_string(),
                ),
                (
                    "execMax",
                    "Longest time from claim to deadline",
                    "seconds",
                    p.market.execMax.to_string(),
                ),
                (
                    "priceFloorBps",
                    "Least starting price, of the ceiling",
                    "bps",
                    p.market.priceFloorBps.to_string(),
                ),
                (
                    "retryEvery",
                    "Normal claims that one retry claim opens the gate for",
                    "count",
                    p.market.retryEvery.to_string(),
                ),
                (
                    "auditLevy",
                    "Levy for audits, per task",
                    "amount",
                    p.market.auditLevy.to_string(),
                ),
                (
                    "challengeWindow",
                    "Time for a challenge",
                    "seconds",
                    p.market.challengeWindow.to_string(),
                ),
                (
                    "revealWindow",
                    "Time after it for showing the challenge",
                    "seconds",
                    p.market.revealWindow.to_string(),
                ),
                (
                    "retractWindow",
                    "Time to take a result back",
                    "seconds",
                    p.market.retractWindow.to_string(),
                ),
                (
                    "seedDelay",
                    "From there to the audit seed",
                    "seconds",
                    p.market.seedDelay.to_string(),
                ),
                (
                    "minCollateral",
                    "Least collateral of a claim",
                    "amount",
                    p.market.minCollateral.to_string(),
                ),
                (
                    "collateralBps",
                    "Collateral, of the ceiling",
                    "bps",
                    p.market.collateralBps.to_string(),
                ),
                (
                    "maxLockedBps",
                    "Most of the stake that may be locked",
                    "bps",
                    p.market.maxLockedBps.to_string(),
                ),
                (
                    "livenessBps",
                    "Collateral lost by a missed deadline",
                    "bps",
                    p.market.livenessBps.to_string(),
                ),
                (
                    "jailSeconds",
                    "Time-out after a missed deadline",
                    "seconds",
                    p.market.jailSeconds.to_string(),
                ),
                (
                    "openLifetime",
                    "Life of a task without a claim",
                    "seconds",
                    p.market.openLifetime.to_string(),
                ),
                (
                    "retryGrace",
                    "A retry that waited longer holds back new claims",
                    "seconds",
                    p.market.retryGrace.to_string(),
                ),
                (
                    "retryLifetime",
                    "Life of a retry without a claim",
                    "seconds",
                    p.market.retryLifetime.to_string(),
                ),
            ],
        ),
        (
            "court",
            "Dispute, referee, verdict",
            vec![
                (
                    "clockBudget",
                    "Chess clock of each side",
                    "seconds",
                    p.court.clockBudget.to_string(),
                ),
                (
                    "clockIncrement",
                    "Gained by each own move",
                    "seconds",
                    p.court.clockIncrement.to_string(),
                ),
                (
                    "refereeSeconds",
                    "Time of a referee",
                    "seconds",
                    p.court.refereeSeconds.to_string(),
                ),
                (
                    "appealWindow",
                    "Time to appeal",
                    "seconds",
                    p.court.appealWindow.to_string(),
                ),
                (
                    "ospSeconds",
                    "Longest appeal",
                    "seconds",
                    p.court.ospSeconds.to_string(),
                ),
                (
                    "beaconSlack",
                    "Allowance for a late beacon",
                    "seconds",
                    p.court.beaconSlack.to_string(),
                ),
                (
                    "maxRedraws",
                    "Referees drawn beyond the first",
                    "count",
                    p.court.maxRedraws.to_string(),
                ),
                (
                    "maxEarlier",
                    "Rulings that point at an earlier operator",
                    "count",
                    p.court.maxEarlier.to_string(),
                ),
                (
                    "safetySlashBps",
                    "Other stake lost by a proved fault",
                    "bps",
                    p.court.safetySlashBps.to_string(),
                ),
                (
                    "requesterBps",
                    "Share of a slash to the requester",
                    "bps",
                    p.court.requesterBps.to_string(),
                ),
                (
                    "challengerBps",
                    "Share of a slash to the challenger",
                    "bps",
                    p.court.challengerBps.to_string(),
                ),
                (
                    "refereeBps",
                    "Share of a slash to the referee",
                    "bps",
                    p.court.refereeBps.to_string(),
                ),
                (
                    "requeueBps",
                    "Share of a slash that raises the next ceiling",
                    "bps",
                    p.court.requeueBps.to_string(),
                ),
                (
                    "burnBps",
                    "Least share of a slash that is burned",
                    "bps",
                    p.court.burnBps.to_string(),
                ),
                (
                    "providerGasCost",
                    "Gas of a dispute, as the bond counts it",
                    "amount",
                    p.court.providerGasCost.to_string(),
                ),
                (
                    "refereeFee",
                    "Fee of a referee",
                    "amount",
                    p.court.refereeFee.to_string(),
                ),
                (
                    "freezeRate",
                    "Pay for a second of false freeze",
                    "amount",
                    p.court.freezeRate.to_string(),
                ),
                (
                    "freezeCap",
                    "Most of it",
                    "amount",
                    p.court.freezeCap.to_string(),
                ),
                (
                    "refereePenalty",
                    "Penalty of a silent referee",
                    "amount",
                    p.court.refereePenalty.to_string(),
                ),
                (
                    "appealBond",
                    "Bond of an appeal",
                    "amount",
                    p.court.appealBond.to_string(),
                ),
                (
                    "appealLevels",
                    "Contract that plays appeals",
                    "address",
                    p.court.appealLevels.to_string(),
                ),
            ],
        ),
        (
            "audit",
            "Random audits",
            vec![
                (
                    "ratePpm",
                    "Share of results that are audited, whatever the record",
                    "ppm",
                    p.audit.ratePpm.to_string(),
                ),
                (
                    "probationTasks",
                    "First results of a provider that are always audited",
                    "count",
                    p.audit.probationTasks.to_string(),
                ),
                (
                    "freshRatePpm",
                    "Share of the first result after them",
                    "ppm",
                    p.audit.freshRatePpm.to_string(),
                ),
                (
                    "recordTasks",
                    "Results over which that falls to the least share",
                    "count",
                    p.audit.recordTasks.to_string(),
                ),
                (
                    "commitSeconds",
                    "Time for an auditor to commit",
                    "seconds",
                    p.audit.commitSeconds.to_string(),
                ),
                (
                    "openSeconds",
                    "Time to open what it committed",
                    "seconds",
                    p.audit.openSeconds.to_string(),
                ),
                (
                    "maxRedraws",
                    "Auditors drawn beyond the first",
                    "count",
                    p.audit.maxRedraws.to_string(),
                ),
                (
                    "fee",
                    "Fee of an auditor",
                    "amount",
                    p.audit.fee.to_string(),
                ),
                (
                    "penalty",
                    "Penalty of a silent auditor",
                    "amount",
                    p.audit.penalty.to_string(),
                ),
            ],
        ),
        (
            "stake",
            "Stake",
            vec![
                (
                    "minStake",
                    "Least stake of an active provider",
                    "amount",
                    p.stake.minStake.to_string(),
                ),
                (
                    "registrationFee",
                    "Paid when registering",
                    "amount",
                    p.stake.registrationFee.to_string(),
                ),
                (
                    "unbondingSeconds",
                    "From the request to the withdrawal",
                    "seconds",
                    p.stake.unbondingSeconds.to_string(),
                ),
                (
                    "unbondingMargin",
                    "Allowance in it",
                    "seconds",
                    p.stake.unbondingMargin.to_string(),
                ),
                (
                    "maxMembers",
                    "Most members of a pool",
                    "count",
                    p.stake.maxMembers.to_string(),
                ),
                (
                    "correlationWindowSeconds",
                    "Convictions within half of it, before and after, count as one attack",
                    "seconds",
                    p.stake.correlationWindowSeconds.to_string(),
                ),
                (
                    "correlationMultiplier",
                    "Times the attack's share of all stake: what an offender loses of the rest",
                    "count",
                    p.stake.correlationMultiplier.to_string(),
                ),
            ],
        ),
        (
            "economics",
            "Assumptions that the others are checked against",
            vec![
                (
                    "gainBps",
                    "Gain from a wrong result, of the price",
                    "bps",
                    p.economics.gainBps.to_string(),
                ),
                (
                    "detectionBps",
                    "Chance that a wrong result is seen when audited",
                    "bps",
                    p.economics.detectionBps.to_string(),
                ),
                (
                    "colludingBps",
                    "Audit capacity that colludes",
                    "bps",
                    p.economics.colludingBps.to_string(),
                ),
            ],
        ),
    ]
}

/// A value, with its unit, for people.
fn told(unit: &str, value: &str) -> String {
    let number: u128 = value.parse().unwrap_or(0);
    match unit {
        "seconds" => duration(number.try_into().unwrap_or(u64::MAX)),
        "amount" => tokens(number),
        "bps" => format!("{} %", number as f64 / 100.0),
        "ppm" => format!("{} %", number as f64 / 10_000.0),
        "per_second" => format!("{number} a second"),
        _ => value.to_owned(),
    }
}

impl View<'_> {
    pub(crate) fn parameters(&self) -> Value {
        let rules = &self.index().rules;
        let newest = rules.last_key_value().map(|(version, _)| *version);
        let versions = rules.iter().rev().map(|(version, (since, params))| {
            let groups = groups(params).map(|(name, title, items)| {
                let items = items.into_iter().map(|(name, title, unit, value)| {
                    let text = told(unit, &value);
                    json!({"name": name, "title": title, "unit": unit, "text": text, "value": value})
                });
                json!({"name": name, "title": title, "items": items.collect::<Vec<_>>()})
            });
            json!({"version": version, "in_force": newest == Some(*version), "since": since, "groups": groups})
        });
        json!({"versions": versions.collect::<Vec<_>>(), "paused": self.board().paused})
    }

    /// Names and titles of parameters, for the search.
    pub(super) fn parameter_titles(&self) -> Vec<(&'static str, &'static str)> {
        let newest = self.index().rules.last_key_value();
        let groups = newest.map(|(_, (_, params))| groups(params));
        let items = groups.into_iter().flatten().flat_map(|(_, _, items)| items);
        items.map(|(name, title, _, _)| (name, title)).collect()
    }

    pub(crate) fn trust(&self) -> Value {
        let d = &self.shared.deployment;
        let trust = self.state.trust.as_ref();
        let delay = trust.and_then(|t| t.delay);
        let wait = delay.map(duration);
        let waits = wait.clone().unwrap_or_else(|| "no time".to_owned());
        let mut statements = vec![
            json!({
                "title": "Nobody can change the contracts",
                "text": "They have no owner and no upgrade. What changes by a decision is the parameters, and a new version of the protocol is another deployment.",
                "ok": true,
            }),
            json!({
                "title": "Nobody can move another's coins",
                "text": "Market, court and audits move coins by the protocol's rules alone; coins leave the vault only by their owners' withdrawals.",
                "ok": true,
            }),
            json!({
                "title": "Parameters change in public",
                "text": format!("A change waits {waits} in the timelock. Tasks that were posted before keep the version that they were posted under."),
                "ok": delay.map(|delay| delay > 0),
            }),
            json!({
                "title": "Who proposes also executes, and cannot give itself more",
                "text": match trust.map(|t| t.admins.iter().all(|a| *a == t.owner)) {
                    Some(true) => "Roles of the timelock are changed through the timelock alone.".to_owned(),
                    Some(false) => "An account may change the timelock's roles without waiting.".to_owned(),
                    None => "Not known yet.".to_owned(),
                },
                "ok": trust.map(|t| t.admins.iter().all(|a| *a == t.owner)),
            }),
        ];
        let period = self.board().beacon.period;
        let draws = format!("A round every {period} s draws audits, auditors and referees.");
        // a play has a chain of its own; elsewhere a contract only says of itself what it is
        statements.push(match (&self.shared.scene, self.board().beacon.scheme) {
            (Some(_), BeaconScheme::Development) => json!({
                "title": "The beacon is the development one",
                "text": format!("{draws} Whoever makes the blocks can choose its values: a real network installs a public beacon."),
                "ok": false,
            }),
            (_, BeaconScheme::Drand) => json!({
                "title": "Nobody chooses the beacon's values",
                "text": format!("{draws} The contract at {:#x} calls itself a verifier of drand: then a value is the hash of a signature that most of a public network's members made, and anybody can publish it. That it is that contract, and which network's key it has, can be read on the chain.", d.beacon),
                "ok": null,
            }),
            (_, BeaconScheme::CommitReveal) => json!({
                "title": "One honest participant keeps the beacon's values secret",
                "text": format!("{draws} The contract at {:#x} says that values come of secrets which participants commit to and reveal. Whoever withholds one loses its bond and its place, and the results that the round was to decide about are audited for certain.", d.beacon),
                "ok": null,
            }),
            (_, BeaconScheme::Fallback) => json!({
                "title": "Nobody chooses the beacon's values",
                "text": format!("{draws} The contract at {:#x} says that it verifies drand, and that a round which nobody publishes within {} s takes the value of secrets which participants commit to afterwards and reveal. Time alone decides between the two.", d.beacon, self.board().beacon.slack),
                "ok": null,
            }),
            _ => json!({
                "title": "Draws are as fair as the beacon",
                "text": format!("{draws} How the beacon at {:#x} comes by its values is not said by the chain: whoever can choose them chooses who is drawn.", d.beacon),
                "ok": null,
            }),
        });
        let account = |label: &str, who: &gavel_node::Address| json!({"label": label, "address": who, "name": self.shared.catalogue.name_of(who)});
        let mut powers = Vec::new();
        if let Some(t) = trust {
            let at = wait.map_or_else(
                || "at once".to_owned(),
                |wait| format!("{wait} after it was proposed"),
            );
            for (can, contract) in [
                (
                    "set new parameters, for tasks posted from then on",
                    "parameters",
                ),
                ("name another guardian", "parameters"),
            ] {
                powers.push(json!({
                    "who": account("the owner of the parameters", &t.owner), "contract": contract, "can": can,
                    "delay_seconds": delay, "text": at,
                }));
            }
            powers.push(json!({
                "who": account("the guardian", &t.guardian), "contract": "parameters",
                "can": "refuse new tasks, and take them again; running ones go on, and no coin moves",
                "delay_seconds": null, "text": "at once",
            }));
        }
        let parties =
            |all: &[gavel_node::Address]| all.iter().map(|who| self.party(who)).collect::<Vec<_>>();
        let about = [
            ("market", d.market, "models, tasks, auction"),
            ("court", d.court, "challenges, disputes, verdicts"),
            ("vault", d.vault, "every coin: stake, escrow, bonds, credit"),
            ("pool", d.pool, "who may be drawn as auditor or referee"),
            ("audits", d.audits, "random audits"),
            (
                "traps",
                d.traps,
                "results that are wrong on purpose, and the deposits of those who find them",
            ),
            (
                "appeal levels",
                d.appeal_levels,
                "appeals, down to one step that is executed on chain",
            ),
            ("parameters", d.parameters, "the numbers, by version"),
        ];
        json!({
            "statements": statements, "powers": powers,
            "timelock": trust.filter(|t| t.delay.is_some()).map(|t| json!({
                "address": t.owner, "delay_seconds": t.delay, "proposers": parties(&t.proposers),
                "executors": parties(&t.executors),
                "pending": t.pending.iter().map(|p| json!({
                    "id": p.id, "ready_at": p.ready_at, "text": format!("a call of {}", self.index().name(&p.target)),
                })).collect::<Vec<_>>(),
            })),
            "guardian": trust.map(|t| self.party(&t.guardian)),
            "immutable": about.map(|(name, address, text)| json!({"name": name, "address": address, "text": text})),
        })
    }
}
