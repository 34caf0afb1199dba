use super::*;

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut file = NPY_MAGIC.to_vec();
    file.extend([1, 0]);
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn what_is_written_is_read() {
    for tensor in [
        Tensor::f32([2, 3], vec![1.5, -0.0, f32::NAN, 3.0, 4.0, 5.0]).unwrap(),
        Tensor::i64([3], vec![1, -2, i64::MAX]).unwrap(),
        Tensor::f32([], vec![7.0]).unwrap(),
        Tensor::f32([0, 4], vec![]).unwrap(),
        Tensor::from_le_bytes(TensorType::new(DType::Bool, [2]), &[0, 1]).unwrap(),
    ] {
        let file = write_npy(&tensor);
        assert_eq!(read_npy(&file).unwrap(), tensor);
        assert_eq!((file.len() - tensor.le_bytes().len()) % 64, 0);
    }
}

#[test]
fn numpys_own_headers_are_read() {
    let data: Vec<u8> = (0..6u8).collect();
    let text = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }          \n";
    let columns = read_npy(&npy(text, &data)).unwrap();
    assert_eq!(columns.le_bytes().as_ref(), [0, 2, 4, 1, 3, 5]);
    let rows = read_npy(&npy(&text.replace("True", "False"), &data)).unwrap();
    assert_eq!(rows.le_bytes().as_ref(), data);
    assert_eq!(rows.dims(), [2, 3]);
}

#[test]
fn malformed_headers_are_refused_by_name() {
    let cases = [
        ("", "expected '{'"),
        ("{", "a string"),
        ("{'descr': '<f4'}", "\"shape\" is missing"),
        ("{'descr': [('a', '<f4')], 'shape': (1,)}", "structured"),
        (
            "{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}",
            "<c8",
        ),
        (
            "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}",
            ">f4",
        ),
        (
            "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}",
            "True or False",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "an extent",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}",
            "takes 8 bytes",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 99999999999)}",
            "99999999999",
        ),
        (
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} 1",
            "follows",
        ),
        ("{'descr': '<f4', 'x': False}", "unknown key"),
    ];
    for (header, message) in cases {
        let error = read_npy(&npy(header, &[0; 4])).unwrap_err().to_string();
        assert!(error.contains(message), "{header}: {error}");
    }
    let mut long = NPY_MAGIC.to_vec();
    long.extend([2, 0]);
    long.extend(u32::MAX.to_le_bytes());
    assert!(read_npy(&long).unwrap_err().to_string().contains("limit"));
}

#[test]
fn archives_give_what_is_wanted_and_bombs_are_refused() {
    let ty = TensorType::new(DType::F32, [2]);
    let wanted = [("x".to_owned(), ty.clone())];
    let tensor = Tensor::f32([2], vec![1.0, 2.0]).unwrap();
    let good = archive(&[("x.npy", write_npy(&tensor))]);
    assert_eq!(
        read_npz(&good, &wanted).unwrap(),
        [("x".to_owned(), tensor.clone())]
    );

    let second = Tensor::i64([], vec![-7]).unwrap();
    let both = write_npz([("x", &tensor), ("y/z", &second)]).unwrap();
    assert_eq!(read_npz_one(&both, "x", &ty).unwrap(), Some(tensor.clone()));
    assert_eq!(
        read_npz_one(&both, "y/z", second.ty()).unwrap(),
        Some(second)
    );
    assert_eq!(read_npz_one(&both, "z", &ty).unwrap(), None);
    assert!(read_npz_one(&both, "y/z", &ty).is_err());
    assert!(write_npz([("x", &tensor), ("x", &tensor)]).is_err());

    let bomb = archive(&[("x.npy", vec![0; 1 << 24])]);
    assert!(bomb.len() < 1 << 16);
    let error = read_npz(&bomb, &wanted).unwrap_err().to_string();
    assert!(error.contains("more than"), "{error}");
    // a declared size that lies: the central directory's field, 4 bytes at offset 24 of its record
    let mut lying = bomb.clone();
    let record = lying.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    lying[record + 24..record + 28].copy_from_slice(&136u32.to_le_bytes());
    assert!(read_npz(&lying, &wanted).is_err());

    let other = archive(&[("y.npy", write_npy(&tensor))]);
    let error = read_npz(&other, &wanted).unwrap_err().to_string();
    assert!(error.contains("\"x\" F32[2]"), "{error}");
    assert!(read_npz(b"PK\x03\x04 and nothing", &wanted).is_err());
}

#[test]
fn no_truncation_and_no_flipped_bit_panics() {
    let ty = TensorType::new(DType::F32, [2, 2]);
    let tensor = Tensor::f32([2, 2], vec![1.0, 2.0, 3.0, 4.0]).unwrap();
    let npy = write_npy(&tensor);
    let npz = archive(&[("x.npy", npy.clone())]);
    let wanted = [("x".to_owned(), ty)];
    for len in 0..npy.len() {
        assert!(read_npy(&npy[..len]).is_err());
    }
    for len in 0..npz.len() {
        assert!(read_npz(&npz[..len], &wanted).is_err());
    }
    for bit in 0..npy.len() * 8 {
        let mut flipped = npy.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = read_npy(&flipped);
    }
    for bit in 0..npz.len() * 8 {
        let mut flipped = npz.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(arrays) = read_npz(&flipped, &wanted) {
            // a checksum protects the contents; what is not covered does not change them
            assert!(arrays.iter().all(|(_, t)| *t == tensor), "bit {bit}");
        }
    }
}
