//! `gavel provider init`: a folder with what a provider needs. What is there stays as it is.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use gavel_model::shipped;
use gavel_node::{B256, Board};
use gavel_settlement::account::{create_keystore, load_keystore};
use gavel_trace::Digest;
use serde_json::json;

use super::party;
use crate::args_setup::ProviderInitArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files::{self, Servable};
use crate::network::{block_on, key_failure};
use crate::output::{GOOD, Output, paint};

pub(crate) fn run(args: &ProviderInitArgs, out: Output) -> Result<Exit, Failure> {
    let dir = folder(&args.dir)?;
    let (key, password) = (dir.join("key.json"), dir.join("password"));
    let config = dir.join("config.toml");
    if key.exists() && !password.exists() {
        return Err(Failure::new(format!(
            "{} is there, and its password is not in {}",
            key.display(),
            password.display()
        ))
        .ends(Exit::Config)
        .expected("both, or neither: keys are never overwritten"));
    }
    let board = board(args);
    if let Err(why) = &board {
        out.progress(format!("the registry is not known: {why}"));
    }
    let models = match (args.models.as_slice(), &board) {
        ([], Ok(board)) => registered(board, out),
        ([], Err(_)) => Vec::new(),
        (named, _) => named.to_vec(),
    };
    let mut made = Vec::new();
    if !password.exists() {
        private(&password, &format!("{}\n", hex(&B256::random().0)))?;
        made.push(&password);
    }
    let secret = files::read(&password, 1 << 12, "a file with a password")?;
    let secret = String::from_utf8(secret).at(password.display())?;
    let secret = secret.lines().next().unwrap_or_default();
    let address = match key.exists() {
        true => load_keystore(&key, secret).map_err(|e| key_failure(&key, e))?,
        false => {
            made.push(&key);
            create_keystore(&key, secret).map_err(Failure::new)?
        }
    }
    .address();
    if !config.exists() {
        private(&config, &template(args, &dir, &models)?)?;
        made.push(&config);
    }
    let place = config.display();
    let mark = |path: &PathBuf| match made.contains(&path) {
        true => paint(GOOD, "made"),
        false => "was there, and is as it was".to_owned(),
    };
    out.facts(&[
        ("provider", address.to_string()),
        ("key", format!("{}  {}", key.display(), mark(&key))),
        (
            "password",
            format!("{}  {}", password.display(), mark(&password)),
        ),
        ("config", format!("{place}  {}", mark(&config))),
        (
            "serves",
            match models.is_empty() {
                true => {
                    "no registered model was found here; name one in the configuration".to_owned()
                }
                false => models.join(", "),
            },
        ),
    ]);
    let config_flag = format!("--config {place}");
    let flags = models.iter().map(|model| format!(" --model {model}"));
    let flags: String = match models.is_empty() {
        true => " --model MODEL".to_owned(),
        false => flags.collect(),
    };
    let steps = [
        (
            "fund",
            format!("gavel account show {address} {config_flag}"),
            "send it coin for gas, and tokens for the stake",
        ),
        (
            "calibrate",
            format!("gavel provider calibrate{flags} --write {config_flag}"),
            "what a task takes here, and what to ask for it",
        ),
        (
            "check",
            format!("gavel doctor{flags} {config_flag}"),
            "what is still missing",
        ),
        (
            "stake and run",
            format!("gavel provider run {config_flag}"),
            "the first start registers with --stake",
        ),
    ];
    out.heading("Next");
    for (i, (what, command, why)) in steps.iter().enumerate() {
        out.line(format!("{}. {what}: {command}\n   {why}", i + 1));
    }
    let steps = steps.map(|(what, command, _)| json!({"step": what, "command": command}));
    out.json(&json!({
        "provider": address, "dir": dir, "key": key, "password_file": password, "config": config,
        "made": made, "models": models, "next": steps,
    }))?;
    Ok(Exit::Done)
}

/// The folder, made for its owner alone if it is not there; its full name.
fn folder(dir: &Path) -> Result<PathBuf, Failure> {
    if !dir.exists() {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(dir).at(dir.display())?;
    }
    dir.canonicalize().at(dir.display())
}

/// Writes a new file that its owner alone reads.
fn private(path: &Path, text: &str) -> Result<(), Failure> {
    let mut options = std::fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).at(path.display())?;
    file.write_all(text.as_bytes()).at(path.display())?;
    file.sync_all().at(path.display())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The network as it is, if it can be asked.
fn board(args: &ProviderInitArgs) -> Result<Board, String> {
    let asked = block_on(async {
        let network = party::network(&args.network).await?;
        Ok(party::mirror(&network).await?.board().clone())
    });
    asked.map_err(|failure: Failure| failure.text())
}

/// Names under which registered models are found here: shipped, and kept by identity.
fn registered(board: &Board, out: Output) -> Vec<String> {
    let known = |id: &Digest| board.models.contains_key(id) || board.families.contains_key(id);
    let mut found = Vec::new();
    let mut here = Vec::new();
    for name in shipped::names() {
        let Ok(Servable::Model(model)) = files::servable(name) else {
            continue;
        };
        if known(&model.model_id()) {
            found.push(name.to_owned());
            here.push(model.model_id());
        }
    }
    let ids = board.models.keys().chain(board.families.keys());
    for id in ids.filter(|id| !here.contains(id)) {
        let kept = files::weights_cache().ok().and_then(|cache| cache.find(id));
        match kept {
            Some(_) => found.push(id.to_string()),
            None => out.progress(format!(
                "{id} is registered and not here; `gavel model fetch {id}` gets it where it is published"
            )),
        }
    }
    found
}

fn template(args: &ProviderInitArgs, dir: &Path, models: &[String]) -> Result<String, Failure> {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    let deployment = &args.network.deployment;
    // the process may be started from anywhere
    let deployment = std::path::absolute(deployment).at(deployment.display())?;
    let blobs = match args.blobs.blobs.contains(':') {
        true => args.blobs.blobs.clone(),
        false => absolute(Path::new(&args.blobs.blobs))?,
    };
    let named = |name: &str| {
        let (path, rest) = name.split_once('@').unwrap_or((name, ""));
        match Path::new(path).exists() {
            false => Ok(name.to_owned()),
            true if rest.is_empty() => absolute(Path::new(path)),
            true => Ok(format!("{}@{rest}", absolute(Path::new(path))?)),
        }
    };
    let models = models.iter().map(|name| named(name).map(|n| text(&n)));
    let models: Vec<String> = models.collect::<Result<_, Failure>>()?;
    let model = match models.is_empty() {
        true => "# model = [\"digits\"]".to_owned(),
        false => format!("model = [{}]", models.join(", ")),
    };
    Ok(format!(
        "\
# A provider's configuration: keys have the names of the flags of `gavel provider run`, and flags and variables come first.
# `gavel config show --origin --config FILE` says what holds.

# The network: a JSON-RPC node of its chain, and the addresses of its contracts.
rpc = {rpc}
deployment = {deployment}
# Inputs and outputs of tasks: a directory that all parties reach, or file:, http(s):, s3:, gs:, az:
blobs = {blobs}

# Who signs. Keep a copy of both files where this machine cannot lose them; never run them on two machines at once.
key = {key}
password_file = {password}

# Where models that are named by model_id come from.
# models_from = \"https://models.example/gavel\"

[provider]
# What is served; everybody names a model alike.
{model}
# Tokens to register with, the first time.
# stake = 1000
# Lowest price of a task in tokens, most tasks at once, shortest time from claim to deadline: `gavel provider calibrate --write`
# reserve = \"1\"
# concurrency = 2
# least_exec = 10
# Where operators look: /metrics, /livez, /readyz
# ops = \"127.0.0.1:9464\"
",
        rpc = text(&args.network.rpc),
        deployment = text(&deployment.display().to_string()),
        blobs = text(&blobs),
        key = text(&dir.join("key.json").display().to_string()),
        password = text(&dir.join("password").display().to_string()),
    ))
}

fn absolute(path: &Path) -> Result<String, Failure> {
    let path = std::path::absolute(path).at(path.display())?;
    Ok(path.display().to_string())
}
