//! Any bytes as an archive: refused, or only what was wanted, and no larger.
#![no_main]

use gavel_model::npy::read_npz;
use gavel_numerics::{DType, TensorType};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let wanted = [
        ("x".to_owned(), TensorType::new(DType::F32, [2, 2])),
        ("y".to_owned(), TensorType::new(DType::I64, [3])),
    ];
    if let Ok(arrays) = read_npz(file, &wanted) {
        for (name, tensor) in arrays {
            assert!(name == "x" || name == "y");
            assert!(tensor.le_bytes().len() <= 24 + (1 << 14) + 16);
        }
    }
});
