//! From what was measured to what may be promised: price, concurrency, deadline. No clock, no chain.

/// Times of runs, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    /// How many runs.
    pub(crate) runs: usize,
    /// The middle one.
    pub(crate) median: f64,
    /// The shortest.
    pub(crate) least: f64,
    /// The longest.
    pub(crate) most: f64,
}

impl Spread {
    /// Of no runs there is none.
    pub(crate) fn of(mut seconds: Vec<f64>) -> Option<Spread> {
        seconds.sort_by(f64::total_cmp);
        let (least, most) = (*seconds.first()?, *seconds.last()?);
        let middle = seconds.len() / 2;
        let median = match seconds.len() % 2 {
            0 => (seconds[middle - 1] + seconds[middle]) / 2.0,
            _ => seconds[middle],
        };
        Some(Spread {
            runs: seconds.len(),
            median,
            least,
            most,
        })
    }
}

/// What the price is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Units of the asset an hour.
    pub(crate) per_hour: u128,
    /// Percent of the time with work.
    pub(crate) utilisation: u32,
    /// Percent on top.
    pub(crate) margin: u32,
}

/// Lowest price of a task that takes so long, in units of the asset, rounded up.
pub(crate) fn lowest_price(seconds: f64, cost: Cost) -> u128 {
    // whole microseconds, so that the amount is exact; a run is no shorter
    let micros = (seconds * 1e6).ceil().max(1.0) as u128;
    let paid = cost
        .per_hour
        .saturating_mul(micros)
        .saturating_mul(100 + u128::from(cost.margin));
    paid.div_ceil(3_600_000_000 * u128::from(cost.utilisation.max(1)))
}

/// Times the longest run that a deadline has to leave room for: other programs, a cold disk, heat.
pub(crate) const RESERVE: f64 = 2.0;
/// Seconds for round trips to a chain that answers slowly.
pub(crate) const ROUND_TRIPS: u32 = 10;

/// Seconds from claim to deadline that so many tasks need: their runs follow each other.
pub(crate) fn needed_seconds(longest: f64, tasks: u32) -> u32 {
    let seconds = (longest * RESERVE * f64::from(tasks)).ceil();
    (seconds.min(f64::from(u32::MAX / 2)) as u32).saturating_add(ROUND_TRIPS)
}

/// Tasks that may be claimed at once: all of them done before a deadline, all of them in memory. At least one, which is to be
/// told apart by [`needed_seconds`].
pub(crate) fn concurrency(longest: f64, deadline: u32, memory: Option<(u64, u64)>) -> u32 {
    /// More than anybody gains by; what is claimed and late costs stake.
    const MOST: u32 = 64;
    let room = f64::from(deadline.saturating_sub(ROUND_TRIPS));
    let by_time = (room / (longest * RESERVE).max(1e-9)).floor() as u32;
    let by_memory = memory.map_or(MOST, |(free, each)| {
        u32::try_from(free / each.max(1)).unwrap_or(u32::MAX)
    });
    by_time.min(by_memory).clamp(1, MOST)
}

/// How much of the shortest deadline that the network allows is left after the longest run: negative where it is late.
pub(crate) fn floor_reserve(longest: f64, floor: u64) -> f64 {
    1.0 - longest / (floor.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: u128 = 10u128.pow(18);

    #[test]
    fn a_spread_is_of_all_runs() {
        assert_eq!(Spread::of(vec![]), None);
        let odd = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.runs, odd.median), (3, 2.0));
        assert_eq!((odd.least, odd.most), (1.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
    }

    #[test]
    fn a_price_pays_for_the_time_with_and_without_work() {
        let cost = |utilisation, margin| Cost {
            per_hour: 36 * TOKEN,
            utilisation,
            margin,
        };
        // 36 an hour are 0.01 a second
        assert_eq!(lowest_price(1.0, cost(100, 0)), TOKEN / 100);
        assert_eq!(lowest_price(10.0, cost(50, 0)), TOKEN / 5);
        assert_eq!(lowest_price(10.0, cost(50, 20)), TOKEN * 24 / 100);
        // never below the cost, and never nothing
        let tiny = Cost {
            per_hour: 1,
            utilisation: 100,
            margin: 0,
        };
        assert_eq!(lowest_price(1e-9, tiny), 1);
        let least = Cost {
            per_hour: 0,
            ..tiny
        };
        assert_eq!(lowest_price(5.0, least), 0);
        let huge = Cost {
            per_hour: u128::MAX,
            ..tiny
        };
        assert!(lowest_price(1e9, huge) > 0);
    }

    #[test]
    fn what_is_claimed_at_once_is_done_before_the_deadline() {
        // 10 s for round trips, twice the longest run for each
        assert_eq!(concurrency(1.0, 30, None), 10);
        assert_eq!(concurrency(1.0, 31, None), 10);
        assert_eq!(concurrency(1.0, 32, None), 11);
        assert_eq!(concurrency(100.0, 30, None), 1);
        assert_eq!(concurrency(1e-12, 3_600, None), 64);
        assert_eq!(concurrency(1.0, 0, None), 1);
        // 3 GiB for runs of one
        assert_eq!(concurrency(1.0, 3_600, Some((3 << 30, 1 << 30))), 3);
        assert_eq!(concurrency(1.0, 3_600, Some((0, 1 << 30))), 1);
        for (longest, deadline) in [(0.3, 30), (1.7, 60), (9.0, 3_600)] {
            let tasks = concurrency(longest, deadline, None);
            assert!(needed_seconds(longest, tasks) <= deadline, "{longest}");
        }
        assert_eq!(needed_seconds(1.0, 3), 16);
        assert!(needed_seconds(f64::INFINITY, 1) > 1 << 30);
    }

    #[test]
    fn a_floor_is_met_or_not() {
        assert_eq!(floor_reserve(1.0, 4), 0.75);
        assert_eq!(floor_reserve(8.0, 4), -1.0);
        assert!(floor_reserve(0.5, 0) > 0.0);
    }
}
