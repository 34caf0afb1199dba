//! Parameters as a file that people write: TOML, amounts in tokens, times in seconds, shares in basis points or millionths.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::amount::{self, TOKEN};
use crate::bindings::Parameters::{
    AuditParams, CourtParams, EconomicParams, MarketParams, Params, StakeParams,
};

/// An amount in units of the asset, written in tokens: `1`, `0.25`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens(pub u128);

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&amount::exact(self.0))
    }
}

impl Serialize for Tokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tokens, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Tokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tokens in quotes, like \"0.25\", or a whole number of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tokens, E> {
                amount::parse(text).map(Tokens).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, tokens: u64) -> Result<Tokens, E> {
                Ok(Tokens(u128::from(tokens) * TOKEN))
            }

            fn visit_i64<E: de::Error>(self, tokens: i64) -> Result<Tokens, E> {
                match u64::try_from(tokens) {
                    Ok(tokens) => self.visit_u64(tokens),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(tokens), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// How a value is written in a file.
trait Written {
    fn written(&self) -> String;
}

impl Written for Tokens {
    fn written(&self) -> String {
        format!("\"{self}\"")
    }
}

macro_rules! written_as_number {
    ($($number:ty),*) => {$(
        impl Written for $number {
            fn written(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
written_as_number!(u8, u16, u32, u64);

/// Sections of the file: each key with its type, the contract's name for it, and what it is.
macro_rules! sections {
    ($($section:ident $key:ident $params:ident ($($rest:ident),*) {
        $($name:ident: $type:ident = $field:ident, $help:literal;)*
    })*) => {
        $(
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            struct $section {
                $($name: $type,)*
            }

            impl From<&$params> for $section {
                fn from(params: &$params) -> $section {
                    $section { $($name: sections!(@read $type params.$field),)* }
                }
            }

            impl $section {
                fn write(&self, out: &mut String) {
                    let _ = writeln!(out, "\n[{}]", stringify!($key));
                    $(
                        let line = format!("{} = {}", stringify!($name), self.$name.written());
                        let _ = writeln!(out, "{line:<34} # {}", $help);
                    )*
                }

                fn params(&self) -> $params {
                    $params {
                        $($field: sections!(@write $type self.$name),)*
                        $($rest: Default::default(),)*
                    }
                }
            }
        )*

        /// The protocol's numbers as a file has them; every key is needed, and none is unknown.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct ParamsFile {
            /// Seconds between the rounds of the development beacon.
            pub beacon_period: u64,
            /// Seconds that a change of parameters waits in public.
            pub timelock_delay: u64,
            $($key: $section,)*
        }

        impl ParamsFile {
            /// The file of these parameters.
            pub fn new(params: &Params, beacon_period: u64, timelock_delay: u64) -> ParamsFile {
                ParamsFile {
                    beacon_period,
                    timelock_delay,
                    $($key: (&params.$key).into(),)*
                }
            }

            /// The parameters; the appeal levels are named when they are deployed.
            pub fn params(&self) -> Params {
                Params { $($key: self.$key.params(),)* }
            }

            /// The file's text, each number with what it is.
            pub fn to_toml(&self) -> String {
                let mut out = String::from(
                    "# Parameters of a network. Amounts are in tokens, times in seconds; bps are hundredths of a percent, ppm millionths.\n",
                );
                let _ = writeln!(out, "beacon_period = {:<18} # seconds between rounds of the development beacon", self.beacon_period);
                let _ = writeln!(out, "timelock_delay = {:<17} # a change of parameters waits so long in public", self.timelock_delay);
                $(self.$key.write(&mut out);)*
                out
            }
        }
    };
    (@read Tokens $value:expr) => { Tokens($value) };
    (@read $type:ident $value:expr) => { $value };
    (@write Tokens $value:expr) => { $value.0 };
    (@write $type:ident $value:expr) => { $value };
}

sections! {
    Market market MarketParams () {
        max_task_price: Tokens = maxTaskPrice, "largest price ceiling of a task";
        min_throughput: u64 = minThroughput, "work units a second that a deadline may assume";
        exec_max: u32 = execMax, "longest time from claim to deadline";
        price_floor_bps: u16 = priceFloorBps, "least starting price, as a share of the ceiling";
        retry_every: u16 = retryEvery, "a retry claim opens the gate for this many normal claims";
        audit_levy: Tokens = auditLevy, "paid on top of every task's price, for the audits";
        challenge_window: u32 = challengeWindow, "from the commit: challenges may be committed";
        reveal_window: u32 = revealWindow, "after that: challenges may be revealed";
        retract_window: u32 = retractWindow, "from the commit: a provider may take its result back";
        seed_delay: u32 = seedDelay, "finality and drift before the audit's seed may exist";
        min_collateral: Tokens = minCollateral, "least collateral of a claim";
        collateral_bps: u32 = collateralBps, "collateral, as a share of the price ceiling";
        max_locked_bps: u16 = maxLockedBps, "most of a provider's stake that may be locked";
        liveness_bps: u16 = livenessBps, "share of the collateral that a missed deadline costs";
        jail_seconds: u32 = jailSeconds, "after a missed deadline";
        open_lifetime: u32 = openLifetime, "a task that nobody claims may be expired after this";
        retry_grace: u32 = retryGrace, "a retry that waited longer closes the normal lane";
        retry_lifetime: u32 = retryLifetime, "a retry that nobody claims may be expired after this";
    }
    Court court CourtParams (unused, reserved, appealLevels) {
        clock_budget: u32 = clockBudget, "time to think of each side in a dispute";
        clock_increment: u32 = clockIncrement, "given back for every move, up to the budget";
        referee_seconds: u32 = refereeSeconds, "from the draw to the ruling";
        appeal_window: u32 = appealWindow, "a ruling may be appealed for so long";
        osp_seconds: u32 = ospSeconds, "longest that one appeal may take";
        beacon_slack: u32 = beaconSlack, "within which a due round is published";
        max_redraws: u8 = maxRedraws, "referees drawn beyond the first";
        max_earlier: u8 = maxEarlier, "rulings about an earlier operator in one dispute";
        safety_slash_bps: u16 = safetySlashBps, "of the stake beyond the task's collateral";
        requester_bps: u16 = requesterBps, "share of a slash: to the requester";
        challenger_bps: u16 = challengerBps, "share of a slash: to the challenger or auditor";
        referee_bps: u16 = refereeBps, "share of a slash: to the referee";
        requeue_bps: u16 = requeueBps, "share of a slash: to the next attempt's price";
        burn_bps: u16 = burnBps, "share of a slash: burned, at least half";
        provider_gas_cost: Tokens = providerGasCost, "part of a challenge's bond: the provider's gas";
        referee_fee: Tokens = refereeFee, "part of a challenge's bond: the referee";
        freeze_rate: Tokens = freezeRate, "part of a challenge's bond: a second of being frozen";
        freeze_cap: Tokens = freezeCap, "most that being frozen is worth";
        referee_penalty: Tokens = refereePenalty, "a drawn referee that does not rule";
        appeal_bond: Tokens = appealBond, "what an appeal puts up";
    }
    Audit audit AuditParams () {
        rate_ppm: u32 = ratePpm, "share of results that are audited at random, whatever the record";
        probation_tasks: u32 = probationTasks, "first results of a provider, which are always audited";
        fresh_rate_ppm: u32 = freshRatePpm, "share of the first result after them";
        record_tasks: u32 = recordTasks, "results over which it falls from there to rate_ppm";
        commit_seconds: u32 = commitSeconds, "from the draw to the auditor's commitment";
        open_seconds: u32 = openSeconds, "from the chunk seed to the auditor's openings";
        max_redraws: u8 = maxRedraws, "auditors drawn beyond the first";
        fee: Tokens = fee, "paid to the auditor whatever it finds";
        penalty: Tokens = penalty, "an auditor that does not commit or cannot open";
    }
    Stake stake StakeParams () {
        min_stake: Tokens = minStake, "least stake of an eligible provider";
        registration_fee: Tokens = registrationFee, "prepays a newcomer's audits above rate_ppm";
        unbonding_seconds: u32 = unbondingSeconds, "from asking for stake to having it";
        unbonding_margin: u32 = unbondingMargin, "spare time inside that";
        max_members: u32 = maxMembers, "providers in one class's pool";
        correlation_window_seconds: u32 = correlationWindowSeconds, "convictions within half of it count as one attack";
        correlation_multiplier: u16 = correlationMultiplier, "of the attack's share of all stake: lost of what is left";
    }
    Economics economics EconomicParams () {
        gain_bps: u32 = gainBps, "assumed: gain from one wrong result, as a share of its price ceiling";
        detection_bps: u16 = detectionBps, "assumed: chance that an honest audit sees a wrong result";
        colluding_bps: u16 = colludingBps, "assumed: share of the audit capacity that colludes";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DevParams, Windows, dev_params};

    #[test]
    fn a_file_gives_back_what_it_was_written_from() {
        for windows in [Windows::Fast, Windows::Normal] {
            let params = dev_params(DevParams {
                windows,
                ..DevParams::default()
            });
            let file = ParamsFile::new(&params, 3, 86_400);
            assert_eq!(file.params(), params);
            let text = file.to_toml();
            assert_eq!(toml::from_str::<ParamsFile>(&text).unwrap(), file, "{text}");
            // one line for each number, with its meaning
            let numbers = text.lines().filter(|line| line.contains('='));
            assert!(numbers.clone().all(|line| line.contains(" # ")), "{text}");
            assert_eq!(numbers.count(), 2 + 18 + 20 + 9 + 7 + 3);
        }
    }

    #[test]
    fn what_is_missing_unknown_or_no_amount_is_told_by_its_name() {
        let text = ParamsFile::new(&dev_params(DevParams::default()), 3, 0).to_toml();
        let refused = |text: String| toml::from_str::<ParamsFile>(&text).unwrap_err().to_string();
        let without: Vec<&str> = text.lines().filter(|l| !l.starts_with("fee ")).collect();
        let missing = refused(without.join("\n"));
        assert!(missing.contains("missing field `fee`"), "{missing}");
        let unknown = text.replace("exec_max =", "exec_most =");
        assert!(refused(unknown).contains("unknown field `exec_most`"));
        for amount in ["\"1,5\"", "-1", "0.5", "\"0.1234567890123456789\""] {
            let wrong = text.replace("min_stake = \"100\"", &format!("min_stake = {amount}"));
            let told = refused(wrong);
            assert!(told.contains("min_stake"), "{told}");
        }
    }
}
