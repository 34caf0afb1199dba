//! What is refused changes nothing; what is asked twice happens once.

use alloy::consensus::{TxEip4844, TxLegacy};
use alloy::primitives::Signature;

use super::*;

/// A chain with a past, and a closure's refusal of it that must leave no trace.
fn refused(what: &str, act: impl FnOnce(&mut Chain) -> ChainError) -> ChainError {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let before = seen(&chain);
    let retained = chain.retained();
    let error = act(&mut chain);
    assert_eq!(seen(&chain), before, "{what}");
    assert_eq!(chain.retained(), retained, "{what}");
    chain.submit(&pay(5, 1)).unwrap();
    error
}

fn submitting(what: &str, raw: &[u8]) -> ChainError {
    refused(what, |chain| chain.submit(raw).unwrap_err())
}

#[test]
fn bytes_that_are_no_transaction_are_refused() {
    for raw in [
        &[][..],
        &[0],
        &[0x02],
        &[0xff; 80],
        &[0xc0],
        &pay(5, 1)[1..],
    ] {
        let error = submitting("nonsense", raw);
        assert!(matches!(error, ChainError::Decode(_)), "{raw:?}: {error}");
    }
    let longer = [&pay(5, 1)[..], &[0]].concat();
    assert!(matches!(
        submitting("longer", &longer),
        ChainError::Decode(_)
    ));
}

#[test]
fn a_transaction_that_is_cut_anywhere_is_refused() {
    let raw = record(5, 0);
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let before = seen(&chain);
    for end in 0..raw.len() {
        chain.submit(&raw[..end]).unwrap_err();
    }
    assert_eq!(seen(&chain), before);
}

#[test]
fn a_bad_signature_is_refused_and_a_twisted_one_is_somebody_elses() {
    let transaction = unsigned(5, TxKind::Call(friend()), Bytes::new());
    let with = |r, s| {
        let signed = transaction.clone().into_signed(Signature::new(r, s, false));
        TxEnvelope::from(signed).encoded_2718()
    };
    let good = key().sign_hash_sync(&transaction.signature_hash()).unwrap();
    for (r, s) in [
        (U256::ZERO, good.s()),
        (good.r(), U256::ZERO),
        (U256::MAX, good.s()),
        (good.r(), U256::MAX),
    ] {
        let error = submitting("signature", &with(r, s));
        assert!(matches!(error, ChainError::Signature(_)), "{error}");
    }
    // the other half of a malleable pair: the same signer, other bytes
    let order: U256 = "0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        .parse()
        .unwrap();
    let twin = Signature::new(good.r(), order - good.s(), !good.v());
    let twin = TxEnvelope::from(transaction.into_signed(twin)).encoded_2718();
    let error = submitting("twin", &twin);
    assert!(matches!(error, ChainError::Signature(_)), "{error}");
}

#[test]
fn another_chains_transactions_and_those_of_any_chain_are_refused() {
    let other = sealed(TxEip1559 {
        chain_id: 1,
        ..unsigned(5, TxKind::Call(friend()), Bytes::new())
    });
    let error = submitting("other chain", &other);
    assert!(error.to_string().contains("31337"), "{error}");
    let any = TxLegacy {
        nonce: 5,
        gas_limit: 100_000,
        to: TxKind::Call(friend()),
        ..TxLegacy::default()
    };
    let signature = key().sign_hash_sync(&any.signature_hash()).unwrap();
    let any = TxEnvelope::from(any.into_signed(signature)).encoded_2718();
    assert!(matches!(
        submitting("any chain", &any),
        ChainError::Refused(_)
    ));
}

#[test]
fn a_legacy_transaction_for_this_chain_is_taken() {
    let mut chain = Chain::in_memory(genesis());
    let legacy = TxLegacy {
        chain_id: Some(31337),
        gas_limit: 100_000,
        to: TxKind::Call(friend()),
        value: U256::from(2),
        ..TxLegacy::default()
    };
    let signature = key().sign_hash_sync(&legacy.signature_hash()).unwrap();
    let legacy = TxEnvelope::from(legacy.into_signed(signature)).encoded_2718();
    chain.submit(&legacy).unwrap();
    assert_eq!(chain.balance(friend()).unwrap(), U256::from(2));
}

#[test]
fn kinds_whose_side_effects_would_be_lost_are_refused() {
    let blob = TxEip4844 {
        chain_id: 31337,
        nonce: 5,
        gas_limit: 100_000,
        to: friend(),
        ..TxEip4844::default()
    };
    let signature = key().sign_hash_sync(&blob.signature_hash()).unwrap();
    let raw = TxEnvelope::from(blob.into_signed(signature)).encoded_2718();
    let error = submitting("blob", &raw);
    assert!(error.to_string().contains("not supported"), "{error}");
}

#[test]
fn a_wrong_nonce_is_refused_with_the_right_one() {
    for (sent, words) in [
        (4, "nonce too low"),
        (6, "nonce too high"),
        (u64::MAX - 1, "nonce too high"),
    ] {
        let error = submitting("nonce", &pay(sent, 2));
        assert!(
            matches!(error, ChainError::Nonce { sent: s, next: 5 } if s == sent),
            "{error}"
        );
        assert!(error.to_string().starts_with(words), "{error}");
    }
}

#[test]
fn gas_above_the_cap_below_the_least_and_coin_that_is_not_there_are_refused() {
    let with_gas = |gas_limit| {
        sealed(TxEip1559 {
            gas_limit,
            ..unsigned(5, TxKind::Call(friend()), Bytes::new())
        })
    };
    for gas in [0, 20_999, (1 << 24) + 1, u64::MAX] {
        let error = submitting("gas", &with_gas(gas));
        assert!(matches!(error, ChainError::Refused(_)), "{gas}: {error}");
    }
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    chain.submit(&with_gas(1 << 24)).unwrap();
    assert!(matches!(
        submitting("coin", &pay(5, 994)),
        ChainError::Refused(_)
    ));
}

#[test]
fn a_call_that_would_fail_uses_no_nonce_if_it_was_to_succeed() {
    let conditional = |raw: Bytes| {
        refused("conditional", |chain| {
            let transaction = Signed::decode(raw.clone()).unwrap().transaction;
            chain.submit_if_it_succeeds(&raw, &transaction).unwrap_err()
        })
    };
    assert!(matches!(
        conditional(fail(5)),
        ChainError::WouldFail(CallOutcome::Reverted(data)) if data.is_empty()
    ));
    let short_of_gas = sealed(TxEip1559 {
        gas_limit: 22_000,
        ..unsigned(5, TxKind::Call(recorder()), [0; 32])
    });
    assert!(matches!(
        conditional(short_of_gas),
        ChainError::WouldFail(CallOutcome::Halted(_))
    ));
    assert!(matches!(
        conditional(pay(9, 1)),
        ChainError::Nonce { sent: 9, next: 5 }
    ));
    // and one that succeeds is the same as if submitted
    let (mut one, mut two) = (Chain::in_memory(genesis()), Chain::in_memory(genesis()));
    lived(&mut one);
    lived(&mut two);
    let raw = record(5, 0);
    let transaction = Signed::decode(raw.clone()).unwrap().transaction;
    one.submit_if_it_succeeds(&raw, &transaction).unwrap();
    two.submit(&raw).unwrap();
    assert_eq!(seen(&one), seen(&two));
}

#[test]
fn a_duplicate_is_answered_like_the_first_and_has_no_second_effect() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let sent = [record(5, 0), fail(6), pay(7, 1)];
    let first = sent.each_ref().map(|raw| chain.submit(raw).unwrap());
    let before = seen(&chain);
    for _ in 0..3 {
        assert_eq!(sent.each_ref().map(|raw| chain.submit(raw).unwrap()), first);
    }
    assert_eq!(seen(&chain), before);
}

#[test]
fn logs_are_found_by_block_address_and_topic_and_a_backward_range_holds_none() {
    let mut chain = Chain::in_memory(genesis());
    lived(&mut chain);
    let found = |filter: LogFilter| -> Vec<u64> {
        let logs = chain.logs(&filter).unwrap();
        logs.iter().map(|l| l.block_number).collect()
    };
    let topic = |n: u8| vec![B256::with_last_byte(n)];
    assert_eq!(found(everything()), [2, 6]);
    let range = |from_block, to_block| LogFilter {
        from_block,
        to_block,
        ..everything()
    };
    assert_eq!(found(range(2, 2)), [2]);
    assert!(found(range(3, 5)).is_empty());
    assert!(found(range(6, 2)).is_empty());
    assert!(found(range(u64::MAX, u64::MAX)).is_empty());
    let at = |address| LogFilter {
        addresses: vec![address],
        ..everything()
    };
    assert_eq!(found(at(recorder())), [2, 6]);
    assert!(found(at(friend())).is_empty());
    let with = |topics: Vec<Vec<B256>>| LogFilter {
        topics,
        ..everything()
    };
    assert_eq!(found(with(vec![topic(2)])), [6]);
    assert_eq!(found(with(vec![[topic(1), topic(2)].concat()])), [2, 6]);
    assert!(found(with(vec![vec![], topic(1)])).is_empty());
}
