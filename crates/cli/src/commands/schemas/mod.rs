//! What every command prints with `--json`: one table, from which the JSON Schemas in `docs/reference/schemas` and their page
//! are made. Tests hold the output of commands against it, and the table against clap's tree.

mod table;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::failure::{Context as _, Exit, Failure};
use table::Prints::{Lines, One, Text};
use table::{Row, SHARED, TABLE};

fn of_type(name: &str) -> Value {
    if let Some(name) = name.strip_suffix('?') {
        return json!({"anyOf": [of_type(name), {"type": "null"}]});
    }
    let within = |open, close| name.strip_prefix(open).and_then(|n| n.strip_suffix(close));
    if let Some(items) = within('[', ']') {
        return json!({"type": "array", "items": of_type(items)});
    }
    if let Some(values) = within('{', '}') {
        return json!({"type": "object", "additionalProperties": of_type(values)});
    }
    if let Some(shared) = name.strip_prefix('#') {
        return json!({"$ref": format!("#/$defs/{shared}")});
    }
    if let Some(word) = name.strip_prefix('=') {
        return json!({"const": word});
    }
    match name {
        "bool" => json!({"type": "boolean"}),
        "count" => json!({"type": "integer", "minimum": 0}),
        "number" => json!({"type": "number"}),
        "amount" => {
            json!({"type": "string", "pattern": "^[0-9]+$", "description": "in units of the asset"})
        }
        "address" => json!({"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}),
        "digest" => json!({"type": "string", "pattern": "^0x[0-9a-f]{64}$"}),
        "object" => json!({"type": "object"}),
        "any" => json!({}),
        _ => json!({"type": "string"}),
    }
}

fn form(fields: &str) -> Value {
    if fields.starts_with('#') {
        return of_type(fields);
    }
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields.split(' ') {
        let (name, ty) = field.split_once(':').unwrap_or((field, "any"));
        match name.strip_suffix('~') {
            Some(name) => {
                properties.insert(name.to_owned(), of_type(ty));
            }
            None => {
                properties.insert(name.to_owned(), of_type(ty));
                required.push(name);
            }
        }
    }
    json!({"type": "object", "required": required, "properties": properties})
}

/// What a command prints on standard output; one line of it, where it prints lines.
fn schema((command, prints, forms): &Row) -> Value {
    let definitions: Map<_, _> = SHARED
        .iter()
        .map(|(name, fields)| ((*name).to_owned(), form(fields)))
        .collect();
    let forms: Vec<Value> = forms.iter().map(|fields| form(fields)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("gavel {command} --json"),
        "description": match prints {
            Lines => "One line of standard output. Fields may be added",
            _ => "Standard output. Fields may be added",
        },
        "anyOf": forms,
        "$defs": definitions,
    })
}

/// The last object on standard output where a command fails.
fn failure() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What a command prints when it fails",
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["what", "expected", "hint", "exit"],
            "properties": {
                "what": {"type": "string", "description": "What was wrong"},
                "expected": {"type": ["string", "null"]},
                "hint": {"type": ["string", "null"], "description": "What to do next"},
                "exit": {"enum": Exit::ALL.iter().map(|(exit, _)| *exit as u8).filter(|exit| *exit != 0).collect::<Vec<_>>(), "description": "Exit status"},
            },
        }},
    })
}

/// The page `json.md`, and the files in `schemas` beside it.
pub(super) fn write(dir: &Path) -> Result<(), Failure> {
    let schemas = dir.join("schemas");
    std::fs::create_dir_all(&schemas).at(schemas.display())?;
    let put = |name: &str, text: &str| {
        let path = schemas.join(name);
        std::fs::write(&path, text).at(path.display())
    };
    let pretty = |schema: Value| serde_json::to_string_pretty(&schema).at("a schema");
    for row in TABLE.iter().filter(|row| !matches!(row.1, Text(_))) {
        put(&file(row.0), &(pretty(schema(row))? + "\n"))?;
    }
    put("error.json", &(pretty(failure())? + "\n"))?;
    let place = dir.join("json.md");
    std::fs::write(&place, page()).at(place.display())
}

fn file(command: &str) -> String {
    format!("{}.json", command.replace(' ', "-"))
}

fn page() -> String {
    let mut text = "\
# What commands print with `--json`

Made by `gavel reference --schemas docs/reference`; a test compares the two, others hold the output of commands against it.
Every command prints one object, or, where it reports while it runs, one object a line. A schema names the fields that a program
may rely on; more may be added. Amounts are strings, in units of the asset. A failure is an [object](schemas/error.json) too, the last
one on standard output, and the [exit status](cli.md#exit-status) says its kind.

| command | prints | schema |
|---|---|---|
"
    .to_owned();
    for (command, prints, forms) in TABLE {
        let _ = match prints {
            Text(why) => writeln!(text, "| `gavel {command}` | {why} | |"),
            One | Lines => {
                let word = match (prints, forms.len()) {
                    (Lines, _) => "objects, one a line",
                    (_, 1) => "an object",
                    _ => "one of several objects",
                };
                let file = file(command);
                writeln!(
                    text,
                    "| `gavel {command}` | {word} | [{file}](schemas/{file}) |"
                )
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::*;
    use crate::args::Cli;

    /// Commands without a row, and rows without a command.
    fn unmatched() -> (Vec<String>, Vec<String>) {
        fn leaves(command: &Command, name: &str, found: &mut Vec<String>) {
            for command in command.get_subcommands() {
                let name = format!("{name} {}", command.get_name());
                match command.has_subcommands() {
                    true => leaves(command, &name, found),
                    false => found.push(name.trim().to_owned()),
                }
            }
        }
        let mut commands = Vec::new();
        leaves(&Cli::command(), "", &mut commands);
        let has = |command: &String| TABLE.iter().any(|(name, ..)| name == command);
        let missing = commands.iter().filter(|c| !has(c)).cloned().collect();
        let rows = TABLE.iter().map(|(name, ..)| (*name).to_owned());
        (
            missing,
            rows.filter(|name| !commands.contains(name)).collect(),
        )
    }

    #[test]
    fn every_command_has_a_schema_or_a_reason() {
        assert_eq!(unmatched(), (Vec::new(), Vec::new()));
        for (name, prints, forms) in TABLE {
            assert_eq!(matches!(prints, Text(_)), forms.is_empty(), "{name}");
        }
    }
}
