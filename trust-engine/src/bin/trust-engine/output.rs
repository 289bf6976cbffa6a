//! Printing for people and for programs.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::Table;
use serde_json::Value;

/// One JSON value per line. Here and below a closed pipe is no error.
pub(crate) fn json(value: &Value) {
    let _ = writeln!(std::io::stdout(), "{value}");
}

/// A line of text.
pub(crate) fn line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// A table.
pub(crate) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.set_header(header);
    table.add_rows(rows);
    let _ = writeln!(std::io::stdout(), "{table}");
}

/// Progress on a terminal's error stream.
pub(crate) fn progress(what: &str) -> impl FnMut(u64, u64) + Send {
    let terminal = std::io::stderr().is_terminal();
    let what = what.to_owned();
    move |done, all| {
        if terminal {
            let end = if done == all { "\n" } else { "" };
            eprint!("\r{what}: {done} of {all}{end}");
        }
    }
}
