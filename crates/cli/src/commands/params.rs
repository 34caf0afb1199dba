//! `gavel chain params`: the protocol's numbers as a file, and what the contracts would say to one.

use std::path::Path;

use gavel_settlement::params::{ParamsError, ParamsFile, check};
use gavel_settlement::{DeployOptions, DevParams, dev_params};
use serde_json::json;

use crate::args_params::{ParamsArgs, RulesArgs};
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::Output;

pub(crate) fn run(args: &ParamsArgs, out: Output) -> Result<Exit, Failure> {
    let file = match &args.check {
        Some(file) => read(file)?,
        None => chosen(&args.rules)?,
    };
    let place = args.check.as_deref().unwrap_or(Path::new("the choice"));
    block_on(async { judge(&file, place).await })?;
    match args.check {
        Some(_) => {
            out.facts(&[(
                "checked",
                format!("{}: the contracts take it", place.display()),
            )]);
            out.next(format!(
                "gavel chain deploy --params {} --key KEYFILE",
                place.display()
            ));
        }
        None => out.line(file.to_toml().trim_end()),
    }
    out.json(&json!({"parameters": file}))?;
    Ok(Exit::Done)
}

/// The numbers that the flags name, judged by the contracts before anything is sent.
pub(super) async fn of_rules(rules: &RulesArgs) -> Result<ParamsFile, Failure> {
    let file = match &rules.params {
        Some(file) => read(file)?,
        None => chosen(rules)?,
    };
    let place = rules
        .params
        .as_deref()
        .unwrap_or(Path::new("the parameters"));
    judge(&file, place).await?;
    Ok(file)
}

pub(super) fn chosen(rules: &RulesArgs) -> Result<ParamsFile, Failure> {
    let params = dev_params(DevParams {
        audit_rate_ppm: (rules.audit_rate * 1e6).round() as u32,
        probation_tasks: rules.probation,
        windows: rules.windows.into(),
        ..DevParams::default()
    });
    let options = DeployOptions::default();
    Ok(ParamsFile::new(
        &params,
        options.beacon_period,
        options.timelock_delay,
    ))
}

pub(super) fn read(file: &Path) -> Result<ParamsFile, Failure> {
    let text = std::fs::read_to_string(file).at(file.display())?;
    toml::from_str(&text).map_err(|e| {
        Failure::new(format!("{}: {}", file.display(), e.to_string().trim_end()))
            .expected("a file like that of `gavel chain params`")
    })
}

async fn judge(file: &ParamsFile, place: &Path) -> Result<(), Failure> {
    if file.beacon_period == 0 {
        return Err(
            Failure::new(format!("{}: beacon_period is 0", place.display()))
                .expected("seconds between two rounds"),
        );
    }
    check(&file.params()).await.map_err(|error| match error {
        ParamsError::Refused(refusal) => Failure::new(format!(
            "{}: {}\n  it breaks rule {} (spec/protocol.md): {}",
            place.display(),
            refusal.error,
            refusal.rule,
            refusal.why
        ))
        .hint(refusal.remedy),
        other => Failure::new(other),
    })
}
