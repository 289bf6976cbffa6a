//! The header is what cbindgen makes of the sources. `TRUST_ENGINE_WRITE=1 cargo test -p trust-engine-ffi --test header`
//! writes it.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_header_is_that_of_the_sources() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut made = Vec::new();
    cbindgen::generate_with_config(folder, config).unwrap().write(&mut made);
    // What Rust calls safety is for C what the caller has to see to.
    let made = String::from_utf8(made).unwrap().replace("// # Safety", "// The caller sees to it:");
    assert!(made.contains("te_engine_open("), "the sources were not read");
    // What is added to the end belongs inside of the guard too.
    let guard = "#endif  /* TRUST_ENGINE_H */\n";
    assert_eq!(made.matches(guard).count(), 1);
    let made = made.replace(guard, "").trim_end().to_owned() + "\n\n" + guard;

    let file = folder.join("../include/trust_engine.h");
    if env::var_os("TRUST_ENGINE_WRITE").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let differs = there.lines().zip(made.lines()).position(|(there, made)| there != made);
    assert!(
        there == made,
        "include/trust_engine.h differs from the sources at line {differs:?}: see tests/header.rs"
    );
}
