//! How results reach the user: tables and colours for people, one JSON object per command for programs.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};

use crate::failure::{Context as _, Exit, Failure};

/// Green: something good happened.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Red: a fault, a loss.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Yellow: under dispute.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// Dimmed detail.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Bars of a chart.
pub(crate) const BAR: Style = AnsiColor::Cyan.on_default();
/// Headings.
pub(crate) const HEAD: Style = Style::new().bold();

/// Where a command writes: people read stdout with colours when it is a terminal, programs read JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    yes: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, yes: false }
    }

    /// With the answer to all questions given, or not.
    pub(crate) fn assuming_yes(self, yes: bool) -> Self {
        Self { yes, ..self }
    }

    /// Asks before money moves. Where nobody is there to answer, the answer must have been given with `--yes`.
    pub(crate) fn confirm(self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let asked = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if self.json || !asked {
            return Err(
                Failure::usage(format!("this would {what}, and nobody is asked"))
                    .expected("--yes where there is no terminal to ask on"),
            );
        }
        let _ = write!(anstream::stderr(), "{HEAD}{what}?{HEAD:#} [y/N] ");
        let mut answer = String::new();
        std::io::stdin()
            .read_line(&mut answer)
            .at("standard input")?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new("not confirmed: nothing was sent").ends(Exit::Interrupted)),
        }
    }

    /// [`confirm`](Self::confirm), where a script may go on unasked.
    pub(crate) fn confirm_on_terminal(self, what: &str) -> Result<(), Failure> {
        match std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !self.json {
            true => self.confirm(what),
            false => Ok(()),
        }
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

    /// One JSON object on a line of its own, for commands that report while they run; nothing for people.
    pub(crate) fn event(self, value: &serde_json::Value) {
        if self.json {
            let _ = writeln!(std::io::stdout(), "{value}");
        }
    }

    /// A piece of a text that is told as it comes. A terminal gets no control characters of it but newlines and tabs:
    /// models write what strangers taught them.
    pub(crate) fn piece(self, text: &str) {
        if self.json {
            return;
        }
        let mut stdout = std::io::stdout().lock();
        let _ = match stdout.is_terminal() {
            true => write!(stdout, "{}", harmless(text)),
            false => write!(stdout, "{text}"),
        };
        let _ = stdout.flush();
    }

    /// What a text that follows goes on from: shown on a terminal, to people.
    pub(crate) fn echo(self, text: &str) {
        if !self.json && std::io::stdout().is_terminal() {
            let mut stdout = anstream::stdout();
            let _ = write!(stdout, "{DIM}{}{DIM:#}", harmless(text));
            let _ = stdout.flush();
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

    /// Named facts, one a line, the names in a column.
    pub(crate) fn facts(self, facts: &[(&str, String)]) {
        for (name, value) in facts {
            self.line(format!("{} {value}", paint(DIM, format!("{name:<13}"))));
        }
    }

    /// What to do next.
    pub(crate) fn next(self, command: impl std::fmt::Display) {
        self.line(format!("\n{} {command}", paint(DIM, "next:")));
    }

    /// A table; columns in `right` are aligned to the right.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Vec<String>>, right: &[usize]) {
        if self.json {
            return;
        }
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_style(TableComponent::HeaderLines, '─')
            .set_style(TableComponent::MiddleHeaderIntersections, '─')
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
    pub(crate) fn json(self, value: &impl serde::Serialize) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string_pretty(value).at("output as JSON")?;
            let _ = writeln!(std::io::stdout(), "{text}");
        }
        Ok(())
    }
}

/// A text without control characters but newlines and tabs.
pub(crate) fn harmless(text: &str) -> String {
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(shown).collect()
}

/// Paints a piece of text.
pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// A bar of up to 24 cells in eighths; `share` outside 0 to 1 (or no number) is taken as the nearest end.
pub(crate) fn bar(share: f64) -> String {
    const CELLS: usize = 24;
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (8 * CELLS) as f64).round() as usize;
    let part = PARTS.get(eighths % 8).copied().unwrap_or_default();
    let filled = eighths / 8;
    let empty = CELLS - filled - usize::from(!part.is_empty());
    format!("{}{part}{}", "█".repeat(filled), " ".repeat(empty))
}

/// A count in groups of three digits.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A duration with three or so digits.
pub(crate) fn time(t: std::time::Duration) -> String {
    let ms = t.as_secs_f64() * 1e3;
    match ms {
        _ if ms < 1.0 => format!("{:.1} µs", ms * 1e3),
        _ if ms < 1e3 => format!("{ms:.2} ms"),
        _ => format!("{:.2} s", ms / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_width() {
        for share in [-1.0, 0.0, 0.003, 0.5, 0.999, 1.0, 7.0, f64::NAN] {
            assert_eq!(bar(share).chars().count(), 24, "{share}");
        }
        assert_eq!(bar(0.5).trim_end(), "█".repeat(12));
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
    }
}
