//! Sets keys of one table of a configuration file, and leaves every other character as it is.

use toml::{Table, Value};

/// The text with these keys of the table set. `None`: the file is written in a way that this does not change safely.
pub(crate) fn with_keys(text: &str, table: &str, keys: &[(&str, Value)]) -> Option<String> {
    let mut wanted: Table = toml::from_str(text).ok()?;
    let own = wanted
        .entry(table)
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()?;
    // both spellings are one key
    own.retain(|key, _| !keys.iter().any(|(name, _)| key.replace('-', "_") == *name));
    for (name, value) in keys {
        own.insert((*name).to_owned(), value.clone());
    }
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_head = |line: &str| {
        let inner = line.trim().strip_prefix('[')?.split(']').next()?;
        Some(inner.trim().to_owned())
    };
    let head = lines
        .iter()
        .position(|line| is_head(line).is_some_and(|name| name == table));
    let head = head.unwrap_or_else(|| {
        if lines.last().is_some_and(|line| !line.trim().is_empty()) {
            lines.push(String::new());
        }
        lines.push(format!("[{table}]"));
        lines.len() - 1
    });
    let body = lines.iter().skip(head + 1);
    let end = head + 1 + body.take_while(|line| is_head(line).is_none()).count();
    let mut missing = Vec::new();
    for (name, value) in keys {
        let set = format!("{name} = {value}");
        let key = |line: &str| {
            let (key, _) = line.split_once('=')?;
            Some(key.trim().replace('-', "_"))
        };
        let found = (head + 1..end).find(|&i| key(&lines[i]).is_some_and(|key| key == *name));
        match found {
            Some(i) => lines[i] = set,
            None => missing.push(set),
        }
    }
    // behind the last line of the table, before what stands apart from it
    let last = (head..end).rev().find(|&i| !lines[i].trim().is_empty())?;
    lines.splice(last + 1..last + 1, missing);
    let edited = lines.join("\n") + "\n";
    // whatever was misread, the file that is written says what it has to and nothing else
    let found: Table = toml::from_str(&edited).ok()?;
    (found == wanted).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> [(&'static str, Value); 2] {
        [
            ("reserve", Value::String("0.5".to_owned())),
            ("least_exec", Value::Integer(12)),
        ]
    }

    #[test]
    fn keys_are_set_where_they_stand_and_added_where_they_do_not() {
        let text = "# mine\nrpc = \"http://x\"\n\n[provider]\nmodel = [\"digits\"] # two\nreserve = 3\n# the rest\n\n[watch]\nmodel = [\"digits\"]\n";
        let edited = with_keys(text, "provider", &keys()).unwrap();
        assert_eq!(
            edited,
            "# mine\nrpc = \"http://x\"\n\n[provider]\nmodel = [\"digits\"] # two\nreserve = \"0.5\"\n# the rest\nleast_exec = 12\n\n[watch]\nmodel = [\"digits\"]\n"
        );
        assert_eq!(with_keys(&edited, "provider", &keys()).unwrap(), edited);
        let spelled = with_keys("[provider]\nleast-exec = 3\n", "provider", &keys()).unwrap();
        assert_eq!(spelled, "[provider]\nleast_exec = 12\nreserve = \"0.5\"\n");
    }

    #[test]
    fn a_table_is_made_where_there_is_none() {
        let made = "[provider]\nreserve = \"0.5\"\nleast_exec = 12\n";
        assert_eq!(with_keys("", "provider", &keys()).unwrap(), made);
        let behind = with_keys("poll = 5", "provider", &keys()).unwrap();
        assert_eq!(behind, format!("poll = 5\n\n{made}"));
    }

    #[test]
    fn what_would_be_misread_is_left_alone() {
        for odd in [
            "provider.reserve = 3\n",
            "provider = { reserve = 3 }\n",
            "[provider]\nmodel = [\"\"\"\nreserve = 3\n\"\"\"]\n",
            "[provider]\nreserve = [\n1,\n2]\n",
            "no toml",
            "provider = 3\n",
        ] {
            assert_eq!(with_keys(odd, "provider", &keys()), None, "{odd}");
        }
    }
}
