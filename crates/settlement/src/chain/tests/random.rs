//! Whatever happens to a chain, in whatever order: where it is kept, and how often it was saved and opened again, changes
//! nothing that can be seen.

use proptest::prelude::*;

use super::home::Home;
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Create,
    Pay(u64),
    Record(u64),
    /// Slots of the writer from a number on, which are as many in each call.
    Write(u64, u64),
    Fail,
    Mine,
    Wait(u64),
    Reorg(usize),
    /// Not of the chain: what is done to the one that is compared.
    Save,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => Just(Act::Create),
        4 => (0..9_u64).prop_map(Act::Pay),
        6 => (0..40_u64).prop_map(Act::Record),
        4 => (0..60_u64, 0..3_u64).prop_map(|(base, value)| Act::Write(base, value)),
        1 => Just(Act::Fail),
        3 => Just(Act::Mine),
        2 => (0..99_u64).prop_map(Act::Wait),
        3 => (0..9_usize).prop_map(Act::Reorg),
        3 => Just(Act::Save),
        3 => Just(Act::Reopen),
    ]
}

/// What came of it: a transaction's hash, dropped transactions, or a refusal in words.
fn done(chain: &mut Chain, act: &Act) -> Result<Vec<Bytes>, String> {
    let nonce = chain.nonce(key().address()).unwrap();
    let writer = key().address().create(1);
    let submitted = |hash: Result<B256, ChainError>| hash.map(|h| vec![h.0.into()]);
    let done = match *act {
        Act::Create => submitted(chain.submit(&create(nonce))),
        Act::Pay(wei) => submitted(chain.submit(&pay(nonce, wei))),
        Act::Record(about) => submitted(chain.submit(&record(nonce, about))),
        Act::Write(base, value) => submitted(chain.submit(&write_to(writer, nonce, base, value))),
        Act::Fail => submitted(chain.submit(&fail(nonce))),
        Act::Mine => chain.mine().map(|()| Vec::new()),
        Act::Wait(seconds) => chain.advance_to(chain.now() + seconds).map(|()| Vec::new()),
        Act::Reorg(depth) => chain.reorg(depth),
        Act::Save | Act::Reopen => Ok(Vec::new()),
    };
    done.map_err(|error| error.to_string())
}

fn answers(chain: &Chain) -> Vec<CallOutcome> {
    let about = (0..=chain.head().number + 1).map(|about| CallRequest {
        to: Some(recorder()),
        data: U256::from(about).to_be_bytes::<32>().into(),
        ..CallRequest::default()
    });
    about.map(|call| chain.call(&call).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn where_a_chain_is_kept_and_how_often_it_was_saved_and_opened_changes_nothing(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let homes = [Home::new(), Home::new()];
        // one that is only ever replayed, one that is saved and opened with little of it in memory, and one that is there
        let [mut plain, mut saved] = [homes[0].open_small(), homes[1].open_without_memory()];
        let mut memory = Chain::in_memory(genesis());
        for chain in [&mut plain, &mut saved, &mut memory] {
            chain.submit(&create(0)).unwrap();
            chain.submit(&create_writer(1)).unwrap();
        }
        for act in &acts {
            match act {
                Act::Save => saved.saved(),
                Act::Reopen => {
                    let before = seen(&saved);
                    drop(saved);
                    saved = homes[1].open_without_memory();
                    prop_assert_eq!(&saved.opening().passed_over, &Vec::<String>::new());
                    prop_assert_eq!(seen(&saved), before);
                }
                _ => {}
            }
            let of_plain = done(&mut plain, act);
            prop_assert_eq!(&done(&mut saved, act), &of_plain, "{:?}", act);
            if of_plain.is_ok() || !matches!(act, Act::Reorg(_)) {
                prop_assert_eq!(&done(&mut memory, act), &of_plain, "{:?}", act);
            }
        }
        let expected = seen(&plain);
        prop_assert_eq!(&seen(&saved), &expected);
        prop_assert_eq!(&Seen { last_final: expected.last_final, ..seen(&memory) }, &expected);
        prop_assert_eq!(answers(&saved), answers(&memory));
        // and from the journal alone
        drop(plain);
        let plain = homes[0].open_small();
        prop_assert_eq!(&seen(&plain), &expected);
        prop_assert_eq!(answers(&plain), answers(&memory));
    }
}
