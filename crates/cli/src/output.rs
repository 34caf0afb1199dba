//! How results reach the user: tables and colours for people, one JSON object per command for programs.

use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// Green: something good happened.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Red: a fault, a loss.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Yellow: under dispute.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Dimmed detail.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Headings.
pub(crate) const HEAD: Style = Style::new().bold();

/// Where a command writes: people read stdout with colours when it is a terminal, programs read JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads the output.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// One line for people; nothing in JSON mode. A closed pipe is not an error of ours.
    pub(crate) fn line(self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(anstream::stdout(), "{}", text.as_ref());
        }
    }

    /// Progress of long work, on stderr.
    pub(crate) fn progress(self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(anstream::stderr(), "{DIM}{}{DIM:#}", text.as_ref());
        }
    }

    /// A heading with space above it.
    pub(crate) fn heading(self, text: &str) {
        self.line(format!("\n{HEAD}{text}{HEAD:#}"));
    }

    /// A table; columns in `right` are aligned to the right.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) {
        if self.json {
            return;
        }
        let mut table = Table::new();
        table
            .load_preset(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header);
        table.add_rows(rows);
        for &column in right {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.line(table.to_string());
    }

    /// The command's one JSON object; nothing for people.
    pub(crate) fn json(self, value: &impl serde::Serialize) -> Result<(), serde_json::Error> {
        if self.json {
            let text = serde_json::to_string_pretty(value)?;
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        Ok(())
    }
}

/// Paints a piece of text.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
