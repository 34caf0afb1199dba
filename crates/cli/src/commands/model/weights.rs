//! `gavel model publish|fetch`

use std::time::{Duration, Instant};

use gavel_node::weights::{Manifest, PIECE_BYTES, Weights, WeightsCache, WeightsProgress};
use serde_json::json;

use super::bytes;
use crate::args_weights::{FetchArgs, PublishArgs};
use crate::failure::{Exit, Failure};
use crate::files::{self, Servable};
use crate::meter::Meter;
use crate::network::block_on;
use crate::output::Output;

/// Time between two events of progress.
const BETWEEN: Duration = Duration::from_millis(500);

pub(crate) fn publish(args: &PublishArgs, out: Output) -> Result<Exit, Failure> {
    for name in &args.models {
        // what no provider could serve is of no use to anybody
        let id = match files::servable(name)? {
            Servable::Model(model) => model.model_id(),
            Servable::Family(family) => family.id(),
        };
        let found = files::publishable(name)?;
        let total = found.files.iter().map(|(_, f)| f.len() as u64).sum();
        let failed = |e| files::weights_failure(&args.to, e);
        let mut meter = Meter::new(format!("pieces of {name}"));
        let mut hashed = 0;
        let manifest = Manifest::describe(
            id,
            found.kind,
            &found.binding,
            &found.files,
            PIECE_BYTES,
            &mut |n| {
                hashed += n;
                meter.show(hashed, total);
            },
        )
        .map_err(failed)?;
        drop(meter);
        let contents: Vec<_> = found.files.into_iter().map(|(_, file)| file).collect();
        let mut teller = Teller::new(format!("sending {name}"), "publishing", out);
        let sent = block_on(async {
            let weights = Weights::open(&args.to).map_err(failed)?;
            let mut tell = |p: WeightsProgress<'_>| teller.tell(p);
            let sent = weights.publish(&manifest, &contents, &mut tell).await;
            sent.map_err(failed)
        })?;
        drop(teller);
        out.facts(&[
            ("published", name.clone()),
            ("model_id", id.to_string()),
            (
                "files",
                format!(
                    "{}, {}, of which {} were sent",
                    manifest.files.len(),
                    bytes(manifest.bytes()),
                    bytes(sent)
                ),
            ),
        ]);
        out.next(format!("gavel model fetch {id} --from {}", args.to));
        out.event(&json!({
            "event": "published", "model": name, "model_id": id, "to": args.to,
            "files": manifest.files.len(), "bytes": manifest.bytes(), "sent_bytes": sent,
        }));
    }
    Ok(Exit::Done)
}

pub(crate) fn fetch(args: &FetchArgs, out: Output) -> Result<Exit, Failure> {
    let cache = match &args.into {
        Some(folder) => WeightsCache::new(folder.clone()),
        None => files::weights_cache()?,
    };
    let id = &args.model_id;
    let (model, fetched) = match cache.find(id) {
        Some(model) => (model, 0),
        None => {
            let from = match &args.from {
                Some(from) => from,
                None => files::weights_store()?,
            };
            let mut teller = Teller::new(format!("fetching {id:#}…"), "fetching", out);
            files::fetch(id, from, &cache, &mut |p| teller.tell(p))?
        }
    };
    let total = model.manifest.bytes();
    out.facts(&[
        ("model_id", id.to_string()),
        ("is in", model.folder.display().to_string()),
        (
            "files",
            format!(
                "{}, {}, of which {} came now",
                model.manifest.files.len(),
                bytes(total),
                bytes(fetched)
            ),
        ),
    ]);
    out.next(format!("gavel model inspect {id}"));
    out.event(&json!({
        "event": "fetched", "model_id": id, "folder": model.folder, "model": model.name(),
        "files": model.manifest.files.len(), "bytes": total, "fetched_bytes": fetched,
    }));
    Ok(Exit::Done)
}

/// Progress for people and for programs.
struct Teller {
    meter: Meter,
    event: &'static str,
    told: Option<Instant>,
    out: Output,
}

impl Teller {
    fn new(what: String, event: &'static str, out: Output) -> Teller {
        Teller {
            meter: Meter::new(what),
            event,
            told: None,
            out,
        }
    }

    fn tell(&mut self, p: WeightsProgress<'_>) {
        self.meter.show(p.done, p.total);
        // the first and the last are always told
        let recent = self.told.is_some_and(|at| at.elapsed() < BETWEEN);
        if recent && p.done < p.total {
            return;
        }
        self.told = Some(Instant::now());
        self.out.event(&json!({
            "event": self.event, "file": p.name, "done": p.done, "total": p.total,
        }));
    }
}
