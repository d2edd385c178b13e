//! Writes the generated headers to their places.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    for (path, text) in cmach::numbers::headers() {
        std::fs::write(include.join(path), text)?;
    }
    Ok(())
}
