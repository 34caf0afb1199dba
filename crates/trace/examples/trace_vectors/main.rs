//! Writes `spec/vectors/trace/*.json`. Run from anywhere: `cargo run -p gavel-trace --example trace_vectors`.

mod cases;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = cases::folder();
    std::fs::create_dir_all(&folder)?;
    for (name, text) in cases::files()? {
        std::fs::write(folder.join(name), text)?;
    }
    println!("wrote {}", folder.display());
    Ok(())
}
