//! Segments against a map, and against damage.

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::super::tables::Tables;
use super::*;

type Model = BTreeMap<Slot, U256>;

fn slot(n: u64) -> Slot {
    // two accounts, with neighbours and with what is far from everything
    let address = Address::repeat_byte(1 + (n % 2) as u8);
    let n = U256::from(n / 2);
    match n.bit(0) {
        true => (address, n),
        false => (
            address,
            U256::from_be_bytes(alloy::primitives::keccak256(n.to_be_bytes::<32>()).0),
        ),
    }
}

fn tables(slots: &[(u64, u64)]) -> Tables {
    let mut tables = Tables::default();
    for (n, value) in slots {
        tables.slots.insert(slot(*n), U256::from(*value));
    }
    tables
}

/// Segments of these layers, the newest last, and what is in them.
struct Shelf {
    folder: tempfile::TempDir,
    cold: Cold,
    model: Model,
    next: u64,
}

impl Shelf {
    fn of(layers: &[Vec<(u64, u64)>], cache: u64) -> Shelf {
        let cache = Arc::new(Cache::new(cache));
        let mut shelf = Shelf {
            folder: tempfile::tempdir().unwrap(),
            cold: Cold::new(Vec::new(), cache),
            model: Model::new(),
            next: 0,
        };
        for layer in layers {
            let order = shelf.order();
            let segment = of_tables(&order, &tables(layer)).unwrap();
            shelf.cold.take_in(segment, &[]);
            shelf.model.extend(
                layer
                    .iter()
                    .map(|(n, value)| (slot(*n), U256::from(*value))),
            );
        }
        shelf
    }

    fn order(&mut self) -> Order {
        self.next += 1;
        Order {
            folder: self.folder.path().to_owned(),
            id: self.next,
            stop: Arc::default(),
        }
    }

    fn file(&self, id: u64) -> PathBuf {
        segment::path(self.folder.path(), id)
    }

    /// Opens all of it again.
    fn again(&self) -> Result<Cold, StateError> {
        let references = self.cold.references();
        Cold::open(
            self.folder.path(),
            &references,
            Arc::clone(&self.cold.cache),
        )
    }

    fn is_right(&self, cold: &Cold, n: u64) {
        let found = cold.slot(&slot(n)).unwrap();
        assert_eq!(found, self.model.get(&slot(n)).copied(), "{n}");
    }
}

fn layers() -> impl Strategy<Value = Vec<Vec<(u64, u64)>>> {
    let layer = prop::collection::vec((0..700_u64, 0..3_u64), 0..500);
    prop::collection::vec(layer, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn segments_say_what_was_written_last_also_when_they_are_merged(
        layers in layers(),
        (from, count) in (any::<prop::sample::Index>(), 1..5_usize),
        cache in prop_oneof![Just(0), Just(20_000_u64)],
    ) {
        let mut shelf = Shelf::of(&layers, cache);
        for n in 0..800 {
            shelf.is_right(&shelf.cold, n);
        }
        let all = shelf.cold.all([].into_iter());
        let from = from.index(layers.len());
        let run = shelf.cold.segments()[from..].iter().take(count).cloned().collect::<Vec<_>>();
        let are_oldest = from + run.len() == layers.len();
        let merged = of_segments(&shelf.order(), &run, are_oldest).unwrap();
        prop_assert_eq!(merged.reference.tier, 1);
        let ids: Vec<u64> = run.iter().map(|s| s.reference.id).collect();
        shelf.cold.take_in(merged, &ids);
        prop_assert_eq!(shelf.cold.segments().len(), layers.len() + 1 - run.len());
        prop_assert_eq!(shelf.cold.all([].into_iter()), all);
        let again = shelf.again().unwrap();
        for n in 0..800 {
            let value = again.slot(&slot(n)).unwrap().unwrap_or_default();
            prop_assert_eq!(value, shelf.model.get(&slot(n)).copied().unwrap_or_default());
        }
        if run.len() == layers.len() {
            // nothing is under them for a zero to hide
            prop_assert_eq!(again.entries(), shelf.model.values().filter(|v| !v.is_zero()).count() as u64);
        }
    }

    #[test]
    fn a_flipped_bit_is_seen_when_a_segment_is_opened_and_never_read_as_something_else(
        at in any::<prop::sample::Index>(), flip in 1..=255_u8,
    ) {
        let layer: Vec<_> = (0..600).map(|n| (n, n * n)).collect();
        let shelf = Shelf::of(&[layer], 0);
        let cold = shelf.again().unwrap();
        let mut bytes = fs::read(shelf.file(1)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(shelf.file(1), &bytes).unwrap();
        let is_another = matches!(shelf.again(), Err(StateError::Other { .. }));
        prop_assert!(is_another);
        for n in 0..700 {
            match cold.slot(&slot(n)) {
                Ok(found) => prop_assert_eq!(found, shelf.model.get(&slot(n)).copied()),
                Err(StateError::Damaged { .. }) => {}
                Err(error) => prop_assert!(false, "{error}"),
            }
        }
        if (16..bytes.len() / 2).contains(&at) {
            // what is merged is read first
            let order = Order { id: 9, folder: shelf.folder.path().to_owned(), stop: Arc::default() };
            let merged = of_segments(&order, cold.segments(), true);
            let is_refused = matches!(merged, Err(StateError::Damaged { .. }));
            prop_assert!(is_refused);
        }
    }
}

#[test]
fn a_segment_that_is_cut_or_longer_is_none() {
    let layer: Vec<_> = (0..200).map(|n| (n, n + 1)).collect();
    let shelf = Shelf::of(&[layer], 0);
    let whole = fs::read(shelf.file(1)).unwrap();
    for end in 0..whole.len() {
        fs::write(shelf.file(1), &whole[..end]).unwrap();
        assert!(shelf.again().is_err(), "cut at {end}");
    }
    fs::write(shelf.file(1), [&whole[..], &[0]].concat()).unwrap();
    assert!(shelf.again().is_err());
    fs::remove_file(shelf.file(1)).unwrap();
    assert!(matches!(shelf.again(), Err(StateError::Io { .. })));
    fs::write(shelf.file(1), &whole).unwrap();
    shelf.again().unwrap();
}

#[test]
fn what_was_never_written_is_not_looked_for_on_disk() {
    let layers: Vec<Vec<_>> = (0..3_u64)
        .map(|layer| (0..20_000).map(|n| (3 * n + layer, n + 1)).collect())
        .collect();
    let shelf = Shelf::of(&layers, 1 << 20);
    // filters and indexes are read once
    for n in (0..60_000).step_by(7) {
        shelf.is_right(&shelf.cold, 1_000_000 + n);
    }
    let before = shelf.cold.pages_read();
    for n in 0..20_000 {
        shelf.is_right(&shelf.cold, 2_000_000 + n);
    }
    // three filters of which each is wrong once in a hundred times
    let read = shelf.cold.pages_read() - before;
    assert!(read < 1_200, "{read} of 60,000");
    assert!(shelf.cold.bytes() < 2 << 20);
    for n in (0..60_000).step_by(13) {
        shelf.is_right(&shelf.cold, n);
    }
}

#[test]
fn a_cache_holds_no_more_than_it_may() {
    let layer: Vec<_> = (0..30_000).map(|n| (n, n + 1)).collect();
    let shelf = Shelf::of(&[layer], 50_000);
    for n in (0..30_000).step_by(11) {
        shelf.is_right(&shelf.cold, n);
        assert!(shelf.cold.cache.bytes() <= 50_000);
    }
    assert!(shelf.cold.cache.bytes() > 25_000);
}

#[test]
fn accounts_are_kept_as_slots_are() {
    let mut some = Tables::default();
    let [rich, gone, other] = [3, 4, 5].map(Address::repeat_byte);
    let holding = Holding {
        nonce: 7,
        ..Holding::of(U256::MAX)
    };
    some.accounts.insert(rich, holding);
    some.accounts.insert(gone, Holding::NONE);
    let mut shelf = Shelf::of(&[], 0);
    let segment = of_tables(&shelf.order(), &some).unwrap();
    shelf.cold.take_in(segment, &[]);
    let cold = shelf.again().unwrap();
    assert_eq!(cold.account(&rich).unwrap(), Some(holding));
    assert_eq!(cold.account(&gone).unwrap(), Some(Holding::NONE));
    assert_eq!(cold.account(&other).unwrap(), None);
    assert_eq!(cold.slot(&(rich, U256::ZERO)).unwrap(), None);
}

#[test]
fn what_nobody_refers_to_goes_and_what_was_not_finished() {
    let shelf = Shelf::of(&[vec![(1, 1)], vec![(2, 2)], vec![(3, 3)]], 0);
    let folder = shelf.folder.path();
    let unfinished = folder.join("chain.state-9.new");
    let foreign = folder.join("chain.state-x");
    for path in [&unfinished, &foreign] {
        fs::write(path, "").unwrap();
    }
    assert_eq!(tidy(folder).unwrap(), 4);
    assert!(!unfinished.exists());
    sweep(folder, 3, &[1].into()).unwrap();
    let there = [1, 2, 3].map(|id| shelf.file(id).exists());
    assert_eq!((there, foreign.exists()), ([true, false, true], true));
}
