//! From logits to tokens: each row by itself, rows side by side.

use gavel_numerics::kernels::{Isa, SamplingParams, filter, penalties, sample};

use super::forward::{Buffers, Core, Share};
use super::phases::Phase;

/// Most bytes of logits that are held at once.
const LOGITS_BYTES: usize = 8 << 20;

/// A row whose logits are needed.
struct Row<'a> {
    position: usize,
    tokens: &'a [i32],
    params: &'a SamplingParams,
}

/// Who sees the logits of a row before they are changed: the number of the row among the needed ones, and its logits.
pub(crate) type Watch<'a> = Option<&'a (dyn Fn(usize, &[f32]) + Sync)>;

impl Core<'_> {
    /// The tokens that the needed rows sample, in order, from what [`forward`](Core::forward) left in `buffers`.
    pub(crate) fn sampled(
        &self,
        buffers: &mut Buffers,
        logits: &mut Vec<f32>,
        shares: &[Share<'_>],
        watch: Watch<'_>,
    ) -> Vec<i32> {
        let rows: Vec<Row<'_>> = shares
            .iter()
            .flat_map(|share| {
                let sequence = &*share.sequence;
                (share.first_needed..share.rows).map(move |i| Row {
                    position: sequence.position + i,
                    tokens: &sequence.tokens,
                    params: &sequence.params,
                })
            })
            .collect();
        let (width, vocabulary) = (self.config.width as usize, self.config.vocabulary as usize);
        let most = (LOGITS_BYTES / 4 / vocabulary.max(1)).max(1);
        let mut tokens = vec![0; rows.len()];
        let (x, y, inputs) = buffers.residual();
        let blocks = rows.chunks(most).zip(tokens.chunks_mut(most));
        for (i, (rows, tokens)) in blocks.enumerate() {
            let from = i * most * width..(i * most + rows.len()) * width;
            let (x, y) = (&mut x[from.clone()], &y[from]);
            self.phases.time(Phase::Head, || {
                self.logits(x, y, inputs, rows.len(), logits);
            });
            let outs = logits.chunks_mut(vocabulary);
            let mut parts: Vec<_> = rows.iter().zip(outs).zip(tokens).enumerate().collect();
            self.phases.time(Phase::Sampling, || {
                self.team.each(&mut parts, |(n, ((row, logits), token))| {
                    if let Some(watch) = watch {
                        watch(i * most + *n, logits);
                    }
                    **token = draw(self.isa, row, logits);
                });
            });
        }
        tokens
    }
}

/// The operators Penalties, Filter and Sample.
fn draw(isa: Isa, row: &Row<'_>, logits: &mut [f32]) -> i32 {
    penalties(logits, &row.tokens[..=row.position], row.params);
    filter(isa, logits, row.params);
    sample(isa, logits, row.position as u64, row.params) as i32
}
