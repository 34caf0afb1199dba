//! `gavel gateway sign`

use std::io::Read as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use gavel_gateway::{
    ACCOUNT_HEADER, BODY_DIGEST_HEADER, DEADLINE_HEADER, NONCE_HEADER, SIGNATURE_HEADER,
    body_digest,
};
use gavel_node::ClientRequest;
use gavel_settlement::Deployment;
use gavel_settlement::account::load_keystore;
use gavel_settlement::alloy::primitives::{B256, U256, hex};
use gavel_settlement::alloy::signers::SignerSync as _;
use serde_json::{Map, json};

use crate::args_gateway::GatewaySignArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::files;
use crate::network::{key_failure, password};
use crate::output::Output;

/// Most bytes of a body: as many as a gateway can be told to take.
const MAX_BODY: u64 = 1 << 28;

pub(crate) fn run(args: &GatewaySignArgs, out: Output) -> Result<Exit, Failure> {
    let file = args.deployment.display();
    let deployment = Deployment::load(&args.deployment).map_err(|e| {
        Failure::new(e)
            .expected("the deployment file of the gateway's network")
            .hint(format!("--deployment FILE, where it is not {file}"))
    })?;
    let target = target(&args.url).ok_or_else(|| {
        Failure::usage(format!("{:?} is not where a request goes", args.url)).expected(
            "http:// or https://, a host, and a path whose special characters are escaped",
        )
    })?;
    let body = body(args.body.as_deref())?;
    let by_body = if args.body.is_some() { "POST" } else { "GET" };
    let method = args.method.as_deref().unwrap_or(by_body);
    let key = &args.key.key;
    let signer =
        load_keystore(key, &password(&args.key.password)?).map_err(|e| key_failure(key, e))?;
    let account = args.account.unwrap_or(signer.address());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .at("the clock")?;
    let deadline = now.as_secs() + args.valid_for;
    let nonce = args.nonce.unwrap_or_else(|| B256::random().into());
    let route = format!("{method} {target}");
    let digest_of_body = body_digest(&body);
    let asked = ClientRequest {
        chain_id: deployment.chain_id,
        market: deployment.market.into(),
        body_digest: digest_of_body.0,
        route: &route,
        gateway: args.gateway.into(),
        deadline,
        nonce: nonce.to_be_bytes(),
    };
    let digest = B256::from(asked.signing_hash());
    let signature = signer.sign_hash_sync(&digest).map_err(Failure::new)?;
    let signature = hex::encode_prefixed(signature.as_bytes());
    let headers = [
        (ACCOUNT_HEADER, account.to_string()),
        (BODY_DIGEST_HEADER, digest_of_body.to_string()),
        (DEADLINE_HEADER, deadline.to_string()),
        (NONCE_HEADER, nonce_text(&nonce)),
        (SIGNATURE_HEADER, signature.clone()),
    ];
    let curl = curl(method, &args.url, &headers, args.body.as_deref());
    match args.curl {
        true => out.line(&curl),
        false => {
            for (name, value) in &headers {
                out.line(format!("{name}: {value}"));
            }
        }
    }
    let headers: Map<_, _> = headers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    out.json(&json!({
        "account": account, "gateway": args.gateway, "chain_id": deployment.chain_id,
        "market": deployment.market, "route": route, "body_digest": digest_of_body, "deadline": deadline,
        "nonce": nonce_text(&nonce), "digest": digest, "signature": signature, "headers": headers,
        "curl": curl,
    }))?;
    Ok(Exit::Done)
}

fn nonce_text(nonce: &U256) -> String {
    format!("{nonce:#x}")
}

fn body(path: Option<&Path>) -> Result<Vec<u8>, Failure> {
    match path {
        None => Ok(Vec::new()),
        Some(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            let mut stdin = std::io::stdin().take(MAX_BODY + 1);
            stdin.read_to_end(&mut bytes).at("standard input")?;
            match bytes.len() as u64 > MAX_BODY {
                true => Err(Failure::new(format!("more than {MAX_BODY} bytes"))
                    .expected("the body of a request")),
                false => Ok(bytes),
            }
        }
        Some(path) => files::read(path, MAX_BODY, "the body of a request"),
    }
}

/// Path and query of a URL as they are sent.
fn target(url: &str) -> Option<String> {
    if !url.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"))?;
    let sent = rest.split('#').next()?;
    let at = sent.find(['/', '?']).unwrap_or(sent.len());
    let (host, target) = sent.split_at(at);
    match target {
        _ if host.is_empty() => None,
        "" => Some("/".to_owned()),
        query if query.starts_with('?') => Some(format!("/{query}")),
        path => Some(path.to_owned()),
    }
}

/// A command that sends the request as it was signed.
fn curl(method: &str, url: &str, headers: &[(&str, String)], body: Option<&Path>) -> String {
    let mut words = vec![
        "curl --path-as-is --globoff".to_owned(),
        format!("-X {method}"),
        quoted(url),
    ];
    for (name, value) in headers {
        words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    if let Some(body) = body {
        words.push("-H 'content-type: application/json'".to_owned());
        words.push(format!(
            "--data-binary {}",
            quoted(&format!("@{}", body.display()))
        ));
    }
    words.join(" ")
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_of_a_url_is_what_is_sent() {
        for (url, sent) in [
            ("http://h/v1/tasks", "/v1/tasks"),
            (
                "https://h:1/v1/tasks?limit=2&cursor=3#top",
                "/v1/tasks?limit=2&cursor=3",
            ),
            ("http://h", "/"),
            ("http://h?x=/y", "/?x=/y"),
            ("http://h/v1/models/a%20b", "/v1/models/a%20b"),
        ] {
            assert_eq!(target(url).as_deref(), Some(sent), "{url}");
        }
        for url in [
            "",
            "/v1/tasks",
            "h/v1",
            "ftp://h/",
            "http:///x",
            "http://h/a b",
            "http://h/ä",
        ] {
            assert_eq!(target(url), None, "{url}");
        }
    }

    #[test]
    fn a_quote_in_a_path_stays_in_its_word() {
        let line = curl(
            "POST",
            "http://h/x",
            &[("a", "b".to_owned())],
            Some(Path::new("it's.json")),
        );
        assert!(line.ends_with(r"--data-binary '@it'\''s.json'"), "{line}");
    }
}
