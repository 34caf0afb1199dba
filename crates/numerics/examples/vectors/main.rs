//! Writes `spec/vectors/numerics/*.json`. Run from anywhere: `cargo run -p gavel-numerics --example vectors`.

mod case;
mod conversions;
mod files;
mod general;
mod language;
mod machine;
mod operators;
mod rules;
mod sampling;
mod table;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = files::folder();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("programs.json"), table::file()?)?;
    for (rule, text) in files::files()? {
        std::fs::write(folder.join(format!("{rule}.json")), text)?;
    }
    println!("wrote {}", folder.display());
    Ok(())
}
