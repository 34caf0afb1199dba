use bytes::Bytes;
use gavel_numerics::Tensor;
use gavel_numerics::kernels::Sequential;

use super::*;
use crate::onnx::import;
use crate::{Progress, test_run};

const ENCODER: &[u8] = include_bytes!("../../tests/fixtures/open-encoder.onnx");

fn file() -> OnnxFile {
    OnnxFile::parse(Bytes::from_static(ENCODER)).unwrap()
}

fn family(domain: &str) -> Result<Family, ModelError> {
    Hashing::quiet(|hashing| Family::build(file(), Domain::parse(domain)?, hashing, &mut |_, _| {}))
}

fn shapes(dims: &[u64]) -> BTreeMap<String, Vec<u64>> {
    BTreeMap::from([("ids".to_owned(), dims.to_vec())])
}

/// The file with these extents, read alone and cut like the largest binding.
fn alone(extents: BTreeMap<String, u64>, cuts: &Arc<Cuts>) -> Model {
    let options = ImportOptions {
        dimensions: extents,
        commit: CommitPolicy::Like(Arc::clone(cuts)),
        ..ImportOptions::default()
    };
    import(ENCODER, &options).unwrap()
}

#[test]
fn a_binding_is_the_model_that_the_file_is_with_its_extents() {
    let family = family("batch=1..2,seq=1..5").unwrap();
    assert_eq!(family.model_ids().len(), 10);
    for (index, id) in (0..).zip(family.model_ids()) {
        let extents = family.domain().extents(index);
        let model = family.binding(index).unwrap();
        assert_eq!(model.model_id(), *id);
        assert_eq!(alone(extents.clone(), &family.cuts).model_id(), *id);
        assert_eq!(family.index_of(id), Some(index));
        let dims = [extents["batch"], extents["seq"]];
        assert_eq!(model.graph().inputs[0].1.dims, dims);
        assert_eq!(family.binding_of(&shapes(&dims)).unwrap(), index);
        // the same commit points, not just as many
        let largest = family.binding(9).unwrap();
        assert_eq!(model.segments().len(), largest.segments().len());
        assert_eq!(model.ends(), largest.ends());
        // of the weights only the places depend on the extents
        let own = model.weights().iter().map(|w| w.value.address());
        let shared = largest.weights().iter().map(|w| w.value.address());
        assert!(own.zip(shared).filter(|(a, b)| a == b).count() >= 5);
    }
    assert!(family.binding(10).is_err());
}

#[test]
fn a_longer_sentence_begins_like_a_shorter_one_of_one_word() {
    let family = family("seq=1..3").unwrap();
    let run = |index: u32, ids: &[i64]| {
        let model = family.binding(index).unwrap();
        let ids = Tensor::i64([1, ids.len() as u64], ids.to_vec()).unwrap();
        let values = test_run::values(&model, &[ids]);
        test_run::outputs(&model, &values)[0].clone()
    };
    assert_eq!(run(0, &[7]).dims(), [1, 24]);
    assert_ne!(run(0, &[7]), run(1, &[7, 7]));
    assert_ne!(run(2, &[7, 7, 7]), run(1, &[7, 7]));
}

#[test]
fn the_identity_is_that_of_the_domain_and_all_bindings() {
    let ids: Vec<Digest> = [
        "seq=1..4",
        "seq=2..4",
        "seq=1..4/3",
        "batch=1,seq=1..4",
        "seq=1..5",
    ]
    .iter()
    .map(|domain| family(domain).unwrap().id())
    .collect();
    for (i, id) in ids.iter().enumerate() {
        assert!(!ids[..i].contains(id), "{i}");
    }
    assert_eq!(family("seq=1..4").unwrap().id(), ids[0]);
}

#[test]
fn a_binding_opens_under_the_family_and_nothing_else_does() {
    let family = family("batch=1..2,seq=1..3").unwrap();
    let ids = family.model_ids();
    for index in 0..6 {
        let opening = family.open(index).unwrap();
        let id = &ids[index as usize];
        assert!(is_binding(family.header(), index, id, &opening));
        assert!(!is_binding(family.header(), (index + 1) % 6, id, &opening));
        assert!(!is_binding(
            family.header(),
            index,
            &ids[(index as usize + 1) % 6],
            &opening
        ));
        let fewer = FamilyHeader {
            count: index,
            ..family.header().clone()
        };
        assert!(!is_binding(&fewer, index, id, &opening));
    }
}

#[test]
fn arrays_outside_of_the_domain_are_told_what_is_inside() {
    let family = family("batch=1..2,seq=2..8/2").unwrap();
    for (dims, said) in [
        (&[1, 3][..], "3 is outside of the family's seq=2..8/2"),
        (&[3, 2], "3 is outside of the family's batch=1..2"),
        (&[2], "no input says which of the family's batch=1..2 it is"),
    ] {
        let error = family.binding_of(&shapes(dims)).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_cannot_be_bound_is_refused_with_its_extents() {
    let error = |domain: &str| family(domain).err().unwrap().to_string();
    // the table has 32 places
    let refused = error("seq=30..33");
    assert!(refused.starts_with("with seq=33: "), "{refused}");
    let same = error("nothing=1..2,seq=4");
    assert!(
        same.contains("nothing=1,seq=4 and nothing=2,seq=4 are the same model"),
        "{same}"
    );
}

#[test]
fn weights_are_hashed_once_and_progress_ends_at_the_last_binding() {
    let (mut hashed, mut bound) = (Vec::new(), Vec::new());
    let mut hashing = Hashing {
        parallel: &Sequential,
        progress: &mut |p: Progress| hashed.push(p),
    };
    let domain = Domain::parse("seq=1..32").unwrap();
    let family = Family::build(file(), domain, &mut hashing, &mut |done, of| {
        bound.push((done, of))
    });
    let weights = family.unwrap().binding(31).unwrap().weights().len();
    assert_eq!(hashed.len(), weights);
    assert_eq!(bound, [(1, 32), (17, 32), (32, 32)]);
}
