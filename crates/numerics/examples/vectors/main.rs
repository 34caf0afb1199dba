//! Writes `spec/vectors/numerics/*.json`. Run from anywhere: `cargo run -p gavel-numerics --example vectors`.

mod table;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors/numerics");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("programs.json"), table::file()?)?;
    println!("wrote {}", folder.display());
    Ok(())
}
